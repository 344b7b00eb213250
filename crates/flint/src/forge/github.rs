//! Registers, lists and removes runners by GitHub's REST API.

use super::app_auth::App;
use super::rest::{Bearer, Call, Reply, Rest};
use super::token::Tokens;
use super::{Answer, Error, Forge, Options, Registered, Removal, Request, Scope, Told};
use flint_core::ask::{AskFailure, Question};
use flint_core::event::ForgeEvent;
use flint_core::id::{RunnerId, RunnerName, VmId};
use flint_core::units::Timestamp;
use flint_wire::Secret;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// GitHub's largest page.
const PAGE: usize = 100;
/// A runner group holds at most 10,000 runners; ten times that is a listing that does not end.
const MOST_PAGES: usize = 1000;

/// GitHub, for one daemon. Runners of other daemons in the same scope are not seen.
pub struct GitHub {
    rest: Rest,
    tokens: Tokens,
    scope: Scope,
    runner_group_id: u64,
    instance: String,
}

/// What a call needs beyond who calls.
struct Ask<'a> {
    method: Method,
    below_runners: &'a [&'a str],
    query: &'a [(&'a str, &'a str)],
    body: Option<Value>,
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
        let app = App::new(&options.app, &options.private_key)?;
        Ok(GitHub {
            rest: Rest::new(&options.api_url)?,
            tokens: Tokens::new(app, options.scope.clone()),
            scope: options.scope.clone(),
            runner_group_id: options.runner_group_id,
            instance: instance.to_owned(),
        })
    }

    /// Shows that the App's credentials work: gets a token and reads one runner. For `flint doctor`.
    ///
    /// # Errors
    /// Whatever stands in the way.
    pub async fn check(&self) -> Result<(), Error> {
        let query = [("per_page", "1")];
        let ask = Ask { method: Method::GET, below_runners: &[], query: &query, body: None };
        self.send(ask).await?.json::<Page>().map(|_| ())
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
        let mut path = match &self.scope {
            Scope::Organization(login) => vec!["orgs", login],
            Scope::Repository { owner, name } => vec!["repos", owner, name],
        };
        path.extend(["actions", "runners"]);
        path.extend(ask.below_runners);
        let (method, body) = (ask.method.clone(), ask.body.clone());
        let bearer = Bearer::Installation(token);
        self.rest.send(Call { method, path: &path, query: ask.query, body, bearer }).await
    }

    /// Runners under exactly this name: none or one.
    async fn named(&self, name: &RunnerName) -> Result<Vec<Runner>, Error> {
        let query = [("name", name.as_str()), ("per_page", "100")];
        let ask = Ask { method: Method::GET, below_runners: &[], query: &query, body: None };
        let mut page: Page = self.send(ask).await?.json()?;
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
            let ask = Ask { method: Method::GET, below_runners: &[], query: &query, body: None };
            let Page { runners } = self.send(ask).await?.json()?;
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
        let ask = Ask { method: Method::DELETE, below_runners: &[&id], query: &[], body: None };
        match self.send(ask).await {
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
            "runner_group_id": self.runner_group_id,
            "labels": request.labels,
            "work_folder": "_work",
        });
        let below = ["generate-jitconfig"];
        let ask = Ask { method: Method::POST, below_runners: &below, query: &[], body: Some(body) };
        let made: JitAnswer = self.send(ask).await?.json()?;
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
        let event = match question {
            Question::Runners => {
                let registered = self.ours().await?.into_values().map(|(vm, _)| vm).collect();
                ForgeEvent::Runners { registered, asked }
            }
            Question::Deliveries { .. } => ForgeEvent::DeliveriesRead { asked },
            Question::Repositories => {
                ForgeEvent::RepositoriesListed { active: BTreeSet::new(), asked }
            }
            Question::Jobs { .. } | Question::Job { .. } => {
                let (failure, why) = (AskFailure::Refused, "not asked yet".to_owned());
                ForgeEvent::AskFailed { question, failure, why }
            }
        };
        Ok(Answer { told: vec![Told { delivery: None, event }], quota: None })
    }
}
