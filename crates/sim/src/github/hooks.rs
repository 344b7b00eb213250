//! Builds, signs and sends webhooks, in order, once; or, when told so, wrongly.

use super::server::{Config, now};
use super::state::{Job, Told};
use ring::hmac;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The shape: validated against GitHub's published schema.
const TEMPLATE: &str = include_str!("workflow_job.queued.json");
/// As GitHub waits.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// What happens to the next deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HookFault {
    /// Sent twice with one GUID.
    Duplicate,
    /// Sent after the one that follows it.
    Reorder,
    /// Signed with another secret.
    WrongSignature,
    /// Never sent.
    Lose,
}

/// One delivery, as GitHub's App settings show it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HookView {
    /// Its number.
    pub id: u64,
    /// The event's id: the same in a redelivery.
    pub guid: String,
    /// RFC 3339.
    pub delivered_at: String,
    /// Whether somebody asked for it again.
    pub redelivery: bool,
    /// In words.
    pub status: String,
    /// What the receiver answered; 0: nothing.
    pub status_code: u16,
    /// `workflow_job`.
    pub event: String,
    /// Its action.
    pub action: Option<String>,
    /// What was sent.
    #[serde(skip)]
    pub payload: String,
}

/// On its way.
#[derive(Clone)]
pub(super) struct Outgoing {
    guid: String,
    event: String,
    body: String,
    redelivery: bool,
    wrong: bool,
}

#[derive(Default)]
pub(super) struct Hooks {
    faults: Mutex<VecDeque<HookFault>>,
    sent: Mutex<Vec<HookView>>,
}

impl Hooks {
    pub(super) fn fault(&self, fault: HookFault, times: u32) {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.extend((0..times).map(|_| fault));
    }

    pub(super) fn sent(&self) -> Vec<HookView> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The deliveries that one outgoing becomes. `held`: one that waits for its successor.
    pub(super) fn bend(&self, mut out: Outgoing, held: &mut Vec<Outgoing>) -> Vec<Outgoing> {
        let fault = self.faults.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let mut now = match fault {
            Some(HookFault::Lose) => Vec::new(),
            Some(HookFault::Duplicate) => vec![out.clone(), out],
            Some(HookFault::Reorder) => {
                held.push(out);
                return Vec::new();
            }
            Some(HookFault::WrongSignature) => {
                out.wrong = true;
                vec![out]
            }
            None => vec![out],
        };
        now.append(held);
        now
    }

    pub(super) async fn deliver(&self, http: &reqwest::Client, config: &Config, out: Outgoing) {
        let Some(target) = &config.webhook else {
            return;
        };
        let secret = if out.wrong { "not the secret" } else { target.secret.as_str() };
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag: String = hmac::sign(&key, out.body.as_bytes())
            .as_ref()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        let request = http
            .post(&target.url)
            .timeout(ANSWER_WAIT)
            .header("content-type", "application/json")
            .header("user-agent", "GitHub-Hookshot/0000000")
            .header("x-github-event", &out.event)
            .header("x-github-delivery", &out.guid)
            .header("x-github-hook-id", "1")
            .header("x-github-hook-installation-target-id", &config.app)
            .header("x-github-hook-installation-target-type", "integration")
            .header("x-hub-signature-256", format!("sha256={tag}"))
            .body(out.body.clone());
        let status_code = request.send().await.map_or(0, |response| response.status().as_u16());
        let action = serde_json::from_str::<Value>(&out.body).ok();
        let action = action.and_then(|body| body["action"].as_str().map(str::to_owned));
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        let id = sent.len() as u64 + 1;
        sent.push(HookView {
            id,
            guid: out.guid,
            delivered_at: rfc3339(now()),
            redelivery: out.redelivery,
            status: if (200..300).contains(&status_code) { "OK" } else { "failed" }.to_owned(),
            status_code,
            event: out.event,
            action,
            payload: out.body,
        });
    }
}

impl Outgoing {
    pub(super) fn job(config: &Config, told: &Told) -> Self {
        let body = body(config, told.action, &told.job).to_string();
        Outgoing {
            guid: super::server::random_id(),
            event: "workflow_job".to_owned(),
            body,
            redelivery: false,
            wrong: false,
        }
    }

    pub(super) fn again(sent: &HookView) -> Self {
        let (guid, event, body) = (sent.guid.clone(), sent.event.clone(), sent.payload.clone());
        Outgoing { guid, event, body, redelivery: true, wrong: false }
    }
}

fn body(config: &Config, action: &str, job: &Job) -> Value {
    let mut body: Value = serde_json::from_str(TEMPLATE).unwrap_or_default();
    let repository = format!("{}/{}", config.organization, config.repository);
    let html =
        format!("{}/{repository}/actions/runs/{}/job/{}", config.public_url, job.run_id, job.id);
    let view = job.view();
    let null_or = |at: Option<u64>| at.map_or(Value::Null, |at| rfc3339(at).into());
    body["action"] = action.into();
    let changes = json!({
        "id": job.id, "run_id": job.run_id, "run_attempt": 1, "name": job.spec.name,
        "workflow_name": job.spec.workflow, "labels": job.spec.labels, "html_url": html,
        "status": view.status, "conclusion": job.conclusion,
        "created_at": rfc3339(job.queued), "started_at": rfc3339(job.started.unwrap_or(job.queued)),
        "completed_at": null_or(job.completed),
    });
    merge(&mut body["workflow_job"], &changes);
    match (&job.runner, action) {
        (Some((id, name)), "in_progress" | "completed") => {
            let runner = json!({ "runner_id": id, "runner_name": name, "runner_group_id": 1, "runner_group_name": "Default" });
            merge(&mut body["workflow_job"], &runner);
        }
        // Cancelled before anyone had it: GitHub sends zeros and empty texts here.
        (None, "completed") => {
            merge(&mut body["workflow_job"], &json!({ "runner_id": 0, "runner_name": "" }))
        }
        _ => {}
    }
    merge(&mut body["repository"], &json!({ "name": config.repository, "full_name": repository }));
    body["repository"]["owner"]["login"] = config.organization.clone().into();
    body["organization"]["login"] = config.organization.clone().into();
    body["installation"]["id"] = config.installation.into();
    body
}

fn merge(into: &mut Value, from: &Value) {
    if let (Some(into), Some(from)) = (into.as_object_mut(), from.as_object()) {
        into.extend(from.clone());
    }
}

pub(super) fn rfc3339(at: u64) -> String {
    let at = i64::try_from(at / 1000).ok().and_then(|s| jiff::Timestamp::from_second(s).ok());
    at.map_or_else(String::new, |at| at.to_string())
}
