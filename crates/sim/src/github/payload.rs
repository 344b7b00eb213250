//! How things look in GitHub's JSON: a job, in webhooks and in answers alike, and a whole webhook.

use super::org::Kind;
use super::server::Config;
use super::state::{Job, Told};
use serde_json::{Value, json};
use std::sync::LazyLock;

/// The shape: validated against GitHub's published schema.
const TEMPLATE: &str = include_str!("workflow_job.queued.json");

/// Read once: it is larger than all that changes in it.
static SHAPE: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(TEMPLATE).unwrap_or_default());

/// The webhook `workflow_job`.
pub(super) fn webhook(config: &Config, told: &Told) -> Value {
    let mut body = SHAPE.clone();
    body["action"] = told.action.into();
    body["workflow_job"] = job(config, &told.job);
    let repo = &told.job.repo;
    let full_name = format!("{}/{}", config.organization, repo.name);
    let (private, forks) = (repo.kind != Kind::Public, u32::from(repo.kind != Kind::Private));
    let changes = json!({ "id": repo.id, "name": &*repo.name, "full_name": full_name, "private": private,
        "visibility": if private { "private" } else { "public" }, "forks": forks, "forks_count": forks });
    merge(&mut body["repository"], &changes);
    body["repository"]["owner"]["login"] = config.organization.clone().into();
    body["organization"]["login"] = config.organization.clone().into();
    body["installation"]["id"] = config.installation.into();
    body
}

/// A job.
pub(super) fn job(config: &Config, job: &Job) -> Value {
    let mut shown = SHAPE["workflow_job"].clone();
    let repository = format!("{}/{}", config.organization, job.repo.name);
    let (url, id, run) = (&config.public_url, job.id, job.run_id);
    let api = format!("{url}/repos/{repository}");
    let null_or = |at: Option<u64>| at.map_or(Value::Null, |at| rfc3339(at).into());
    let changes = json!({
        "id": id, "run_id": run, "run_attempt": job.attempt, "name": job.spec.name,
        "workflow_name": job.spec.workflow, "labels": job.spec.labels,
        "status": job.status(), "conclusion": job.conclusion,
        // Filled even while it is queued, as GitHub does.
        "created_at": rfc3339(job.queued), "started_at": rfc3339(job.started.unwrap_or(job.queued)),
        "completed_at": null_or(job.completed),
        "html_url": format!("{url}/{repository}/actions/runs/{run}/job/{id}"),
        "url": format!("{api}/actions/jobs/{id}"), "run_url": format!("{api}/actions/runs/{run}"),
        "check_run_url": format!("{api}/check-runs/{id}"),
    });
    merge(&mut shown, &changes);
    match (&job.runner, job.status()) {
        (Some(taker), "in_progress" | "completed") => {
            let runner = json!({ "runner_id": taker.id, "runner_name": taker.name,
                "runner_group_id": taker.group, "runner_group_name": taker.group_name });
            merge(&mut shown, &runner);
        }
        // Cancelled before anyone had it: GitHub sends zeros and empty texts here.
        (None, "completed") => merge(&mut shown, &json!({ "runner_id": 0, "runner_name": "" })),
        _ => {}
    }
    shown
}

pub(super) fn merge(into: &mut Value, from: &Value) {
    if let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) {
        into.extend(from.clone());
    }
}

pub(super) fn rfc3339(at: u64) -> String {
    let at = i64::try_from(at / 1000).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
    at.map_or_else(String::new, |at| at.to_string())
}
