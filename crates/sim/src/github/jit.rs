//! The two documents a runner gets: its one-job registration, and the job.

use super::org::{Kind, Repo};
use super::server::{Shared, random_id};
use super::state::{Job, Runner};
use super::workflow::StepSpec;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// `encoded_jit_config`: three files in base64, in JSON, in base64.
pub(super) fn encode(shared: &Shared, runner: &Runner, work_folder: &str) -> String {
    let url = &shared.config.public_url;
    let settings = json!({
        "agentId": runner.id, "agentName": runner.name, "poolId": runner.group, "poolName": "Default",
        "ephemeral": true, "disableUpdate": true, "serverUrl": format!("{url}/"),
        "gitHubUrl": format!("{url}/{}", runner.scope), "workFolder": work_folder,
        "useV2Flow": true, "serverUrlV2": format!("{url}/broker/"),
    });
    let authorization_url = format!("{url}/token");
    let credentials = json!({ "scheme": "OAuth", "data": { "clientId": runner.client_id,
        "authorizationUrl": authorization_url, "requireFipsCryptography": "False" } });
    let file = |value: &Value| STANDARD.encode(value.to_string());
    let config = json!({
        ".runner": file(&settings),
        ".credentials": file(&credentials),
        ".credentials_rsaparams": file(&shared.runner_key.rsa_parameters()),
    });
    STANDARD.encode(config.to_string())
}

/// A token with the shape of a JWT; it is only ever looked up, never verified.
pub(super) fn token(what: &str, now: u64) -> String {
    token_until(what, now / 1000 + 86_400)
}

/// One that says that it ends at this second.
pub(super) fn token_until(what: &str, ends: u64) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({ "sub": what, "jti": random_id(), "exp": ends });
    format!(
        "{}.{}.{}",
        part(json!({ "alg": "RS256", "typ": "JWT" })),
        part(claims),
        URL_SAFE_NO_PAD.encode(random_id())
    )
}

/// An id that a job has for life, in the form of a UUID.
pub(super) fn job_uuid(job: u64, what: u16) -> String {
    format!("00000000-0000-4000-{what:04x}-{job:012x}")
}

/// The answer to `acquirejob`.
pub(super) fn job_message(shared: &Shared, (job, from_fork): (&Job, bool), token: &str) -> Value {
    let url = &shared.config.public_url;
    let repository = format!("{}/{}", shared.config.organization, job.repo.name);
    let github = [
        ("repository", repository.clone()),
        ("repository_owner", shared.config.organization.clone()),
        ("run_id", job.run_id.to_string()),
        ("run_number", "1".to_owned()),
        ("run_attempt", job.attempt.to_string()),
        ("workflow", job.spec.workflow.clone()),
        ("job", job.spec.key.clone()),
        ("actor", "dev-ana".to_owned()),
        ("triggering_actor", "dev-ana".to_owned()),
        ("event_name", if from_fork { "pull_request" } else { "push" }.to_owned()),
        ("ref", "refs/heads/main".to_owned()),
        ("ref_name", "main".to_owned()),
        ("ref_type", "branch".to_owned()),
        ("sha", "5f2c9d1b7a3e4f60819283746556473829100abc".to_owned()),
        ("server_url", url.clone()),
        ("api_url", url.clone()),
        ("graphql_url", format!("{url}/graphql")),
    ];
    let mut github: Vec<Value> =
        github.into_iter().map(|(k, v)| json!({ "k": k, "v": v })).collect();
    let event = event(&repository, &job.repo, from_fork);
    github.push(json!({ "k": "event", "v": template(&event) }));
    json!({
        "messageType": "RunnerJobRequest", "jobId": job_uuid(job.id, 0x8001), "jobDisplayName": job.spec.name,
        "jobName": job.spec.key, "requestId": job.id,
        "lockedUntil": super::payload::rfc3339(shared.clock.now() + 600_000),
        "plan": { "planId": job_uuid(job.id, 0x8002), "scopeIdentifier": job_uuid(1, 0x8003), "planType": "free", "version": 12 },
        "timeline": { "id": job_uuid(job.id, 0x8004), "changeId": 1, "location": null },
        "resources": { "endpoints": [{ "name": "SystemVssConnection", "url": format!("{url}/run/{}/", job.id), "data": {},
            "authorization": { "scheme": "OAuth", "parameters": { "AccessToken": token } } }] },
        "variables": {
            "system.github.token": { "value": "ghs_fake", "isSecret": true },
            "system.github.job": { "value": job.spec.key },
            // Only the fake runner looks at it; GitHub's own ignores variables it does not know.
            "flint_sim.log_url": { "value": format!("{url}/_sim/jobs/{}/log", job.id) },
        },
        "contextData": { "github": { "t": 2, "d": github } },
        "environmentVariables": if job.spec.env.is_empty() { json!([]) } else { json!([mapping(&job.spec.env)]) },
        "mask": [], "fileTable": [],
        "steps": job.spec.steps.iter().enumerate().map(|(n, spec)| step(job.id, n, spec)).collect::<Vec<_>>(),
    })
}

/// The payload that began the run, as far as a hook may look at it.
fn event(repository: &str, repo: &Repo, from_fork: bool) -> Value {
    let of = |id: u64| json!({ "id": id, "full_name": repository, "private": repo.kind != Kind::Public });
    let own = of(repo.id);
    match from_fork {
        true => json!({ "action": "opened", "repository": own,
            "pull_request": { "head": { "repo": of(repo.id + 100_000_000) }, "base": { "repo": own } } }),
        false => json!({ "ref": "refs/heads/main", "repository": own }),
    }
}

/// A value as the runner's context data has it.
fn template(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let pairs = fields.iter().map(|(k, v)| json!({ "k": k, "v": template(v) }));
            json!({ "t": 2, "d": pairs.collect::<Vec<_>>() })
        }
        other => other.clone(),
    }
}

fn step(job: u64, number: usize, spec: &StepSpec) -> Value {
    let mut inputs = vec![("script".to_owned(), spec.run.clone())];
    inputs.extend(spec.shell.iter().map(|shell| ("shell".to_owned(), shell.clone())));
    inputs.extend(
        spec.working_directory.iter().map(|path| ("workingDirectory".to_owned(), path.clone())),
    );
    let place = u16::try_from(number).unwrap_or(u16::MAX).saturating_add(0x9000);
    let mut step = json!({
        "type": "action", "id": job_uuid(job, place), "name": format!("__run_{number}"),
        "contextName": format!("__run_{number}"), "condition": spec.condition,
        "reference": { "type": "script" }, "inputs": mapping(&inputs),
    });
    if let Some(name) = &spec.name {
        step["displayNameToken"] = name.clone().into();
    }
    if !spec.env.is_empty() {
        step["environment"] = mapping(&spec.env);
    }
    if spec.continue_on_error {
        step["continueOnError"] = true.into();
    }
    if let Some(minutes) = spec.timeout_minutes {
        step["timeoutInMinutes"] = minutes.into();
    }
    step
}

/// A mapping token of GitHub's workflow templates.
fn mapping(pairs: &[(String, String)]) -> Value {
    let pairs: Vec<Value> = pairs.iter().map(|(k, v)| json!({ "Key": k, "Value": v })).collect();
    json!({ "type": 2, "map": pairs })
}
