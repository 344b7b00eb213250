//! A scale set's messages as facts.

use crate::forge::scale_set::{Job, JobId, JobMessage, Message, Outcome, Statistics, Taker};
use flint_core::event::{Event, ForgeEvent};
use flint_core::id::{JobKey, ProfileId, RunnerName};
use flint_core::job::{Conclusion, JobRequest};
use flint_core::policy::Origin;
use flint_core::scale_set::SetEvent;
use ring::digest;

/// Keys stay below 2^52, so that every reader of JSON reads them exactly.
const KEY_BITS: u32 = 52;

/// The attempt of a job that a scale set told of. A webhook's attempts begin at 1, so the two never meet.
const ATTEMPT: u32 = 0;

/// Events whose runs can only come from the repository itself. Others are asked about: pull requests, for one.
/// Source: GitHub's page on events that trigger workflows.
const OWN_EVENTS: [&str; 6] =
    ["merge_group", "push", "release", "repository_dispatch", "schedule", "workflow_dispatch"];

/// The facts of a message, its jobs first: the count is true after them. `page` is where people see a job.
pub(super) fn facts(
    profile: &ProfileId,
    message: &Message,
    page: impl Fn(&Job) -> String,
) -> Vec<Event> {
    let jobs = message.jobs.iter().filter_map(|told| {
        let request = JobRequest { url: page(told.job()), ..request(profile, told.job()) };
        fact(told, request)
    });
    jobs.chain(message.statistics.map(|count| counted(profile, count))).collect()
}

/// GitHub's count.
pub(super) fn counted(profile: &ProfileId, count: Statistics) -> Event {
    let assigned = u32::try_from(count.total_assigned_jobs).unwrap_or(u32::MAX);
    of_set(profile, SetEvent::Counted { assigned })
}

/// A fact about the set as a whole.
pub(super) fn of_set(profile: &ProfileId, said: SetEvent) -> Event {
    Event::Forge(ForgeEvent::ScaleSet { profile: profile.clone(), said })
}

/// The requests by which offered jobs are claimed.
pub(super) fn offered(message: &Message) -> Vec<i64> {
    let offered = message.jobs.iter().filter_map(|told| match told {
        JobMessage::Available { job } => Some(job.request),
        JobMessage::Assigned { .. } | JobMessage::Started { .. } | JobMessage::Completed { .. } => {
            None
        }
    });
    offered.collect()
}

fn fact(told: &JobMessage, request: JobRequest) -> Option<Event> {
    let job = key(&told.job().id);
    Some(Event::Forge(match told {
        // It is the set's when it has been claimed, and told of again then.
        JobMessage::Available { .. } => return None,
        JobMessage::Assigned { .. } => ForgeEvent::JobQueued { job, request },
        JobMessage::Started { runner, .. } => {
            ForgeEvent::JobStarted { job, request, runner: Some(name(runner)) }
        }
        JobMessage::Completed { runner: None, outcome: Outcome::Canceled, .. } => {
            ForgeEvent::JobWithdrawn { job }
        }
        JobMessage::Completed { runner, outcome, .. } => {
            let (runner, conclusion) = (runner.as_ref().map(name), conclusion(outcome));
            ForgeEvent::JobCompleted { job, request, runner, conclusion }
        }
    }))
}

fn name(taker: &Taker) -> RunnerName {
    RunnerName::told(&taker.name)
}

/// In the words of webhooks.
fn conclusion(outcome: &Outcome) -> Conclusion {
    Conclusion(match outcome {
        Outcome::Succeeded => "success".to_owned(),
        Outcome::Failed => "failure".to_owned(),
        Outcome::Canceled => "cancelled".to_owned(),
        Outcome::Other(word) => word.clone(),
    })
}

/// A number of its own for a job's UUID. Two jobs that share one would be served all the same: GitHub's count shows it.
fn key(id: &JobId) -> JobKey {
    let digest = digest::digest(&digest::SHA256, id.as_str().as_bytes());
    let first = digest.as_ref().iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte));
    JobKey { id: first >> (u64::BITS - KEY_BITS), attempt: ATTEMPT }
}

fn request(profile: &ProfileId, job: &Job) -> JobRequest {
    let fork = OWN_EVENTS.contains(&job.event.as_str()).then_some(false);
    JobRequest {
        repository: job.repository.clone(),
        workflow: workflow(&job.workflow).to_owned(),
        name: job.name.clone(),
        labels: job.labels.clone(),
        run_id: job.run,
        url: String::new(),
        scale_set: Some(profile.clone()),
        origin: Origin { public: None, fork },
    }
}

/// The file of `owner/name/.github/workflows/ci.yml@refs/heads/main`.
fn workflow(reference: &str) -> &str {
    let path = reference.split_once('@').map_or(reference, |(path, _)| path);
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_job_has_a_number_that_json_keeps() {
        let id = |text| JobId::told(text).expect("it is an id");
        let one = key(&id("12f1170f-54f2-53f3-20dd-22fc7dff55f9"));
        assert_eq!(one, key(&id("12F1170F-54F2-53F3-20DD-22FC7DFF55F9")));
        assert_ne!(one, key(&id("12f1170f-54f2-53f3-20dd-22fc7dff55f8")));
        assert!(one.id < 1 << KEY_BITS && one.id > 0, "{one:?}");
    }

    #[test]
    fn a_workflow_is_called_by_its_file() {
        assert_eq!(workflow("o/r/.github/workflows/ci.yml@refs/heads/a/b"), "ci.yml");
        assert_eq!(workflow("ci.yml"), "ci.yml");
        assert_eq!(workflow(""), "");
    }
}
