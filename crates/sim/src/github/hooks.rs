//! Signs and sends webhooks, in order, once; or, when told so, wrongly.
//!
//! They are sent one after the other, so an honest server's receiver sees them in the order of the events. GitHub sends
//! them at once and promises no order: that is asked for by [`HookRates`].

use super::apps::Target;
use super::clock::millis;
use super::log::{Attempt, HookView, Log};
use super::payload::{self, rfc3339};
use super::server::{Config, Shared, random_id};
use super::state::{Millis, Told};
use crate::rng::Rng;
use ring::hmac;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// A delivery that is held back behind later ones goes out after this, though none followed.
const HELD: Duration = Duration::from_secs(1);
/// So much of a receiver's answer is kept.
const ANSWER_KEPT: usize = 64 * 1024;

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
    /// Never sent, and listed nowhere.
    Lose,
    /// Never sent, and listed as failed.
    Fail,
}

/// How many deliveries in a thousand go wrong, for as long as this holds. Redeliveries are left alone.
///
/// The chances are drawn anew for each delivery from [`Config::seed`]: the same events fare the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HookRates {
    /// Never sent, and listed as failed: with 502, or with no status at all.
    pub failed: u32,
    /// Never sent, and listed nowhere.
    pub vanished: u32,
    /// Sent twice with one GUID.
    pub twice: u32,
    /// Held back behind one to four later ones; behind none when none follows for a second.
    pub reordered: u32,
    /// Sent late, by anything up to `delay_ms`, while others go on.
    pub delayed: u32,
    /// Milliseconds.
    pub delay_ms: u64,
}

/// On its way.
#[derive(Clone)]
pub(super) struct Outgoing {
    guid: String,
    event: String,
    action: Option<String>,
    body: Arc<str>,
    installation: Option<u64>,
    repository: Option<u64>,
    redelivery: bool,
    wrong: bool,
    /// When it was handed over to be sent.
    at: Millis,
}

/// What becomes of one. It is settled when the event happens, by what holds then.
pub(super) enum Fate {
    Send(Outgoing),
    /// Listed as failed, with this status.
    Fail(Outgoing, u16),
    Later(Outgoing, Millis),
    /// Sent after so many others.
    Hold(Outgoing, u64),
}

/// How webhooks go wrong, and what was sent.
pub(super) struct Hooks {
    bent: Mutex<Bent>,
    pub(super) log: Mutex<Log>,
}

struct Bent {
    faults: VecDeque<HookFault>,
    rates: HookRates,
    dice: Rng,
}

/// Deliveries that are held back, each with how many must pass it.
#[derive(Default)]
struct Held(Vec<(Outgoing, u64)>);

impl Hooks {
    pub(super) fn new(seed: u64) -> Self {
        let bent = Bent {
            faults: VecDeque::new(),
            rates: HookRates::default(),
            dice: Rng::new(seed ^ 0x6b00_0c5d),
        };
        Hooks { bent: Mutex::new(bent), log: Mutex::default() }
    }

    pub(super) fn fault(&self, fault: HookFault, times: u32) {
        let mut bent = self.bent.lock().unwrap_or_else(PoisonError::into_inner);
        bent.faults.extend((0..times).map(|_| fault));
    }

    pub(super) fn set_rates(&self, rates: HookRates) {
        self.bent.lock().unwrap_or_else(PoisonError::into_inner).rates = rates;
    }

