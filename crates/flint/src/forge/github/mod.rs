//! Registers and removes runners by GitHub's REST API, and asks it what happened.

mod admits;
mod answer;
mod deliveries;
mod group;
mod job;
mod jobs;
mod partial;
mod repositories;
mod run;
pub(super) mod standing;
mod told;

use self::admits::Admits;
use self::told::Memory;
use super::rest::{Bearer, Call, Freshness, Reply, Rest};
use super::token::Tokens;
use super::{Answer, Error, Forge, Options, Registered, Removal, Request, Scope};
use flint_core::ask::Question;
use flint_core::id::{RunnerId, RunnerName, VmId};
use flint_core::units::Timestamp;
use flint_wire::Secret;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// GitHub's largest page.
const PAGE: usize = 100;
/// A runner group holds at most 10,000 runners; ten times that is a listing that does not end.
const MOST_PAGES: usize = 1000;

/// GitHub, for one daemon. Runners of other daemons in the same scope are not seen.
pub struct GitHub {
    rest: Rest,
    tokens: Tokens,
    scope: Scope,
    group: group::Group,
    instance: String,
    memory: Mutex<Memory>,
    admits: Mutex<Admits>,
}

/// What a call needs beyond who calls.
struct Ask<'a> {
    method: Method,
    path: &'a [&'a str],
    query: &'a [(&'a str, &'a str)],
    body: Option<Value>,
    freshness: Freshness,
}

#[derive(Deserialize)]
struct Runner {
    id: u64,
    name: String,
}

#[derive(Deserialize)]
struct Page {
    runners: Vec<Runner>,
}

#[derive(Deserialize)]
struct JitAnswer {
    runner: Runner,
    encoded_jit_config: Secret,
}

impl GitHub {
    /// Prepares everything and sends nothing. `instance` is the daemon's mark in the names of its runners.
    ///
    /// # Errors
    /// [`Error::NotAKey`], [`Error::BadUrl`], [`Error::Client`].
    pub fn new(options: &Options, instance: &str) -> Result<Self, Error> {
        Ok(GitHub {
            rest: Rest::new(&options.api_url)?,
            tokens: Tokens::new(&options.credentials, &options.scope)?,
            scope: options.scope.clone(),
            group: group::Group::new(&options.runner_group),
            instance: instance.to_owned(),
            memory: Mutex::default(),
            admits: Mutex::default(),
        })
    }

    /// Shows that the App's credentials work: gets a token and reads one runner. For `flint doctor`.
    ///
    /// # Errors
    /// Whatever stands in the way.
    pub async fn check(&self) -> Result<(), Error> {
        let query = [("per_page", "1")];
        self.on_runners(Method::GET, &[], &query, None).await?.json::<Page>().map(|_| ())
    }

    /// Sends with the installation's token; a 401 gets one try with a new token, for it was not carried out.
    async fn send(&self, ask: Ask<'_>) -> Result<Reply, Error> {
        let token = self.tokens.get(&self.rest).await?;
        let first = self.send_as(&ask, &token.text).await;
        if !matches!(first, Err(Error::Unauthorized { .. })) {
            return first;
        }
        let token = self.tokens.renewed(&self.rest, &token).await?;
        self.send_as(&ask, &token.text).await
    }

    async fn send_as(&self, ask: &Ask<'_>, token: &Secret) -> Result<Reply, Error> {
        let Ask { method, path, query, body, freshness } = ask;
        let (method, body, freshness) = (method.clone(), body.clone(), *freshness);
        let bearer = Bearer::Installation(token);
        self.rest.send(Call { method, path, query, body, bearer, freshness }).await
    }

