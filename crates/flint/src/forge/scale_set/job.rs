//! What happened to a job, as a scale set hears of it.

use crate::text;
use flint_core::id::RunnerId;
use flint_core::units::Timestamp;
use serde_json::Value;
use std::fmt;

/// GitHub's own limit of a runner's labels.
const MOST_LABELS: usize = 100;
/// A UUID has 36 characters.
const LONGEST_ID: usize = 64;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobMessage {
    /// A GitHub Enterprise Server offers it: [`super::ScaleSets::acquire`] claims it by [`Job::request`].
    Available {
        /// Which.
        job: Job,
    },
    /// It is the set's, and waits for a runner.
    Assigned {
        /// Which.
        job: Job,
    },
    /// A runner took it.
    Started {
        /// Which.
        job: Job,
        /// Who.
        runner: Taker,
    },
    /// It ended, or the set lost it.
    Completed {
        /// Which.
        job: Job,
        /// Who had it, if anybody.
        runner: Option<Taker>,
        /// How.
        outcome: Outcome,
    },
}

/// A job. All texts are strangers' words, made harmless and cut; what GitHub did not say is empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its key.
    pub id: JobId,
    /// `runnerRequestId`; 0 from GitHub's new servers.
    pub request: i64,
    /// `owner/name`.
    pub repository: String,
    /// The workflow file and its ref.
    pub workflow: String,
    /// Display name.
    pub name: String,
    /// The workflow run.
    pub run: u64,
    /// What triggered the run: `push`, `pull_request`. Webhooks do not tell this.
    pub event: String,
    /// `runs-on`.
    pub labels: Vec<String>,
    /// Since when it waits.
    pub queued: Option<Timestamp>,
    /// Since when it is the set's.
    pub assigned: Option<Timestamp>,
    /// Since when it has a runner.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
}

/// A job's UUID; from a server that names none, `request-N`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(String);

/// The runner of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taker {
    /// GitHub's number.
    pub id: RunnerId,
    /// Its name.
    pub name: String,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Well.
    Succeeded,
    /// Not well.
    Failed,
    /// Cancelled by somebody; or taken back, because no runner of the set took it in time.
    Canceled,
    /// A word that is none of these.
    Other(String),
}

impl JobMessage {
    /// None: its type is not known, or it does not say which job it is about.
    pub(super) fn read(part: &Value) -> Option<JobMessage> {
        let job = || Job::read(part);
        match part["messageType"].as_str()? {
            "JobAvailable" => Some(JobMessage::Available { job: job()? }),
            "JobAssigned" => Some(JobMessage::Assigned { job: job()? }),
            "JobStarted" => Some(JobMessage::Started { job: job()?, runner: Taker::read(part)? }),
            "JobCompleted" => {
                let (runner, outcome) = (Taker::read(part), Outcome::read(part));
                Some(JobMessage::Completed { job: job()?, runner, outcome })
            }
            _ => None,
        }
    }

    /// Which job it is about.
    #[must_use]
    pub fn job(&self) -> &Job {
        match self {
            JobMessage::Available { job }
            | JobMessage::Assigned { job }
            | JobMessage::Started { job, .. }
            | JobMessage::Completed { job, .. } => job,
        }
    }
}

impl Job {
    fn read(part: &Value) -> Option<Job> {
        let request = part["runnerRequestId"].as_i64().unwrap_or_default();
        let id = part["jobId"].as_str().and_then(JobId::told);
        let by_request = || (request > 0).then(|| JobId(format!("request-{request}")));
        let labels = part["requestLabels"].as_array().into_iter().flatten();
        let labels = labels.filter_map(Value::as_str).take(MOST_LABELS).map(text::line).collect();
        let text = |key: &str| text::line(part[key].as_str().unwrap_or_default());
        Some(Job {
            id: id.or_else(by_request)?,
            request,
            repository: format!("{}/{}", text("ownerName"), text("repositoryName")),
            workflow: text("jobWorkflowRef"),
            name: text("jobDisplayName"),
            run: part["workflowRunId"].as_u64().unwrap_or_default(),
            event: text("eventName"),
            labels,
            queued: time(&part["queueTime"]),
            assigned: time(&part["scaleSetAssignTime"]),
            started: time(&part["runnerAssignTime"]),
            finished: time(&part["finishTime"]),
        })
    }
}

impl JobId {
    /// A UUID as GitHub tells it; none for a text that is no id.
    #[must_use]
    pub fn told(text: &str) -> Option<JobId> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let good = !text.is_empty() && text.len() <= LONGEST_ID && text.chars().all(plain);
        // Some of GitHub's parts write UUIDs in capitals.
        good.then(|| JobId(text.to_ascii_lowercase()))
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Taker {
    /// None where GitHub says 0 or nothing: nobody took it.
    fn read(part: &Value) -> Option<Taker> {
        let id = part["runnerId"].as_u64().filter(|id| *id > 0)?;
        let name = text::line(part["runnerName"].as_str().unwrap_or_default());
        Some(Taker { id: RunnerId(id), name })
    }
}

impl Outcome {
    fn read(part: &Value) -> Outcome {
        let word = part["result"].as_str().unwrap_or_default();
        match word.to_ascii_lowercase().as_str() {
            "succeeded" => Outcome::Succeeded,
            "failed" => Outcome::Failed,
            "canceled" => Outcome::Canceled,
            _ => Outcome::Other(text::line(word)),
        }
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Times that were not yet are in the year 1.
fn time(value: &Value) -> Option<Timestamp> {
    let at: jiff::Timestamp = value.as_str()?.parse().ok()?;
    u64::try_from(at.as_millisecond()).ok().map(Timestamp)
}
