//! Sets, sessions and messages as the service shows them.

use super::super::jit::job_uuid;
use super::super::payload::rfc3339;
use super::super::server::Config;
use super::super::state::{Job, Millis, Runner, State};
use super::QUEUE;
use super::sets::{Event, Kind, Set};
use serde_json::{Value, json};

/// A time that has not come is in the year 1.
const NEVER: &str = "0001-01-01T00:00:00Z";

pub(super) fn set(state: &State, set: &Set) -> Value {
    let group = state.org.groups.get(&set.group).map(|group| group.name.as_str());
    let label = |name: &String| json!({ "id": 0, "name": name, "type": "System" });
    json!({
        "id": set.id, "name": set.name, "runnerGroupId": set.group, "runnerGroupName": group,
        "labels": set.labels.iter().map(label).collect::<Vec<_>>(), "enabled": true,
        "RunnerSetting": { "ephemeral": true, "disableUpdate": true }, "createdOn": rfc3339(set.created),
        "statistics": statistics(state, set),
    })
}

pub(super) fn session(config: &Config, state: &State, id: u64) -> Option<Value> {
    let of = state.sets.all.get(&id)?;
    let session = of.session.as_ref()?;
    let url = format!("{}{QUEUE}/{id}?sessionId={}", config.public_url, session.id);
    Some(json!({
        "sessionId": session.id, "ownerName": session.owner, "runnerScaleSet": set(state, of),
        "messageQueueUrl": url, "messageQueueAccessToken": session.token, "statistics": statistics(state, of),
    }))
}

pub(super) fn message(
    config: &Config,
    state: &State,
    set: u64,
    (id, events): (u64, &[Event]),
) -> Option<Value> {
    let set = state.sets.all.get(&set)?;
    let parts: Vec<Value> = events.iter().map(|event| part(config, state, event)).collect();
    Some(json!({
        "messageId": id, "messageType": "RunnerScaleSetJobMessages", "body": Value::from(parts).to_string(),
        "statistics": statistics(state, set),
    }))
}

fn statistics(state: &State, set: &Set) -> Value {
    let runs = |id: &&u64| state.jobs.get(id).is_some_and(|job| job.status() == "in_progress");
    let runners: Vec<&Runner> =
        state.runners.values().filter(|r| r.set == Some(set.id) && !r.spent).collect();
    let busy = runners.iter().filter(|runner| runner.job.is_some()).count();
    let idle = runners.iter().filter(|r| r.session.is_some() && r.job.is_none()).count();
    json!({
        "totalAvailableJobs": set.offered.len(), "totalAcquiredJobs": 0,
        "totalAssignedJobs": set.assigned.len(), "totalRunningJobs": set.assigned.keys().filter(runs).count(),
        "totalRegisteredRunners": runners.len(), "totalBusyRunners": busy, "totalIdleRunners": idle,
    })
}

fn part(config: &Config, state: &State, event: &Event) -> Value {
    let Event { kind, job, since } = event;
    let time = |at: Option<Millis>| at.map_or_else(|| NEVER.to_owned(), rfc3339);
    let repository = format!("{}/{}", config.organization, job.repo.name);
    let from_fork = state.org.runs.get(&job.run_id).is_some_and(|run| run.from_fork);
    let mut part = json!({
        // GitHub's new servers give no number.
        "runnerRequestId": if config.offers { job.id } else { 0 },
        "jobId": job_uuid(job.id, 0x8001), "repositoryName": &*job.repo.name, "ownerName": config.organization,
        "jobWorkflowRef": format!("{repository}/.github/workflows/ci.yml@refs/heads/main"),
        "jobDisplayName": job.spec.name, "workflowRunId": job.run_id,
        "eventName": if from_fork { "pull_request" } else { "push" }, "requestLabels": job.spec.labels,
        "queueTime": rfc3339(job.queued), "scaleSetAssignTime": time(*since),
        "runnerAssignTime": time(job.started), "finishTime": time(job.completed),
    });
    let taker = job.runner.as_ref();
    part["messageType"] = match kind {
        Kind::Available => "JobAvailable",
        Kind::Assigned => "JobAssigned",
        Kind::Started => "JobStarted",
        Kind::Completed => "JobCompleted",
    }
    .into();
    if matches!(kind, Kind::Started | Kind::Completed) {
        part["runnerId"] = taker.map_or(0, |taker| taker.id).into();
        part["runnerName"] = taker.map_or("", |taker| taker.name.as_str()).into();
    }
    if *kind == Kind::Completed {
        part["result"] = result(job).into();
    }
    part
}

fn result(job: &Job) -> &'static str {
    match job.conclusion.as_deref() {
        Some("success") => "succeeded",
        Some("cancelled") => "canceled",
        Some("skipped") => "skipped",
        _ => "failed",
    }
}
