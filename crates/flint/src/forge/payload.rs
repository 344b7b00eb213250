//! Reads a `workflow_job` body, or a job as GitHub lists it, into a fact. Only what is used is looked at; everything else may be anything.
//!
//! Source: GitHub's webhook schema, and what was seen in the field: fields that are null, absent, empty or 0 all mean
//! "none", unknown fields and actions appear without notice. A field that is used and has another type is an error
//! that names it.

use crate::text;
use flint_core::event::ForgeEvent;
use flint_core::id::{JobKey, RunnerName};
use flint_core::job::{Conclusion, JobRequest};
use flint_core::policy::Origin;
use serde_json::Value;

/// GitHub gives a runner at most 100 labels, so a job that asks for more fits none.
pub(crate) const MOST_LABELS: usize = 100;

/// What a body says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// A fact, and the repository (`owner/name`) it is about.
    Fact(ForgeEvent),
    /// Nothing that Flint acts on: the action, or the job's status.
    Nothing(String),
}

/// How a job stands that GitHub was asked about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Listed {
    /// Queued, taken or completed: a fact.
    Fact(Box<ForgeEvent>),
    /// It waits for an approval or another job, or has a status of the future: no runner can get it yet.
    Held,
}

/// A body that cannot be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("the body is not JSON (line {line}, column {column})")]
    NotJson { line: usize, column: usize },
    #[error("`{field}` should be {wanted}, not {found}")]
    WrongType { field: String, wanted: &'static str, found: &'static str },
    #[error("`{field}` is missing")]
    Missing { field: String },
    #[error("`{field}` has more than {MOST_LABELS} items")]
    TooMany { field: String },
}

/// Reads any JSON body.
pub(crate) fn json(body: &[u8]) -> Result<Value, Malformed> {
    serde_json::from_slice(body)
        .map_err(|e| Malformed::NotJson { line: e.line(), column: e.column() })
}

/// Whether a `ping` tells that jobs will be told. `None`: it does not say.
pub(crate) fn ping_has_jobs(body: &Value) -> Option<bool> {
    let events = body.get("hook")?.get("events")?.as_array()?;
    Some(events.iter().any(|event| event == "workflow_job" || event == "*"))
}

/// Reads the body of a `workflow_job`.
pub(crate) fn workflow_job(body: &Value) -> Result<Told, Malformed> {
    let top = Fields { of: body, path: "" };
    let action = top.text("action")?.ok_or_else(|| top.missing("action"))?;
    if !matches!(action, "queued" | "in_progress" | "completed") {
        return Ok(Told::Nothing(format!("action `{}`", text::line(action))));
    }
    let job = top.object("workflow_job")?;
    let job = Fields { of: job, path: "workflow_job." };
    let key = job.key(1)?;
    let repository = Fields { of: top.object("repository")?, path: "repository." };
    let full_name = repository.text("full_name")?.ok_or_else(|| repository.missing("full_name"))?;
    let origin = origin(&repository)?;
    let request = JobRequest { origin, ..request(full_name, &job)? };
    if action == "queued" {
        // Waiting for an approval, or a status of the future: no runner can get it yet.
        let status = job.text("status")?.unwrap_or("queued");
        if status != "queued" {
            return Ok(Told::Nothing(format!("status `{}`", text::line(status))));
        }
    }
    fact(action, key, request, &job).map(Told::Fact)
}

/// The installation that a delivery's body is about, if it says so.
pub(crate) fn installation(body: &Value) -> Option<u64> {
    body.get("installation")?.get("id")?.as_u64()
}

/// Which job an entry of a list is about. `attempt`: of the run that was asked for.
pub(crate) fn listed_key(job: &Value, attempt: u32) -> Result<JobKey, Malformed> {
    Fields { of: job, path: "job." }.key(attempt)
}

/// Reads a job as GitHub answers it to a question.
pub(crate) fn listed_job(job: &Value, key: JobKey, repository: &str) -> Result<Listed, Malformed> {
    let job = Fields { of: job, path: "job." };
    let status = job.text("status")?.ok_or_else(|| job.missing("status"))?;
    if !matches!(status, "queued" | "in_progress" | "completed") {
        return Ok(Listed::Held);
    }
    let request = request(repository, &job)?;
    fact(status, key, request, &job).map(|event| Listed::Fact(Box::new(event)))
}

