//! A job as GitHub tells it.

use crate::ask::Found;
use crate::id::{ProfileId, VmId};
use crate::policy::{Origin, Verdict};
use crate::units::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// GitHub fails a job that nobody took after 24 h, GitHub Enterprise Server after 48 h.
const QUEUED_MAX: Duration = MINUTE.saturating_mul(49 * 60);

/// GitHub ends a job after 5 days; 2 in the queue come before that.
const KNOWN_MAX: Duration = MINUTE.saturating_mul((7 * 24 + 1) * 60);

/// A scale set's last word about a job comes within this after its microVM went, if it comes at all.
const LAST_WORD_MAX: Duration = MINUTE.saturating_mul(2 * 60);

/// A job that waits for this long is asked for: it may have been taken or cancelled without a word.
const ASK_QUEUED: Duration = MINUTE.saturating_mul(10);

/// So is one that runs for this long.
const ASK_TAKEN: Duration = MINUTE.saturating_mul(60);

/// One attempt of a workflow job that has not completed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Who asks, and for what.
    pub request: JobRequest,
    /// The profile that serves its labels; `None`: not ours.
    pub profile: Option<ProfileId>,
    /// Where it stands. Never goes back.
    pub state: JobState,
    /// Whether its profile lets it in.
    #[serde(default)]
    pub verdict: Verdict,
    /// When Flint first heard of it.
    pub received: Timestamp,
    /// When GitHub is asked how it is, if nothing is heard of it before; of one that is undecided, where its run comes
    /// from.
    #[serde(default)]
    pub ask_at: Timestamp,
    /// What GitHub said when it was asked last.
    #[serde(default)]
    pub asked: Option<Asked>,
    /// When its microVM went, if GitHub has not said yet that it completed.
    #[serde(default)]
    pub left: Option<Timestamp>,
}

/// An answer of GitHub's about one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// When it was asked.
    pub at: Timestamp,
    /// What it said.
    pub found: Found,
}

impl Job {
    /// One that has just been heard of.
    #[must_use]
    pub fn queued(request: JobRequest, profile: Option<ProfileId>, now: Timestamp) -> Self {
        let (state, ask_at) = (JobState::Queued, now.after(ASK_QUEUED));
        let verdict = Verdict::Admitted;
        Job { request, profile, state, verdict, received: now, ask_at, asked: None, left: None }
    }

    /// When its row goes although GitHub never said that it completed.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        let kept = self.received.after(match self.state {
            JobState::Queued => QUEUED_MAX,
            JobState::Running(_) | JobState::Elsewhere => KNOWN_MAX,
        });
        // Others are asked for singly then; those of a scale set have no number that the REST API knows.
        let left = self.left.filter(|_| self.request.scale_set.is_some());
        left.map_or(kept, |left| kept.min(left.after(LAST_WORD_MAX)))
    }

    /// Whether GitHub can be asked how it is. A scale set names its jobs in a way of its own.
    #[must_use]
    pub fn can_be_asked_for(&self) -> bool {
        self.profile.is_some() && (self.request.scale_set.is_none() || self.is_undecided())
    }

    /// Whether it waits, and nobody knows yet whether it is let in.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        self.state == JobState::Queued && self.verdict == Verdict::Undecided
    }

    /// Its profile has judged it. Whoever is undecided is asked about at once, and then as often as others.
    pub(crate) fn judged(&mut self, verdict: Verdict, now: Timestamp) {
        let was_undecided = self.is_undecided();
        self.verdict = verdict;
        match (was_undecided, self.is_undecided()) {
            (false, true) => self.ask_at = now,
            (true, false) => self.ask_at = now.after(self.word_holds()),
            (false, false) | (true, true) => {}
        }
    }

    /// For how long a word of GitHub's about it is good.
    #[must_use]
    pub fn word_holds(&self) -> Duration {
        match self.state {
            JobState::Queued => ASK_QUEUED,
            JobState::Running(_) | JobState::Elsewhere => ASK_TAKEN,
        }
    }
}

/// What a job says of itself. All of it is text of strangers: never a path, never a shell word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRequest {
    /// `owner/name`.
    pub repository: String,
    /// The workflow's name, empty when GitHub sends none.
    pub workflow: String,
    /// The job's display name.
    pub name: String,
    /// Exactly what `runs-on` asked for.
    pub labels: Vec<String>,
    /// `workflow_job.run_id`.
    pub run_id: u64,
    /// The page of the job, for people.
    pub url: String,
    /// The profile whose scale set told of it; `None`: webhooks and lists did.
    #[serde(default)]
    pub scale_set: Option<ProfileId>,
    /// Where it comes from.
    #[serde(default)]
    pub origin: Origin,
}

/// Where a job stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobState {
    /// Waiting for a runner.
    Queued,
    /// A runner of this microVM has it.
    Running(VmId),
    /// A runner that is not ours has it.
    Elsewhere,
}

/// How a job ended, in GitHub's words: `success`, `failure`, `cancelled`, `skipped`, …
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Conclusion(pub String);