    pub(super) fn log<R>(&self, how: impl FnOnce(&mut Log) -> R) -> R {
        how(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Sends what comes through the queue until nobody can hand anything over any more. Each item is one event.
pub(super) async fn send(
    shared: Arc<Shared>,
    http: reqwest::Client,
    mut queue: mpsc::UnboundedReceiver<Vec<Fate>>,
) {
    let mut held = Held::default();
    let mut late = JoinSet::new();
    loop {
        let flush = held.flush_at();
        let next = tokio::select! {
            biased;
            next = queue.recv() => match next {
                None => return,
                Some(next) => Some(next),
            },
            () = shared.clock.until(flush.unwrap_or_default()), if flush.is_some() => None,
        };
        let fates = match next {
            Some(next) => held.pass(next),
            None => held.flush(),
        };
        for fate in fates {
            match fate {
                Fate::Send(out) => out.deliver(&shared, &http).await,
                Fate::Fail(out, code) => out.record(&shared, Outcome::failed(code)),
                Fate::Later(out, at) => {
                    let (shared, http) = (Arc::clone(&shared), http.clone());
                    late.spawn(async move {
                        shared.clock.until(at).await;
                        out.deliver(&shared, &http).await;
                        shared.wake();
                    });
                }
                Fate::Hold(out, behind) => held.0.push((out, behind)),
            }
            shared.wake();
        }
        while late.try_join_next().is_some() {}
    }
}

impl Hooks {
    /// What becomes of this one.
    pub(super) fn settle(&self, out: Outgoing) -> Vec<Fate> {
        let mut bent = self.bent.lock().unwrap_or_else(PoisonError::into_inner);
        match bent.faults.pop_front() {
            Some(fault) => bend(out, fault),
            None if out.redelivery => vec![Fate::Send(out)],
            None => bent.draw(out),
        }
    }
}

fn bend(mut out: Outgoing, fault: HookFault) -> Vec<Fate> {
    match fault {
        HookFault::Lose => Vec::new(),
        HookFault::Fail => vec![Fate::Fail(out, 502)],
        HookFault::Duplicate => vec![Fate::Send(out.clone()), Fate::Send(out)],
        HookFault::Reorder => vec![Fate::Hold(out, 1)],
        HookFault::WrongSignature => {
            out.wrong = true;
            vec![Fate::Send(out)]
        }
    }
}

impl Bent {
    fn draw(&mut self, out: Outgoing) -> Vec<Fate> {
        let rates = self.rates;
        if rates == HookRates::default() {
            return vec![Fate::Send(out)];
        }
        if self.dice.chance(rates.failed.into()) {
            let code = if self.dice.chance(500) { 502 } else { 0 };
            return vec![Fate::Fail(out, code)];
        }
        if self.dice.chance(rates.vanished.into()) {
            return Vec::new();
        }
        let copies = if self.dice.chance(rates.twice.into()) { 2 } else { 1 };
        let mut fates = Vec::new();
        for out in std::iter::repeat_n(out, copies) {
            if self.dice.chance(rates.reordered.into()) {
                fates.push(Fate::Hold(out, 1 + self.dice.below(4)));
            } else if self.dice.chance(rates.delayed.into()) {
                let at = out.at + self.dice.below(rates.delay_ms) + 1;
                fates.push(Fate::Later(out, at));
            } else {
                fates.push(Fate::Send(out));
            }
        }
        fates
    }
}

impl Held {
    /// An event passes all that are held; those that were passed often enough follow it.
    fn pass(&mut self, event: Vec<Fate>) -> Vec<Fate> {
        self.0.iter_mut().for_each(|(_, left)| *left = left.saturating_sub(1));
        let passed = self.0.extract_if(.., |(_, left)| *left == 0).map(|(out, _)| Fate::Send(out));
        event.into_iter().chain(passed).collect()
    }

    fn flush_at(&self) -> Option<Millis> {
        self.0.iter().map(|(out, _)| out.at + millis(HELD)).max()
    }

    /// All, the youngest first.
    fn flush(&mut self) -> Vec<Fate> {
        self.0.drain(..).rev().map(|(out, _)| Fate::Send(out)).collect()
    }
}

/// How an attempt went.
struct Outcome {
    status: String,
    code: u16,
    headers: Value,
    body: String,
    took: Duration,
}

impl Outcome {
    fn failed(code: u16) -> Self {
        let status = match code {
            0 => "failed to connect to host".to_owned(),
            code => format!("Invalid HTTP Response: {code}"),
        };
        let (headers, body) = (json!({}), String::new());
        Outcome { status, code, headers, body, took: Duration::ZERO }
    }

    async fn of(sent: Result<reqwest::Response, reqwest::Error>) -> Self {
        let mut response = match sent {
            Ok(response) => response,
            Err(error) if error.is_timeout() => {
                return Outcome { status: "timed out".to_owned(), ..Outcome::failed(0) };
            }
            Err(_) => return Outcome::failed(0),
        };
        let code = response.status().as_u16();
        let text = |value: &reqwest::header::HeaderValue| {
            Value::from(String::from_utf8_lossy(value.as_bytes()))
        };
        let headers =
            response.headers().iter().map(|(name, value)| (name.to_string(), text(value)));
        let headers = Value::Object(headers.collect());
        let mut body = Vec::new();
        // What the answer says is for people to read; a cut one is as good.
        while let Ok(Some(chunk)) = response.chunk().await {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_KEPT {
                break;
            }
        }
        body.truncate(ANSWER_KEPT);
        let body = String::from_utf8_lossy(&body).into_owned();
        let good = (200..300).contains(&code);
        let status = if good { "OK".to_owned() } else { Outcome::failed(code).status };
        Outcome { status, code, headers, body, took: Duration::ZERO }
    }
}

impl Outgoing {
    pub(super) fn job((config, to): (&Config, &Target), told: &Told, at: Millis) -> Self {
        let mut body = payload::webhook(config, told);
        body["installation"]["id"] = to.installation.into();
        Outgoing {
            guid: random_id(),
            event: "workflow_job".to_owned(),
            action: Some(told.action.to_owned()),
            body: body.to_string().into(),
            installation: Some(to.installation),
            repository: Some(told.job.repo.id),
            redelivery: false,
            wrong: false,
            at,
        }
    }

    pub(super) fn again(sent: &HookView, at: Millis) -> Self {
        Outgoing {
            guid: sent.guid.clone(),
            event: sent.event.clone(),
            action: sent.action.clone(),
            body: Arc::clone(&sent.payload),
            installation: sent.installation_id,
            repository: sent.repository_id,
            redelivery: true,
            wrong: false,
            at,
        }
    }

    async fn deliver(self, shared: &Shared, http: &reqwest::Client) {
        let Some(Target { webhook: target, .. }) = shared.target() else {
            return;
        };
        let begun = tokio::time::Instant::now();
        let mut request =
            http.post(&target.url).timeout(shared.config.answer_wait).body(self.body.to_string());
        for (name, value) in self.headers(shared) {
            request = request.header(name, value);
        }
        let outcome = Outcome::of(request.send().await).await;
        self.record(shared, Outcome { took: begun.elapsed(), ..outcome });
    }

    /// What goes with the body.
    fn headers(&self, shared: &Shared) -> Vec<(&'static str, String)> {
        let target = shared.target();
        let secret = target.as_ref().map(|to| to.webhook.secret.as_str()).unwrap_or_default();
        let secret = if self.wrong { "not the secret" } else { secret };
        let app = target.as_ref().map_or_else(|| shared.config.app.clone(), |to| to.app.clone());
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = hmac::sign(&key, self.body.as_bytes());
        let tag: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        vec![
            ("content-type", "application/json".to_owned()),
            ("user-agent", "GitHub-Hookshot/0000000".to_owned()),
            ("x-github-event", self.event.clone()),
            ("x-github-delivery", self.guid.clone()),
            ("x-github-hook-id", "1".to_owned()),
            ("x-github-hook-installation-target-id", app),
            ("x-github-hook-installation-target-type", "integration".to_owned()),
            ("x-hub-signature-256", format!("sha256={tag}")),
        ]
    }

    /// Lists an attempt, by the time at which it is over.
    fn record(self, shared: &Shared, outcome: Outcome) {
        let headers = self.headers(shared).into_iter();
        let headers = headers.map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
        let at = shared.clock.now();
        let view = HookView {
            id: 0,
            guid: self.guid,
            delivered_at: rfc3339(at),
            redelivery: self.redelivery,
            duration: (outcome.took.as_secs_f64() * 100.0).round() / 100.0,
            status: outcome.status,
            status_code: outcome.code,
            event: self.event,
            action: self.action,
            installation_id: self.installation,
            repository_id: self.repository,
            throttled_at: None,
            payload: self.body,
        };
        let response = json!({ "headers": outcome.headers, "payload": outcome.body });
        let attempt =
            Attempt { view, at, headers: Value::Object(headers), response, vanished: false };
        shared.hooks.log(|log| log.add(attempt));
    }
}
