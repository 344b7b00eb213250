//! The scale sets of the profiles that have one, and who listens to them.

use super::{Error, options};
use crate::config::Config;
use crate::daemon::clock::SystemClock;
use crate::daemon::door::{Door, Window};
use crate::daemon::listener::Listener;
use crate::forge::Runners;
use crate::forge::scale_set::{ProfileSet, ScaleSets};
use flint_core::id::{ProfileId, ScopeId};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The sets by profile. Asks nobody. Those of one scope share its connection to GitHub's service.
pub(super) fn prepare(
    config: &Config,
    runners: &Runners,
) -> Result<BTreeMap<ProfileId, Arc<ProfileSet>>, Error> {
    let mut services: BTreeMap<ScopeId, Arc<ScaleSets>> = BTreeMap::new();
    let mut sets = BTreeMap::new();
    for (profile, (scope, wanted)) in options::scale_sets(config) {
        let id = scope.id();
        let service = match services.get(&id) {
            Some(service) => Arc::clone(service),
            None => {
                let caller = runners.caller(&id);
                let caller = caller.expect("each configured scope has who calls for it");
                let service = ScaleSets::new(caller, scope);
                let service = Arc::new(service.map_err(|source| Error::ScaleSets { source })?);
                services.insert(id, Arc::clone(&service));
                service
            }
        };
        sets.insert(profile, Arc::new(ProfileSet::new(service, wanted)));
    }
    Ok(sets)
}

/// Listens to all of them, each in a task of its own, until the daemon stops.
pub(super) fn listen(
    sets: BTreeMap<ProfileId, Arc<ProfileSet>>,
    (door, window, clock): (&Door, &Window, &Arc<SystemClock>),
    stopped: &watch::Receiver<bool>,
) -> JoinSet<()> {
    let instance = window.borrow().world.instance.clone();
    let mut listeners = JoinSet::new();
    for (profile, set) in sets {
        let listener = Listener {
            set,
            profile,
            owner: format!("flint-{instance}"),
            door: door.clone(),
            window: window.clone(),
            clock: Arc::clone(clock),
        };
        let mut stopped = stopped.clone();
        let stop = async move { drop(stopped.wait_for(|stopped| *stopped).await) };
        listeners.spawn(listener.run(stop));
    }
    listeners
}
