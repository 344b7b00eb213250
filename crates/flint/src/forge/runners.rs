//! GitHub at all scopes that a daemon serves: each call goes where its scope is, on the budget of whose calls count.
//!
//! Runners of profiles that have a scale set are registered in it; everything else goes by the REST API.

use super::caller::{Caller, installation};
use super::github::App;
use super::scale_set::ProfileSet;
use super::{Answer, Credentials, Error, Forge, GitHub, Options, Registered, Removal, Request};
use flint_core::ask::Question;
use flint_core::id::{InstallationId, ProfileId, RunnerName, ScopeId, VmId};
use flint_core::units::Timestamp;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// GitHub at each scope.
pub struct Runners {
    scopes: BTreeMap<ScopeId, Served>,
    /// Those that are asked for their App's failed deliveries.
    readers: BTreeMap<InstallationId, Arc<GitHub>>,
    sets: BTreeMap<ProfileId, Arc<ProfileSet>>,
}

/// One scope.
struct Served {
    installation: InstallationId,
    github: Arc<GitHub>,
}

impl Runners {
    /// Prepares everything and sends nothing. Each of `entries` is one App's or one person's scopes; `instance` is the
    /// daemon's mark in the names of its runners.
    ///
    /// # Errors
    /// [`Error::NotAKey`], [`Error::BadUrl`], [`Error::Client`].
    pub fn new(entries: &[Vec<Options>], instance: &str) -> Result<Self, Error> {
        let (scopes, readers) = Default::default();
        let mut runners = Runners { scopes, readers, sets: BTreeMap::new() };
        for entry in entries {
            runners.add(entry, instance)?;
        }
        Ok(runners)
    }

    /// Profiles that `sets` names register in their scale set.
    #[must_use]
    pub fn with(self, sets: BTreeMap<ProfileId, Arc<ProfileSet>>) -> Self {
        Runners { sets, ..self }
    }

    /// Each scope, and whose calls reach it.
    #[must_use]
    pub fn scopes(&self) -> BTreeMap<ScopeId, InstallationId> {
        let scopes = self.scopes.iter();
        scopes.map(|(id, served)| (id.clone(), served.installation.clone())).collect()
    }

    /// Those that are asked for their App's failed deliveries.
    #[must_use]
    pub fn readers(&self) -> BTreeSet<InstallationId> {
        self.readers.keys().cloned().collect()
    }

    /// Who calls about a scope.
    #[must_use]
    pub fn caller(&self, scope: &ScopeId) -> Option<Arc<Caller>> {
        self.scopes.get(scope).map(|served| Arc::clone(served.github.caller()))
    }

    /// Tells GitHub's clock minus ours, seconds, where it is so much that it does harm.
    pub fn skew(&self) -> impl Fn() -> Option<i64> + Send + Sync + 'static {
        let callers = self.scopes.values().map(|served| Arc::clone(served.github.caller()));
        let callers: Vec<Arc<Caller>> = callers.collect();
        move || callers.iter().filter_map(|caller| caller.skew()).max_by_key(|skew| skew.abs())
    }

    fn add(&mut self, entry: &[Options], instance: &str) -> Result<(), Error> {
        let mut callers: BTreeMap<InstallationId, Arc<Caller>> = BTreeMap::new();
        for options in entry {
            if let Entry::Vacant(none) = callers.entry(whose(entry, options)) {
                none.insert(Arc::new(Caller::new(options)?));
            }
        }
        let scopes = entry.iter().map(|options| options.scope.clone()).collect();
        let app = Arc::new(App::new(callers.values().cloned().collect(), scopes));
        for options in entry {
            let id = whose(entry, options);
            let Some(caller) = callers.get(&id) else { continue };
            let github = GitHub::at(Arc::clone(caller), Arc::clone(&app), options, instance);
            let github = Arc::new(github);
            // An App's deliveries are one list, and nobody's but an App's can be read.
            let reads = callers.first_key_value().is_some_and(|(first, _)| *first == id);
            if reads && matches!(options.credentials, Credentials::App { .. }) {
                self.readers.entry(id.clone()).or_insert_with(|| Arc::clone(&github));
            }
            self.scopes.insert(options.scope.id(), Served { installation: id, github });
        }
        Ok(())
    }

    fn at(&self, scope: &ScopeId) -> Result<&GitHub, Error> {
        let served = self.scopes.get(scope).map(|served| &*served.github);
        served.ok_or_else(|| Error::NotServed { what: scope.to_string() })
    }

    /// Any scope of an installation.
    fn of_installation(&self, id: &InstallationId) -> Result<&GitHub, Error> {
        let served = self.scopes.values().find(|served| served.installation == *id);
        let github = served.map(|served| &*served.github);
        github.ok_or_else(|| Error::NotServed { what: id.to_string() })
    }

    /// Where a repository is.
    fn of(&self, repository: &str) -> Result<&GitHub, Error> {
        let scope = ScopeId::of(self.scopes.keys(), repository);
        self.at(scope.ok_or_else(|| Error::NotServed { what: crate::text::line(repository) })?)
    }
}

/// Whose calls GitHub counts together: an App's on one account, and all of a person's.
fn whose(entry: &[Options], options: &Options) -> InstallationId {
    match options.credentials {
        Credentials::App { .. } => installation(&options.scope),
        Credentials::Token(_) => installation(&entry.first().unwrap_or(options).scope),
    }
}

impl Forge for Runners {
    async fn register(&self, request: Request) -> Result<Registered, Error> {
        let Some(set) = self.sets.get(&request.profile) else {
            return self.at(&request.scope)?.register(request).await;
        };
        let made = set.jit(&request.name).await;
        let made = made.map_err(|source| Error::ScaleSet { source: Box::new(source) })?;
        let (vm, profile, set) = (request.vm, request.profile, set.name());
        tracing::debug!(%vm, %profile, set, runner = %made.runner, "registered");
        Ok(made)
    }

    /// Runners of scale sets are in the REST API's lists like all others.
    async fn deregister(
        &self,
        vm: VmId,
        scope: ScopeId,
        names: Vec<RunnerName>,
    ) -> Result<Removal, Error> {
        self.at(&scope)?.deregister(vm, scope, names).await
    }

    async fn ask(&self, question: Question, asked: Timestamp) -> Result<Answer, Error> {
        let github = match &question {
            Question::Deliveries { installation, .. } => {
                let reader = self.readers.get(installation).map(|reader| &**reader);
                reader.ok_or_else(|| Error::NotServed { what: installation.to_string() })?
            }
            Question::RunnerReleases { installation } => self.of_installation(installation)?,
            Question::Runners { scope } | Question::Repositories { scope } => self.at(scope)?,
            Question::Jobs { repository }
            | Question::Job { repository, .. }
            | Question::Run { repository, .. } => self.of(repository)?,
        };
        github.ask(question, asked).await
    }
}
