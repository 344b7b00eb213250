//! Which scope serves a repository, whose calls reach it, and what its GitHub says of the runner.

use crate::ask::Question;
use crate::forge::Installation;
use crate::id::{InstallationId, ProfileId, ScopeId};
use crate::planted::{Fault, is};
use crate::runner_version::{RunnerVersion, Verdict};
use crate::units::Timestamp;
use crate::vm::{Phase, Registration, Vm};
use crate::world::World;

impl World {
    /// The scope of a repository.
    #[must_use]
    pub fn scope_of(&self, repository: &str) -> Option<&ScopeId> {
        ScopeId::of(self.scopes.keys(), repository)
    }

    /// Where a runner of a profile is registered for a job of a repository.
    #[must_use]
    pub fn scope_for(&self, profile: &ProfileId, repository: &str) -> Option<&ScopeId> {
        let own = self.profiles.get(profile).and_then(|profile| profile.scope.as_ref());
        match own {
            Some(own) => self.scopes.get_key_value(own).map(|(scope, _)| scope),
            None => self.scope_of(repository),
        }
    }

    /// Whose calls reach a scope.
    pub(crate) fn installation(&self, scope: &ScopeId) -> Option<&Installation> {
        self.installations.get(&self.scopes.get(scope)?.installation)
    }

    /// Whose calls reach a scope.
    pub(crate) fn installation_mut(&mut self, scope: &ScopeId) -> Option<&mut Installation> {
        self.installations.get_mut(&self.scopes.get(scope)?.installation)
    }

    /// When GitHub takes calls about a scope again; the past if it takes them now.
    #[must_use]
    pub fn limited_until(&self, scope: &ScopeId) -> Timestamp {
        if is(Fault::LimitForAll) {
            let all = self.installations.values().map(|installation| installation.limited_until);
            return all.max().unwrap_or_default();
        }
        let installation = self.installation(scope);
        installation.map_or(Timestamp::default(), |installation| installation.limited_until)
    }

    /// When GitHub takes calls about a microVM's registration again.
    pub(crate) fn calls_from(&self, vm: &Vm) -> Timestamp {
        vm.scope.as_ref().map_or(Timestamp::default(), |scope| self.limited_until(scope))
    }

    /// The turn of one more registration of a profile in a scope; it is taken by that. Those of a scale set need none:
    /// another service than the REST API makes them, and no limit of that is known.
    pub(crate) fn next_registration(
        &mut self,
        now: Timestamp,
        (profile, scope): (&ProfileId, &ScopeId),
    ) -> Timestamp {
        if self.is_scale_set(profile) {
            return now;
        }
        self.installation_mut(scope).map_or(now, |installation| installation.next_registration(now))
    }

    /// The turn that a microVM's registration has, if it needs one. A try that failed waits for more than that.
    pub(crate) fn turn(&self, vm: &Vm) -> Option<Timestamp> {
        let asks = matches!(vm.phase, Phase::Launching | Phase::Registering)
            && matches!(vm.registration, Registration::Asked { .. });
        (asks && vm.failures == 0 && !self.is_scale_set(&vm.profile)).then_some(vm.retry_at)
    }

    /// Whose calls a question takes. A job that a scale set told of is asked about where the set is.
    pub(crate) fn asked_of<'a>(&'a self, question: &'a Question) -> Option<&'a InstallationId> {
        let scope = match question {
            Question::Deliveries { installation, .. }
            | Question::RunnerReleases { installation } => return Some(installation),
            Question::Runners { scope } | Question::Repositories { scope } => scope,
            Question::Jobs { repository }
            | Question::Job { repository, .. }
            | Question::Run { repository, .. } => self.scope_of(repository)?,
        };
        self.scopes.get(scope).map(|scope| &scope.installation)
    }

    /// The version of GitHub's runner in a profile's image, and what becomes of it where the profile serves. `None`: no
    /// guest of it has told one yet.
    #[must_use]
    pub fn runner_verdict(
        &self,
        profile: &ProfileId,
        now: Timestamp,
    ) -> Option<(RunnerVersion, Verdict)> {
        let version = *self.runner_versions.get(profile)?;
        let own = self.profiles.get(profile).and_then(|profile| profile.scope.as_ref());
        let mut verdict = Verdict::Unknown;
        for scope in self.scopes.iter().filter(|(id, _)| own.is_none_or(|own| own == *id)) {
            let Some(known) = self.installations.get(&scope.1.installation) else { continue };
            let Some(rule) = known.rule else { continue };
            verdict = verdict.worse(known.releases.judge(Some(version), rule, now));
        }
        Some((version, verdict))
    }

    /// The newest version of GitHub's runner that is known.
    #[must_use]
    pub fn newest_runner(&self) -> Option<RunnerVersion> {
        let newest = self.installations.values().filter_map(|known| known.releases.newest());
        newest.map(|(version, _)| version).max()
    }
}
