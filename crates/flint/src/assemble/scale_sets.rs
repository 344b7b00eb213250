//! The scale sets of the profiles that have one, and who listens to them.

use super::{Error, options};
use crate::config::{Config, GithubOptions};
use crate::daemon::clock::SystemClock;
use crate::daemon::door::{Door, Window};
use crate::daemon::listener::Listener;
use crate::forge::scale_set::{Options, ProfileSet, ScaleSets};
use crate::forge::{self};
use flint_core::id::ProfileId;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The sets by profile. Asks nobody.
pub(super) fn prepare(
    config: &Config,
    github: &GithubOptions,
) -> Result<BTreeMap<ProfileId, Arc<ProfileSet>>, Error> {
    let wanted = options::scale_sets(config, github);
    if wanted.is_empty() {
        return Ok(BTreeMap::new());
    }
    let forge::Options { api_url, scope, credentials, .. } = options::forge(github);
    let sets = ScaleSets::new(&Options { api_url, place: scope.into(), credentials });
    let sets = Arc::new(sets.map_err(|source| Error::ScaleSets { source })?);
    let each = wanted.into_iter().map(|(id, wanted)| {
        let set = Arc::new(ProfileSet::new(Arc::clone(&sets), wanted));
        (id, set)
    });
    Ok(each.collect())
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
