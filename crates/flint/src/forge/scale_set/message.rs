//! What a message queue says: a message with statistics and what happened to jobs, read as far as it can be.
//!
//! Source of the forms: actions/scaleset. What GitHub adds or breaks costs the part that cannot be read, never the rest.

use super::job::JobMessage;
use crate::text;
use serde_json::Value;

/// GitHub sends about 50 in one message.
const MOST_JOBS: usize = 1000;
/// How much is kept of what cannot be read, in bytes, escaped: enough to see what GitHub has changed.
const EXCERPT: usize = 4096;
/// The one type of messages.
const JOBS: &str = "RunnerScaleSetJobMessages";

/// GitHub's number of a message; they grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MessageId(pub u64);

/// What a poll found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Polled {
    /// Nothing, in all the time that GitHub held the call.
    Nothing,
    /// A message.
    Message(Message),
    /// A message that cannot be read.
    Unreadable(Unreadable),
}

/// A message. Demand is [`Statistics::total_assigned_jobs`]: jobs are cut at some number, and hints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// To acknowledge it by.
    pub id: MessageId,
    /// How things stand, if GitHub said so.
    pub statistics: Option<Statistics>,
    /// What happened.
    pub jobs: Vec<JobMessage>,
    /// How many parts could not be read.
    pub unread: usize,
    /// Those, as far as they were looked at: the beginning, escaped.
    pub excerpt: Option<String>,
}

/// A message that cannot be read. Acknowledged after some tries, or it comes for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// To acknowledge it by; none: it did not even say that.
    pub id: Option<MessageId>,
    /// How things stand, if that at least could be read.
    pub statistics: Option<Statistics>,
    /// What is wrong with it.
    pub problem: &'static str,
    /// Its beginning, escaped.
    pub excerpt: String,
}

/// How things stand with a scale set, as GitHub counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Jobs that are offered and that nobody has claimed.
    pub total_available_jobs: u64,
    /// Jobs that are claimed and not yet assigned.
    pub total_acquired_jobs: u64,
    /// Jobs that wait for a runner of the set or have one: as many runners are wanted.
    pub total_assigned_jobs: u64,
    /// Those of them that run.
    pub total_running_jobs: u64,
    /// Runners of the set.
    pub total_registered_runners: u64,
    /// Those of them that have a job.
    pub total_busy_runners: u64,
    /// Those of them that are connected and have none.
    pub total_idle_runners: u64,
}

impl Statistics {
    /// None without the one figure that counts: no figure must not be read as no demand.
    pub(super) fn read(value: &Value) -> Option<Statistics> {
        let figure = |key: &str| value[key].as_u64();
        let other = |key: &str| figure(key).unwrap_or_default();
        Some(Statistics {
            total_available_jobs: other("totalAvailableJobs"),
            total_acquired_jobs: other("totalAcquiredJobs"),
            total_assigned_jobs: figure("totalAssignedJobs")?,
            total_running_jobs: other("totalRunningJobs"),
            total_registered_runners: other("totalRegisteredRunners"),
            total_busy_runners: other("totalBusyRunners"),
            total_idle_runners: other("totalIdleRunners"),
        })
    }
}

/// Reads the body of a poll's answer.
pub(super) fn read(body: &[u8]) -> Polled {
    let plain = String::from_utf8_lossy(body);
    let unreadable = |problem, id, statistics, shown: &str| {
        Polled::Unreadable(Unreadable { id, statistics, problem, excerpt: excerpt(shown) })
    };
    let Ok(envelope) = serde_json::from_slice::<Value>(body) else {
        let problem = if plain.trim().is_empty() { "it is empty" } else { "it is no JSON" };
        return unreadable(problem, None, None, &plain);
    };
    let id = envelope["messageId"].as_u64().filter(|id| *id > 0).map(MessageId);
    let statistics = Statistics::read(&envelope["statistics"]);
    let Some(number) = id else {
        return unreadable("its `messageId` is missing", None, statistics, &plain);
    };
    if envelope["messageType"] != JOBS {
        return unreadable("its type is not known", id, statistics, &plain);
    }
    let inner = envelope["body"].as_str().unwrap_or_default();
    match serde_json::from_str::<Vec<Value>>(inner) {
        Ok(parts) => Polled::Message(message(number, statistics, &parts)),
        Err(_) if inner.trim().is_empty() => {
            unreadable("its body is empty", id, statistics, &plain)
        }
        Err(_) => unreadable("its body is no list in JSON", id, statistics, inner),
    }
}

