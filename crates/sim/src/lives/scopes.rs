//! Where runners are registered in a life, and whose calls reach each place. Shares no code with the core's planner.

use super::setup::Setup;
use crate::rng::Rng;
use flint_core::ask::Question;
use flint_core::id::{InstallationId, ProfileId, ScopeId};
use flint_core::job::Job;
use flint_core::limits::owner_of;
use flint_core::plan::Action;
use flint_core::scale_set::Source;
use flint_core::world::World;
use std::collections::{BTreeMap, BTreeSet};

/// How a scope is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// Whose calls count together.
    pub(super) installation: InstallationId,
    /// Who is asked for the deliveries about it that failed; `None`: nobody can read them.
    pub(super) reader: Option<InstallationId>,
}

/// The places of a life.
pub(super) type Scopes = BTreeMap<ScopeId, Reach>;

/// Draws them.
pub(super) fn draw(rng: &mut Rng) -> Scopes {
    let app = Some("acme");
    let places: &[(&str, &str, Option<&str>)] = match rng.below(8) {
        // One owner, as most have it.
        0 | 1 => &[("acme", "acme", app)],
        // One App on two accounts: it has one list of deliveries, and one of them is asked for it.
        2 => &[("acme", "acme", app), ("beta", "beta", app)],
        // An App for each.
        3 => &[("acme", "acme", app), ("beta", "beta", Some("beta"))],
        // An account's repositories beside an organization: their calls count together.
        4 => &[("acme", "acme", app), ("beta/app", "beta", app), ("beta/site", "beta", app)],
        // One person's token for both, which reads no deliveries.
        5 => &[("acme", "me", None), ("beta", "me", None)],
        // An App here, a token there.
        6 => &[("acme", "acme", app), ("beta", "me", None)],
        // An enterprise, which has no webhook: its jobs are told by scale sets.
        _ => &[("acme", "acme", app), ("enterprises/big", "big", None)],
    };
    let reach = |installation: &str, reader: Option<&str>| Reach {
        installation: InstallationId::new(installation),
        reader: reader.map(InstallationId::new),
    };
    let place = |(scope, by, reader): &(&str, &str, Option<&str>)| {
        (ScopeId::new(scope).expect("these are right names"), reach(by, *reader))
    };
    places.iter().map(place).collect()
}

/// Whether a runner there may get a job of this repository.
pub(super) fn covers(scope: &ScopeId, repository: &str) -> bool {
    scope.as_str() == repository || scope.as_str() == owner_of(repository) || is_enterprise(scope)
}

fn is_enterprise(scope: &ScopeId) -> bool {
    scope.as_str().starts_with("enterprises/")
}

/// The nearest of the places that cover a repository.
fn home<'a>(scopes: impl Iterator<Item = &'a ScopeId>, repository: &str) -> Option<&'a ScopeId> {
    let names = [repository, owner_of(repository)];
    let far = |scope: &&ScopeId| names.iter().position(|name| *name == scope.as_str()).unwrap_or(2);
    scopes.filter(|scope| covers(scope, repository)).min_by_key(far)
}

/// Where the runner for a job of this profile has to be registered: where its scale set is, else where its repository is.
pub(super) fn place_of<'a>(world: &'a World, job: &Job) -> Option<&'a ScopeId> {
    let profile = job.profile.as_ref().and_then(|id| world.profiles.get(id));
    let set = profile.and_then(|profile| profile.scope.as_ref());
    set.or_else(|| home(world.scopes.keys(), &job.request.repository))
}

impl Setup {
    /// As the daemon's start has them.
    pub(super) fn places(&self) -> (BTreeMap<ScopeId, InstallationId>, BTreeSet<InstallationId>) {
        let scopes = self.scopes.iter();
        let scopes = scopes.map(|(scope, reach)| (scope.clone(), reach.installation.clone()));
        let readers = self.scopes.values().filter_map(|reach| reach.reader.clone());
        (scopes.collect(), readers.collect())
    }

    /// Whose calls reach a scope.
    pub(super) fn installation(&self, scope: &ScopeId) -> Option<&InstallationId> {
        self.scopes.get(scope).map(|reach| &reach.installation)
    }

    /// The scope that a question is about; an App's deliveries are about none.
    pub(super) fn asked_about<'a>(&'a self, question: &'a Question) -> Option<&'a ScopeId> {
        match question {
            Question::Deliveries { .. } | Question::RunnerReleases { .. } => None,
            Question::Runners { scope } | Question::Repositories { scope } => Some(scope),
            Question::Jobs { repository }
            | Question::Job { repository, .. }
            | Question::Run { repository, .. } => home(self.scopes.keys(), repository),
        }
    }

