//! The log of the App's webhook: every attempt to deliver, and attempts that a test plants there.

use super::clock::millis;
use super::payload::{self, rfc3339};
use super::server::{Shared, random_id};
use super::state::{Job, Millis, Told};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// As github.com keeps them.
const KEPT: Duration = Duration::from_secs(3 * 24 * 3600);
/// Above 2^53: whoever reads ids as floating numbers gets other ones.
const FIRST: u64 = 9_100_000_000_000_001;

/// One attempt to deliver, as the App's settings show it.
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
    /// In seconds.
    pub duration: f64,
    /// In words.
    pub status: String,
    /// What the receiver answered; 0: nothing.
    pub status_code: u16,
    /// `workflow_job`.
    pub event: String,
    /// Its action.
    pub action: Option<String>,
    /// Whose event it is.
    pub installation_id: Option<u64>,
    /// Where it happened.
    pub repository_id: Option<u64>,
    /// Never here.
    pub throttled_at: Option<String>,
    /// What was sent.
    #[serde(skip)]
    pub payload: Arc<str>,
}

/// What is wrong with a planted delivery. All are listed as failed, `queued` events of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Planted {
    /// Nothing: as if it had been lost on the way.
    Plain,
    /// Another installation of the App got it, in an organization of somebody else.
    OtherInstallation,
    /// Its request was made for another App's webhook.
    OtherApp,
    /// It was delivered tomorrow.
    Future,
    /// Its payload is a text, and that is no JSON.
    NotJson,
    /// Listed, but asked for singly it is not found.
    Vanished,
}

/// An attempt with all that is known of it.
pub(super) struct Attempt {
    pub(super) view: HookView,
    /// When it was over.
    pub(super) at: Millis,
    /// The request's.
    pub(super) headers: Value,
    pub(super) response: Value,
    pub(super) vanished: bool,
}

/// All attempts by their number; a later one has a larger number.
#[derive(Default)]
pub(super) struct Log {
    attempts: BTreeMap<u64, Attempt>,
}

impl Log {
    /// Gives its number.
    pub(super) fn add(&mut self, mut attempt: Attempt) -> u64 {
        let id = self.attempts.keys().next_back().map_or(FIRST, |last| last + 1);
        attempt.view.id = id;
        self.attempts.insert(id, attempt);
        id
    }

    pub(super) fn len(&self) -> usize {
        self.attempts.len()
    }

    pub(super) fn views(&self) -> impl Iterator<Item = &HookView> {
        self.attempts.values().map(|attempt| &attempt.view)
    }

    /// Those that GitHub still has, the newest first.
    pub(super) fn kept(&self, now: Millis) -> impl Iterator<Item = &Attempt> {
        self.attempts.values().rev().filter(move |attempt| attempt.at + millis(KEPT) > now)
    }

    pub(super) fn get(&self, id: u64, now: Millis) -> Option<&Attempt> {
        let there = |a: &&Attempt| !a.vanished && a.at + millis(KEPT) > now;
        self.attempts.get(&id).filter(there)
    }
}

/// Puts a failed delivery into the log that was never sent. Gives its number.
pub(super) fn plant(shared: &Shared, what: Planted, job: Job) -> u64 {
    let (config, now) = (&shared.config, shared.clock.now());
    let (mut installation, mut app, mut at) = (config.installation, config.app.clone(), now);
    let mut repository = job.repo.id;
    let mut body = payload::webhook(config, &Told { action: "queued", job });
    match what {
        Planted::OtherApp => app.push('9'),
        Planted::Future => at += millis(Duration::from_secs(24 * 3600)),
        Planted::OtherInstallation => {
            (installation, repository) = (installation + 1, repository + 1_000_000);
            let names = [("name", "stolen"), ("full_name", "someone-else/stolen")];
            names.into_iter().for_each(|(key, name)| body["repository"][key] = name.into());
            body["repository"]["id"] = repository.into();
            body["repository"]["owner"]["login"] = "someone-else".into();
            body["organization"]["login"] = "someone-else".into();
            body["installation"]["id"] = installation.into();
        }
        Planted::Plain | Planted::NotJson | Planted::Vanished => {}
    }
    let mut payload: Arc<str> = body.to_string().into();
    if what == Planted::NotJson {
        payload = "payload=%7B%22action%22".into();
    }
    let guid = random_id();
    let headers = json!({ "x-github-event": "workflow_job", "x-github-delivery": guid,
        "x-github-hook-installation-target-id": app, "x-github-hook-installation-target-type": "integration" });
    let view = HookView {
        id: 0,
        guid,
        delivered_at: rfc3339(at),
        redelivery: false,
        duration: 0.0,
        status: "failed to connect to host".to_owned(),
        status_code: 0,
        event: "workflow_job".to_owned(),
        action: Some("queued".to_owned()),
        installation_id: Some(installation),
        repository_id: Some(repository),
        throttled_at: None,
        payload,
    };
    let vanished = what == Planted::Vanished;
    let response = json!({ "headers": {}, "payload": "" });
    shared.hooks.log(|log| log.add(Attempt { view, at: now, headers, response, vanished }))
}
