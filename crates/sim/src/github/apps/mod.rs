//! GitHub Apps that are made while the server runs, by GitHub's manifest flow: a form, a code, an installation.
//!
//! The App of [`super::Config`] is there from the start, and is not among these.

mod caller;
mod installed;
mod manifest;
mod rest;
mod rights;
mod web;

pub(super) use caller::{Caller, caller};
pub(super) use rest::routes;
pub(super) use rights::check;
pub(super) use web::routes as pages;

use super::key::Key;
use super::server::{Config, Webhook, random_id};
use super::state::{Millis, State};
use manifest::Manifest;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A manifest's code is good for an hour.
const CODE_LIFE: Millis = 3_600_000;
/// Somebody who owns no organization here, and is signed in at the pages.
pub(super) const PERSON: &str = "octocat";

/// An App as seen from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppView {
    /// GitHub's number.
    pub id: u64,
    /// Its name as it stands in addresses.
    pub slug: String,
    /// Whose it is.
    pub owner: String,
    /// The number of its installation, once it has one.
    pub installation: Option<u64>,
    /// Level by name.
    pub permissions: BTreeMap<String, String>,
    /// What it hears.
    pub events: BTreeSet<String>,
}

/// An App.
#[derive(Clone)]
pub(super) struct App {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) slug: String,
    pub(super) owner: String,
    pub(super) client_id: String,
    /// Made when the code is exchanged: nobody can prove to be the App before.
    key: Option<Key>,
    hook: Hook,
    pub(super) setup_url: String,
    /// What it asks for.
    pub(super) asks: Rights,
    /// Its number, and what the owner agreed to then.
    pub(super) installed: Option<(u64, Rights)>,
}

/// Where an App's webhooks go.
#[derive(Clone)]
struct Hook {
    url: String,
    active: bool,
    secret: String,
}

/// What an App may do and hear.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Rights {
    pub(super) permissions: BTreeMap<String, String>,
    pub(super) events: BTreeSet<String>,
}

/// All of them.
#[derive(Default)]
pub(super) struct Apps {
    pub(super) all: BTreeMap<u64, App>,
    /// What has not been exchanged yet, and until when it can be.
    codes: BTreeMap<String, (u64, Millis)>,
    /// Whose installation tokens are.
    pub(super) tokens: BTreeMap<String, u64>,
}

/// Who hears of jobs, and by what name.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) webhook: Webhook,
    pub(super) app: String,
    pub(super) installation: u64,
}

/// Who hears of jobs: the App of the start, or else the first that was made, installed, and wants to.
pub(super) fn target(config: &Config, state: &State) -> Option<Target> {
    if let Some(webhook) = config.webhook.clone() {
        let (app, installation) = (config.app.clone(), config.installation);
        return Some(Target { webhook, app, installation });
    }
    state.apps.all.values().find_map(|app| {
        let (installation, given) = app.installed.as_ref()?;
        if !app.hook.active || !given.events.contains("workflow_job") {
            return None;
        }
        let (url, secret) = (app.hook.url.clone(), app.hook.secret.clone());
        let webhook = Webhook { url, secret };
        Some(Target { webhook, app: app.id.to_string(), installation: *installation })
    })
}

impl App {
    pub(super) fn set(&mut self, permission: &str, level: Option<&str>) {
        let given = self.installed.as_mut().map(|(_, given)| given);
        for rights in std::iter::once(&mut self.asks).chain(given) {
            match level {
                Some(level) => {
                    rights.permissions.insert(permission.to_owned(), level.to_owned());
                }
                None => drop(rights.permissions.remove(permission)),
            }
        }
    }

    pub(super) fn view(&self) -> AppView {
        AppView {
            id: self.id,
            slug: self.slug.clone(),
            owner: self.owner.clone(),
            installation: self.installed.as_ref().map(|(id, _)| *id),
            permissions: self.asks.permissions.clone(),
            events: self.asks.events.clone(),
        }
    }
}

impl State {
    /// Makes an App of a manifest. Gives a code for it; `Err` says what the owner is told instead.
    fn make_app(
        &mut self,
        owner: &str,
        manifest: Manifest,
        now: Millis,
    ) -> Result<String, &'static str> {
        let slug = slug(&manifest.name);
        if self.apps.all.values().any(|app| app.slug == slug) {
            return Err("Name is already in use");
        }
        let id = self.number();
        let random = || random_id().replace('-', "");
        let hook = Hook { url: manifest.hook.url, active: manifest.hook.active, secret: random() };
        let app = App {
            id,
            name: manifest.name,
            slug,
            owner: owner.to_owned(),
            client_id: format!("Iv23{}", &random()[..16]),
            key: None,
            hook,
            setup_url: manifest.setup_url,
            asks: Rights { permissions: manifest.permissions, events: manifest.events },
            installed: None,
        };
        let code = random() + &random()[..8];
        self.apps.codes.insert(code.clone(), (id, now + CODE_LIFE));
        self.apps.all.insert(id, app);
        Ok(code)
    }

    /// The App of a code, which is used up by this.
    fn use_code(&mut self, code: &str, now: Millis) -> Option<u64> {
        let (id, until) = self.apps.codes.remove(code)?;
        (now < until).then_some(id)
    }

    /// Installs an App with all that it asks for. Gives the installation's number.
    fn install(&mut self, slug: &str) -> Option<u64> {
        let number = self.number();
        let app = self.apps.all.values_mut().find(|app| app.slug == slug)?;
        let asks = app.asks.clone();
        Some(app.installed.insert((number, asks)).0)
    }

    pub(super) fn app(&self, slug: &str) -> Option<&App> {
        self.apps.all.values().find(|app| app.slug == slug)
    }
}

fn slug(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    name.chars().map(plain).collect()
}