fn message(id: MessageId, statistics: Option<Statistics>, parts: &[Value]) -> Message {
    let read = |part| JobMessage::read(part).ok_or(part);
    let (few, many) = parts.split_at(parts.len().min(MOST_JOBS));
    let (mut jobs, mut strange) = (Vec::new(), Vec::new());
    for part in few.iter().map(read) {
        match part {
            Ok(job) => jobs.push(job),
            Err(part) => strange.push(part.to_string()),
        }
    }
    let excerpt = (!strange.is_empty()).then(|| excerpt(&strange.join(", ")));
    Message { id, statistics, jobs, unread: strange.len() + many.len(), excerpt }
}

fn excerpt(text: &str) -> String {
    let mut kept = String::new();
    for c in text.chars() {
        let shown = text::escaped(c.encode_utf8(&mut [0; 4]));
        if kept.len() + shown.len() > EXCERPT {
            return kept + "…";
        }
        kept += &shown;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::super::{JobId, Outcome};
    use super::*;
    use flint_core::units::Timestamp;
    use serde_json::json;

    fn job(kind: &str) -> Value {
        json!({
            "messageType": kind, "runnerRequestId": 0, "jobId": "9f2c-1", "repositoryName": "widgets",
            "ownerName": "flint-demo", "jobWorkflowRef": "flint-demo/widgets/.github/workflows/ci.yml@refs/heads/main",
            "jobDisplayName": "build\u{1b}[31m", "workflowRunId": 7, "eventName": "pull_request",
            "requestLabels": ["linux", 5, "x64"], "queueTime": "2026-11-23T15:04:05Z",
            "scaleSetAssignTime": "0001-01-01T00:00:00Z", "result": "canceled", "runnerId": 9, "runnerName": "vm-1",
        })
    }

    fn envelope(body: &str) -> Vec<u8> {
        let statistics = json!({ "totalAssignedJobs": 3, "totalRunningJobs": -1 });
        json!({ "messageId": 5, "messageType": JOBS, "body": body, "statistics": statistics })
            .to_string()
            .into_bytes()
    }

    fn one(part: &Value) -> Message {
        match read(&envelope(&json!([part]).to_string())) {
            Polled::Message(message) => message,
            other => panic!("it can be read: {other:?}"),
        }
    }

    fn problem(body: &[u8]) -> (&'static str, Option<u64>, Option<u64>) {
        match read(body) {
            Polled::Unreadable(unreadable) => {
                let assigned = unreadable.statistics.map(|told| told.total_assigned_jobs);
                (unreadable.problem, unreadable.id.map(|id| id.0), assigned)
            }
            other => panic!("it cannot be read: {other:?}"),
        }
    }

    #[test]
    fn each_kind_of_message_is_read_whole_and_made_harmless() {
        let message = one(&job("JobAssigned"));
        assert_eq!(message.statistics.expect("it is told").total_assigned_jobs, 3);
        let [JobMessage::Assigned { job: assigned }] = message.jobs.as_slice() else {
            panic!("it is one assignment: {message:?}")
        };
        assert_eq!(assigned.id, JobId::told("9f2c-1").unwrap());
        assert_eq!((assigned.request, assigned.run), (0, 7));
        assert_eq!(assigned.repository, "flint-demo/widgets");
        assert_eq!(assigned.name, "build\u{fffd}[31m");
        assert_eq!((assigned.event.as_str(), assigned.labels.len()), ("pull_request", 2));
        assert_eq!(assigned.queued, Some(Timestamp(1_795_446_245_000)));
        assert_eq!(assigned.assigned, None, "the year 1 is no time");
        assert!(matches!(one(&job("JobAvailable")).jobs[..], [JobMessage::Available { .. }]));
        let started = one(&job("JobStarted"));
        let [JobMessage::Started { runner, .. }] = started.jobs.as_slice() else {
            panic!("{started:?}")
        };
        assert_eq!((runner.id.0, runner.name.as_str()), (9, "vm-1"));
        let ended = one(&job("JobCompleted"));
        let [JobMessage::Completed { outcome, .. }] = ended.jobs.as_slice() else {
            panic!("{ended:?}")
        };
        assert_eq!(*outcome, Outcome::Canceled);
    }

    #[test]
    fn a_part_that_cannot_be_read_costs_nothing_but_itself() {
        let mut nameless = job("JobStarted");
        nameless["jobId"] = json!(null);
        let parts =
            json!([{ "messageType": "JobDreamt\u{202e}" }, job("JobAssigned"), 5, nameless]);
        let Polled::Message(message) = read(&envelope(&parts.to_string())) else {
            panic!("it is read")
        };
        assert_eq!((message.jobs.len(), message.unread), (1, 3));
        let kept = message.excerpt.unwrap_or_default();
        assert!(kept.starts_with(r#"{"messageType":"JobDreamt\u{202e}"}, 5, {"#), "{kept}");
        assert!(kept.contains(r#""jobDisplayName":"build\u001b[31m""#), "{kept}");
    }

    #[test]
    fn without_an_id_the_request_is_the_key_unless_it_is_zero() {
        let mut old = job("JobAvailable");
        (old["jobId"], old["runnerRequestId"]) = (json!(""), json!(41));
        let message = one(&old);
        assert_eq!(message.jobs[0].job().id.as_str(), "request-41");
    }

    #[test]
    fn what_has_no_end_is_cut() {
        let mut long = job("JobAssigned");
        long["jobDisplayName"] = json!("x".repeat(10_000));
        long["requestLabels"] = json!(vec!["l"; 10_000]);
        let message = one(&long);
        let job = message.jobs[0].job();
        assert_eq!((job.name.chars().count(), job.labels.len()), (text::FIELD, 100));
        let many = json!(vec![json!({}); MOST_JOBS + 5]).to_string();
        let Polled::Message(message) = read(&envelope(&many)) else { panic!("it is read") };
        assert_eq!(message.unread, MOST_JOBS + 5);
        let Polled::Unreadable(cut) = read("é".repeat(1000).as_bytes()) else {
            panic!("it is no JSON")
        };
        assert_eq!(cut.excerpt, "é".repeat(1000), "a few KiB are kept whole");
        for long in ["é".repeat(9000), "\u{202e}".repeat(9000)] {
            let Polled::Unreadable(cut) = read(long.as_bytes()) else { panic!("it is no JSON") };
            assert!(cut.excerpt.len() <= EXCERPT + 3 && cut.excerpt.ends_with('…'));
        }
    }

    #[test]
    fn what_is_wrong_with_a_message_is_said_with_all_that_could_be_read() {
        assert_eq!(problem(b""), ("it is empty", None, None));
        assert_eq!(problem(b"<html>"), ("it is no JSON", None, None));
        assert_eq!(problem(b"[]"), ("its `messageId` is missing", None, None));
        assert_eq!(problem(b"{\"messageId\": -1}"), ("its `messageId` is missing", None, None));
        assert_eq!(problem(b"{\"messageId\": 5}"), ("its type is not known", Some(5), None));
        assert_eq!(problem(&envelope("")), ("its body is empty", Some(5), Some(3)));
        assert_eq!(problem(&envelope("{oops")), ("its body is no list in JSON", Some(5), Some(3)));
        assert_eq!(problem(&envelope("{}")), ("its body is no list in JSON", Some(5), Some(3)));
    }

    #[test]
    fn an_empty_list_is_a_message() {
        let Polled::Message(message) = read(&envelope("[]")) else { panic!("it is read") };
        assert_eq!((message.jobs.len(), message.unread), (0, 0));
    }

    #[test]
    fn figures_that_are_missing_are_not_zero() {
        assert_eq!(Statistics::read(&json!({ "totalRunningJobs": 4 })), None);
        assert_eq!(Statistics::read(&json!({ "totalAssignedJobs": "4" })), None);
        assert_eq!(Statistics::read(&Value::Null), None);
    }
}