/// `stage` is one of GitHub's words `queued`, `in_progress` and `completed`.
fn fact(
    stage: &str,
    key: JobKey,
    request: JobRequest,
    job: &Fields<'_>,
) -> Result<ForgeEvent, Malformed> {
    let runner = job.text("runner_name")?.filter(|name| !name.is_empty());
    let runner = runner.map(|name| RunnerName::told(&text::line(name)));
    Ok(match stage {
        "queued" => ForgeEvent::JobQueued { job: key, request },
        "in_progress" => ForgeEvent::JobStarted { job: key, request, runner },
        _ => {
            let conclusion = text::line(job.text("conclusion")?.unwrap_or("unknown"));
            let conclusion = Conclusion(conclusion);
            ForgeEvent::JobCompleted { job: key, request, runner, conclusion }
        }
    })
}

fn request(repository: &str, job: &Fields<'_>) -> Result<JobRequest, Malformed> {
    Ok(JobRequest {
        repository: text::line(repository),
        workflow: text::line(job.text("workflow_name")?.unwrap_or_default()),
        name: text::line(job.text("name")?.unwrap_or_default()),
        labels: labels(job)?,
        run_id: job.number("run_id")?.unwrap_or(0),
        url: text::line(job.text("html_url")?.unwrap_or_default()),
        scale_set: None,
        origin: Origin::default(),
    })
}

/// What a webhook's repository tells of where its jobs come from. Of the run it says nothing; but where there is no fork,
/// no run comes from one.
fn origin(repository: &Fields<'_>) -> Result<Origin, Malformed> {
    let private = repository.flag("private")?;
    let public = match repository.text("visibility")? {
        Some("public") => Some(true),
        Some("private" | "internal") => Some(false),
        Some(_) | None => private.map(|private| !private),
    };
    let never_forked = public == Some(false) && repository.number("forks_count")? == Some(0);
    Ok(Origin { public, fork: never_forked.then_some(false) })
}

/// What a fact about a job says of it.
pub(crate) fn request_of(event: &mut ForgeEvent) -> Option<&mut JobRequest> {
    match event {
        ForgeEvent::JobQueued { request, .. }
        | ForgeEvent::JobStarted { request, .. }
        | ForgeEvent::JobCompleted { request, .. } => Some(request),
        _ => None,
    }
}

fn labels(job: &Fields<'_>) -> Result<Vec<String>, Malformed> {
    let Some(items) = job.get("labels") else {
        return Ok(Vec::new());
    };
    let items = items.as_array().ok_or_else(|| job.wrong("labels", "a list"))?;
    if items.len() > MOST_LABELS {
        return Err(Malformed::TooMany { field: format!("{}labels", job.path) });
    }
    let read = |(at, item): (usize, &Value)| match item {
        // The schema allows null items once a job has completed.
        Value::Null => None,
        Value::String(label) => Some(Ok(text::line(label))),
        other => Some(Err(Malformed::WrongType {
            field: format!("{}labels[{at}]", job.path),
            wanted: "a text",
            found: kind(other),
        })),
    };
    items.iter().enumerate().filter_map(read).collect()
}

/// An object's fields; null and absent are the same.
struct Fields<'a> {
    of: &'a Value,
    path: &'static str,
}