    /// Whose calls a question takes.
    pub(super) fn asked_of<'a>(&'a self, question: &'a Question) -> Option<&'a InstallationId> {
        match question {
            Question::Deliveries { installation, .. }
            | Question::RunnerReleases { installation } => Some(installation),
            _ => self.installation(self.asked_about(question)?),
        }
    }

    /// Whose calls an order takes, if it calls GitHub.
    pub(super) fn calls<'a>(&'a self, action: &'a Action) -> Option<&'a InstallationId> {
        match action {
            Action::Register { scope, .. } | Action::Deregister { scope, .. } => {
                self.installation(scope)
            }
            Action::Ask { question } => self.asked_of(question),
            Action::Launch { .. } | Action::Destroy { .. } | Action::Scan { .. } => None,
        }
    }

    /// Who is asked for the deliveries about a repository that failed.
    pub(super) fn reader(&self, repository: &str) -> Option<&InstallationId> {
        let scope = home(self.scopes.keys(), repository)?;
        self.scopes.get(scope)?.reader.as_ref()
    }

    /// Whether whatever GitHub could not deliver can be read.
    pub(super) fn reads_all(&self) -> bool {
        let told = self.scopes.iter().filter(|(scope, _)| !is_enterprise(scope));
        told.into_iter().all(|(_, reach)| reach.reader.is_some())
    }

    /// The repositories whose jobs a scale set has; without one those whose webhooks are told.
    pub(super) fn repositories_of(&self, set: Option<&ProfileId>) -> Vec<String> {
        let place = set.and_then(|id| self.profiles.get(id)?.scope.as_ref());
        let told = |name: &str| {
            self.scopes.keys().any(|scope| !is_enterprise(scope) && covers(scope, name))
        };
        let here = |name: &&String| place.map_or_else(|| told(name), |scope| covers(scope, name));
        self.repositories.iter().filter(here).cloned().collect()
    }

    /// A job of each profile in each scope: the profile's label, and the repository.
    pub(super) fn encores(&self) -> Vec<(ProfileId, String)> {
        let each = self.profiles.iter().flat_map(|(id, profile)| {
            let set = Some(id).filter(|_| profile.source == Source::ScaleSet);
            let mut first = BTreeMap::new();
            for name in self.repositories_of(set) {
                let place = profile.scope.as_ref().or_else(|| home(self.scopes.keys(), &name));
                first.entry(place.cloned()).or_insert(name);
            }
            first.into_values().map(move |name| (id.clone(), name))
        });
        each.collect()
    }

    /// Makes repositories and scale sets fit the scopes, after these were drawn or made fewer.
    pub(super) fn settle(&mut self) {
        let scopes = &self.scopes;
        self.repositories.retain(|name| home(scopes.keys(), name).is_some());
        if self.repositories_of(None).is_empty() {
            let first = self.scopes.keys().next().map_or("acme", ScopeId::as_str);
            let name = if first.contains('/') { first.to_owned() } else { format!("{first}/app") };
            self.repositories.insert(0, name);
        }
        // Whoever read the deliveries may be gone.
        let installations = self.scopes.values().map(|reach| reach.installation.clone());
        let installations: BTreeSet<_> = installations.collect();
        for Reach { installation, reader } in self.scopes.values_mut() {
            let gone = reader.as_ref().is_some_and(|reader| !installations.contains(reader));
            if gone {
                *reader = Some(installation.clone());
            }
        }
        let names = &self.repositories;
        let used = |scope: &&ScopeId| names.iter().any(|name| covers(scope, name));
        let scopes: Vec<&ScopeId> = self.scopes.keys().filter(used).collect();
        for profile in self.profiles.values_mut() {
            let stays = profile.scope.take().filter(|scope| scopes.contains(&scope));
            let scope = stays.or_else(|| scopes.first().copied().cloned());
            profile.scope = scope.filter(|_| profile.source == Source::ScaleSet);
        }
    }

    /// All that is left when each of the scopes is taken away; one with webhooks stays.
    pub(super) fn fewer_scopes(&self) -> Vec<Scopes> {
        let without = |scope: &ScopeId| {
            let mut fewer = self.scopes.clone();
            fewer.remove(scope);
            fewer.keys().any(|scope| !is_enterprise(scope)).then_some(fewer)
        };
        self.scopes.keys().filter_map(without).collect()
    }

    /// Each scope with an App of its own.
    pub(super) fn own_apps(&self) -> Scopes {
        let own = |scope: &ScopeId| {
            let installation = InstallationId::new(scope.as_str());
            let reader = Some(installation.clone());
            (scope.clone(), Reach { installation, reader })
        };
        self.scopes.keys().map(own).collect()
    }

    /// How much there is to understand about them.
    pub(super) fn places_size(&self) -> u64 {
        let count = u64::try_from(self.scopes.len()).unwrap_or(u64::MAX);
        2 * count + u64::from(self.scopes != self.own_apps())
    }
}