    /// A call about the runners of our scope. What decides over runners is never taken from an older answer.
    async fn on_runners(
        &self,
        method: Method,
        below: &[&str],
        query: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<Reply, Error> {
        let mut path = self.scope.home();
        path.extend(["actions", "runners"]);
        path.extend(below);
        self.send(Ask { method, path: &path, query, body, freshness: Freshness::Sent }).await
    }

    /// Reads something that often stays the same from one question to the next.
    async fn read(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Reply, Error> {
        let (method, freshness) = (Method::GET, Freshness::Kept);
        self.send(Ask { method, path, query, body: None, freshness }).await
    }

    /// Runners under exactly this name: none or one.
    async fn named(&self, name: &RunnerName) -> Result<Vec<Runner>, Error> {
        let query = [("name", name.as_str()), ("per_page", "100")];
        let mut page: Page = self.on_runners(Method::GET, &[], &query, None).await?.json()?;
        // Older servers do not know the filter and answer with everybody.
        page.runners.retain(|runner| runner.name == name.as_str());
        Ok(page.runners)
    }

    /// Every runner that carries this instance's mark.
    ///
    /// A runner removed while pages are read moves the later ones up, past a page's edge: one could be missed that was
    /// there all the time. So a listing of several pages is read twice, and seen once is seen.
    async fn ours(&self) -> Result<BTreeMap<u64, (VmId, Runner)>, Error> {
        let mut found = BTreeMap::new();
        if self.read_pages(&mut found).await? > 1 {
            self.read_pages(&mut found).await?;
        }
        Ok(found)
    }

    async fn read_pages(&self, found: &mut BTreeMap<u64, (VmId, Runner)>) -> Result<usize, Error> {
        for page in 1..=MOST_PAGES {
            let number = page.to_string();
            let query = [("per_page", "100"), ("page", number.as_str())];
            let reply = self.on_runners(Method::GET, &[], &query, None).await?;
            let Page { runners } = reply.json()?;
            let last = runners.len() < PAGE;
            let mine =
                |r: Runner| RunnerName::told(&r.name).vm(&self.instance).map(|vm| (r.id, (vm, r)));
            found.extend(runners.into_iter().filter_map(mine));
            if last {
                return Ok(page);
            }
        }
        Ok(MOST_PAGES)
    }

    async fn remove(&self, runner: &Runner) -> Result<Removal, Error> {
        let id = runner.id.to_string();
        match self.on_runners(Method::DELETE, &[&id], &[], None).await {
            Ok(_) | Err(Error::NotFound { .. }) => Ok(Removal::Gone),
            Err(Error::Invalid { .. }) => Ok(Removal::Busy),
            Err(other) => Err(other),
        }
    }
}

impl Forge for GitHub {
    async fn register(&self, request: Request) -> Result<Registered, Error> {
        let body = json!({
            "name": request.name.as_str(),
            "runner_group_id": self.group().await?,
            "labels": request.labels,
            "work_folder": "_work",
        });
        let below = ["generate-jitconfig"];
        let made = self.on_runners(Method::POST, &below, &[], Some(body)).await?;
        let made: JitAnswer = made.json()?;
        tracing::debug!(vm = %request.vm, profile = %request.profile, runner = made.runner.id, "registered");
        Ok(Registered { runner: RunnerId(made.runner.id), jit_config: made.encoded_jit_config })
    }

    async fn deregister(&self, vm: VmId, names: Vec<RunnerName>) -> Result<Removal, Error> {
        let mut found = Vec::new();
        if names.is_empty() {
            let ours = self.ours().await?.into_values();
            found.extend(ours.filter(|(of, _)| *of == vm).map(|(_, runner)| runner));
        }
        for name in &names {
            found.extend(self.named(name).await?);
        }
        // A busy one does not protect the others: they are leftovers of tries whose answer was lost.
        let mut removal = Removal::Gone;
        for runner in &found {
            if self.remove(runner).await? == Removal::Busy {
                removal = Removal::Busy;
            }
        }
        Ok(removal)
    }

    async fn ask(&self, question: Question, asked: Timestamp) -> Result<Answer, Error> {
        self.answer(question, asked).await
    }
}