impl<'a> Fields<'a> {
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.of.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Result<Option<&'a str>, Malformed> {
        let read = |value: &'a Value| value.as_str().ok_or_else(|| self.wrong(name, "a text"));
        self.get(name).map(read).transpose()
    }

    fn number(&self, name: &str) -> Result<Option<u64>, Malformed> {
        let read =
            |value: &'a Value| value.as_u64().ok_or_else(|| self.wrong(name, "a whole number"));
        self.get(name).map(read).transpose()
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, Malformed> {
        let read =
            |value: &'a Value| value.as_bool().ok_or_else(|| self.wrong(name, "true or false"));
        self.get(name).map(read).transpose()
    }

    fn object(&self, name: &str) -> Result<&'a Value, Malformed> {
        if !self.of.is_object() {
            return Err(Malformed::WrongType {
                field: "the body".to_owned(),
                wanted: "an object",
                found: kind(self.of),
            });
        }
        let value = self.get(name).ok_or_else(|| self.missing(name))?;
        if value.is_object() { Ok(value) } else { Err(self.wrong(name, "an object")) }
    }

    fn key(&self, attempt: u32) -> Result<JobKey, Malformed> {
        let id = self.number("id")?.filter(|id| *id > 0).ok_or_else(|| self.missing("id"))?;
        let attempt = self.number("run_attempt")?.unwrap_or(u64::from(attempt));
        let attempt =
            u32::try_from(attempt).map_err(|_| self.wrong("run_attempt", "a number below 2^32"))?;
        Ok(JobKey { id, attempt: attempt.max(1) })
    }

    fn missing(&self, name: &str) -> Malformed {
        Malformed::Missing { field: format!("{}{name}", self.path) }
    }

    fn wrong(&self, name: &str, wanted: &'static str) -> Malformed {
        let found = self.of.get(name).map_or("nothing", kind);
        Malformed::WrongType { field: format!("{}{name}", self.path), wanted, found }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "this number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The repository a fact about a job is about.
pub(crate) fn repository(event: &ForgeEvent) -> Option<&str> {
    match event {
        ForgeEvent::JobQueued { request, .. }
        | ForgeEvent::JobStarted { request, .. }
        | ForgeEvent::JobCompleted { request, .. } => Some(&request.repository),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn body() -> Value {
        json!({
            "action": "completed",
            "workflow_job": { "id": 7, "run_id": 3, "run_attempt": 2, "name": "t", "workflow_name": null,
                "labels": ["flint", null, "Linux"], "status": "completed", "conclusion": "cancelled",
                "runner_id": 0, "runner_name": "", "html_url": "u", "new_field": [1] },
            "repository": { "full_name": "o/r" },
        })
    }

    fn wrong(at: &str, value: Value) -> String {
        let mut body = body();
        *body.pointer_mut(at).expect("the test names a field that is there") = value;
        workflow_job(&body).expect_err("it is refused").to_string()
    }

    #[test]
    fn null_absent_zero_and_empty_all_mean_none() {
        let Ok(Told::Fact(ForgeEvent::JobCompleted { job, request, runner, conclusion })) =
            workflow_job(&body())
        else {
            panic!("it is a completed job");
        };
        assert_eq!((job.id, job.attempt, runner), (7, 2, None));
        assert_eq!((request.workflow.as_str(), conclusion.0.as_str()), ("", "cancelled"));
        assert_eq!(request.labels, ["flint", "Linux"]);
    }

    #[test]
    fn a_webhook_tells_who_sees_the_repository_and_whether_it_was_ever_forked() {
        let told = |repository: Value| {
            let mut repository = repository;
            repository["full_name"] = json!("o/r");
            let body = json!({ "action": "queued", "workflow_job": { "id": 1 }, "repository": repository });
            let Ok(Told::Fact(ForgeEvent::JobQueued { request, .. })) = workflow_job(&body) else {
                panic!("it is a queued job");
            };
            (request.origin.public, request.origin.fork)
        };
        let private = |forks: u64| json!({ "private": true, "forks_count": forks });
        assert_eq!(told(private(0)), (Some(false), Some(false)));
        assert_eq!(told(private(1)), (Some(false), None));
        assert_eq!(told(json!({ "private": false, "forks_count": 0 })), (Some(true), None));
        let internal = json!({ "private": true, "visibility": "internal", "forks_count": 0 });
        assert_eq!(told(internal), (Some(false), Some(false)));
        assert_eq!(told(json!({ "visibility": "public" })), (Some(true), None));
        assert_eq!(told(json!({ "visibility": "new", "private": true })), (Some(false), None));
        assert_eq!(told(json!({})), (None, None));
    }

    #[test]
    fn almost_everything_may_be_absent() {
        let body = json!({"action": "queued", "workflow_job": {"id": 1}, "repository": {"full_name": "o/r"}});
        assert!(matches!(workflow_job(&body), Ok(Told::Fact(ForgeEvent::JobQueued { .. }))));
    }

    #[test]
    fn a_wrong_type_names_its_field() {
        assert_eq!(
            wrong("/workflow_job/id", json!("7")),
            "`workflow_job.id` should be a whole number, not a text"
        );
        assert_eq!(
            wrong("/workflow_job/id", json!(-7)),
            "`workflow_job.id` should be a whole number, not this number"
        );
        assert_eq!(wrong("/workflow_job/id", Value::Null), "`workflow_job.id` is missing");
        assert_eq!(
            wrong("/workflow_job/labels", json!("x")),
            "`workflow_job.labels` should be a list, not a text"
        );
        assert_eq!(
            wrong("/workflow_job/labels/2", json!(5)),
            "`workflow_job.labels[2]` should be a text, not this number"
        );
        assert_eq!(
            wrong("/workflow_job/conclusion", json!({})),
            "`workflow_job.conclusion` should be a text, not an object"
        );
        assert_eq!(
            wrong("/workflow_job", json!([])),
            "`workflow_job` should be an object, not a list"
        );
        assert_eq!(
            wrong("/repository/full_name", json!(true)),
            "`repository.full_name` should be a text, not true or false"
        );
        assert_eq!(wrong("/action", json!(1)), "`action` should be a text, not this number");
    }

    #[test]
    fn more_labels_than_a_runner_can_have_are_refused_not_cut() {
        assert_eq!(
            wrong("/workflow_job/labels", json!(vec!["x"; 101])),
            "`workflow_job.labels` has more than 100 items"
        );
    }

    #[test]
    fn a_job_that_waits_for_approval_is_no_demand() {
        let mut body = body();
        body["action"] = json!("queued");
        body["workflow_job"]["status"] = json!("waiting");
        assert_eq!(workflow_job(&body), Ok(Told::Nothing("status `waiting`".to_owned())));
        body["action"] = json!("new\u{1b}thing");
        assert_eq!(workflow_job(&body), Ok(Told::Nothing("action `new\u{fffd}thing`".to_owned())));
    }

    #[test]
    fn a_ping_tells_whether_jobs_will_come() {
        assert_eq!(ping_has_jobs(&json!({"hook": {"events": ["push"]}})), Some(false));
        assert_eq!(
            ping_has_jobs(&json!({"hook": {"events": ["push", "workflow_job"]}})),
            Some(true)
        );
        assert_eq!(ping_has_jobs(&json!({"zen": "x"})), None);
    }

    fn listed(status: &str) -> Value {
        json!({ "id": 7, "run_id": 3, "status": status, "conclusion": null, "name": "t\u{1b}", "labels": ["flint"],
            "workflow_name": "CI", "runner_name": "vm-1-small-k3x9q2", "html_url": "u", "steps": [{}] })
    }

    #[test]
    fn a_listed_job_is_the_same_fact_as_a_delivered_one() {
        let key = listed_key(&listed("queued"), 3).expect("it has an id");
        assert_eq!((key.id, key.attempt), (7, 3));
        let fact = |status: &str| match listed_job(&listed(status), key, "o/r") {
            Ok(Listed::Fact(event)) => *event,
            other => panic!("{status} is a fact, not {other:?}"),
        };
        let ForgeEvent::JobQueued { job, request } = fact("queued") else { panic!("it is queued") };
        assert_eq!((job, request.run_id, request.repository.as_str()), (key, 3, "o/r"));
        assert_eq!((request.name.as_str(), request.workflow.as_str()), ("t\u{fffd}", "CI"));
        let ForgeEvent::JobStarted { runner, .. } = fact("in_progress") else { panic!("it runs") };
        assert_eq!(runner, Some(RunnerName::told("vm-1-small-k3x9q2")));
        let ForgeEvent::JobCompleted { conclusion, .. } = fact("completed") else {
            panic!("it ended")
        };
        assert_eq!(conclusion.0, "unknown");
    }

    #[test]
    fn a_listed_job_that_no_runner_can_get_is_held_and_one_without_a_status_is_an_error() {
        let key = JobKey { id: 7, attempt: 1 };
        for status in ["waiting", "pending", "requested", "reticulating"] {
            assert_eq!(listed_job(&listed(status), key, "o/r"), Ok(Listed::Held), "{status}");
        }
        let mut job = listed("queued");
        job["status"] = Value::Null;
        let wrong =
            |job: &Value| listed_job(job, key, "o/r").expect_err("it cannot be read").to_string();
        assert_eq!(wrong(&job), "`job.status` is missing");
        job = listed("queued");
        job["labels"] = json!(["x", 5]);
        assert_eq!(wrong(&job), "`job.labels[1]` should be a text, not this number");
        let key = |job: Value| listed_key(&job, 1).expect_err("it has no id").to_string();
        assert_eq!(key(json!({ "id": 0 })), "`job.id` is missing");
        assert_eq!(key(json!([])), "`job.id` is missing");
    }
}
