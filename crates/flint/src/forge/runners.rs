//! Registrations of all profiles: by the REST API, or in the profile's scale set. All else is asked of the REST API.

use super::scale_set::ProfileSet;
use super::{Answer, Error, Forge, GitHub, Registered, Removal, Request};
use flint_core::ask::Question;
use flint_core::id::{ProfileId, RunnerName, VmId};
use flint_core::units::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// GitHub, with the scale sets of the profiles that have one.
pub struct Runners {
    github: GitHub,
    sets: BTreeMap<ProfileId, Arc<ProfileSet>>,
}

impl Runners {
    /// Profiles that `sets` does not name register by the REST API.
    #[must_use]
    pub fn new(github: GitHub, sets: BTreeMap<ProfileId, Arc<ProfileSet>>) -> Self {
        Runners { github, sets }
    }
}

impl Forge for Runners {
    async fn register(&self, request: Request) -> Result<Registered, Error> {
        let Some(set) = self.sets.get(&request.profile) else {
            return self.github.register(request).await;
        };
        let made = set.jit(&request.name).await;
        let made = made.map_err(|source| Error::ScaleSet { source: Box::new(source) })?;
        let (vm, profile, set) = (request.vm, request.profile, set.name());
        tracing::debug!(%vm, %profile, set, runner = %made.runner, "registered");
        Ok(made)
    }

    /// Runners of scale sets are in the REST API's lists like all others.
    async fn deregister(&self, vm: VmId, names: Vec<RunnerName>) -> Result<Removal, Error> {
        self.github.deregister(vm, names).await
    }

    async fn ask(&self, question: Question, asked: Timestamp) -> Result<Answer, Error> {
        self.github.ask(question, asked).await
    }
}
