//! Registers and removes runners by GitHub's REST API, and asks it what happened.

mod admits;
mod answer;
mod deliveries;
mod group;
mod job;
mod jobs;
mod partial;
mod proofs;
mod repositories;
mod run;
mod software;
pub(super) mod standing;
mod strays;
mod told;

use self::admits::Admits;
pub(super) use self::deliveries::App;
pub use self::proofs::{GroupView, Proofs};
pub use self::software::runner_rule;
use super::caller::{Ask, Caller};
use super::rest::{Freshness, Reply};
use super::{Answer, Error, Forge, Options, Registered, Removal, Request, Scope};
use flint_core::ask::Question;
use flint_core::id::{RunnerId, RunnerName, ScopeId, VmId};
use flint_core::units::Timestamp;
use flint_wire::Secret;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// GitHub's largest page.
const PAGE: usize = 100;
/// A runner group holds at most 10,000 runners; ten times that is a listing that does not end.
const MOST_PAGES: usize = 1000;

/// GitHub at one scope, for one daemon. Runners of other daemons in the same scope are not seen.
pub struct GitHub {
    caller: Arc<Caller>,
    app: Arc<App>,
    scope: Scope,
    group: group::Group,
    instance: String,
    admits: Mutex<Admits>,
    listed: tokio::sync::Mutex<strays::Listed>,
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
    /// Prepares everything and sends nothing, for an App that serves nothing else. `instance` is the daemon's mark in the
    /// names of its runners.
    ///
    /// # Errors
    /// [`Error::NotAKey`], [`Error::BadUrl`], [`Error::Client`].
    pub fn new(options: &Options, instance: &str) -> Result<Self, Error> {
        let caller = Arc::new(Caller::new(options)?);
        let app = Arc::new(App::new(vec![Arc::clone(&caller)], vec![options.scope.clone()]));
        Ok(GitHub::at(caller, app, options, instance))
    }

    /// With a caller and an App that others share.
    pub(super) fn at(
        caller: Arc<Caller>,
        app: Arc<App>,
        options: &Options,
        instance: &str,
    ) -> Self {
        let (scope, group) = (options.scope.clone(), group::Group::new(&options.runner_group));
        let (instance, admits, listed) =
            (instance.to_owned(), Mutex::default(), Default::default());
        GitHub { caller, app, scope, group, instance, admits, listed }
    }

    /// Who calls.
    #[must_use]
    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// Shows that the credentials work: gets a token and reads one runner.
    ///
    /// # Errors
    /// Whatever stands in the way.
    pub async fn check(&self) -> Result<(), Error> {
        let query = [("per_page", "1")];
        self.on_runners(Method::GET, &[], &query, None).await?.json::<Page>().map(|_| ())
    }

    /// A call about the runners of our scope. What decides over runners is never taken from an older answer.
    async fn on_runners(
        &self,
        method: Method,
        below: &[&str],
        query: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<Reply, Error> {
        let mut path = self.runners();
        path.extend(below);
        let freshness = Freshness::Sent;
        self.caller.send(Ask { method, path: &path, query, body, freshness }).await
    }

    /// A call about one runner that nobody waits for.
    async fn on_runner_in_turn(&self, method: Method, runner: &Runner) -> Result<Reply, Error> {
        let (mut path, id) = (self.runners(), runner.id.to_string());
        path.push(&id);
        let (query, body, freshness) = (&[], None, Freshness::InTurn);
        self.caller.send(Ask { method, path: &path, query, body, freshness }).await
    }

    fn runners(&self) -> Vec<&str> {
        let mut path = self.scope.home();
        path.extend(["actions", "runners"]);
        path
    }

    async fn read(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Reply, Error> {
        self.caller.read(path, query).await
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
        removal(self.on_runners(Method::DELETE, &[&id], &[], None).await)
    }
}

fn removal(answer: Result<Reply, Error>) -> Result<Removal, Error> {
    match answer {
        Ok(_) | Err(Error::NotFound { .. }) => Ok(Removal::Gone),
        Err(Error::Invalid { .. }) => Ok(Removal::Busy),
        Err(other) => Err(other),
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
        let (runner, ca_certificates) =
            (RunnerId(made.runner.id), self.caller.rest.ca_certificates());
        Ok(Registered { runner, jit_config: made.encoded_jit_config, ca_certificates })
    }

    async fn deregister(
        &self,
        vm: VmId,
        _: ScopeId,
        names: Vec<RunnerName>,
    ) -> Result<Removal, Error> {
        if names.is_empty() {
            return self.remove_stray(vm).await;
        }
        let mut found = Vec::new();
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
