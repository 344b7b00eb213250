//! Jobs of public repositories and of forks: how many there are, how much of it a webhook tells, and what may become of
//! them. Shares no code with the core.

use super::life::Life;
use super::outside::JobIs;
use crate::rng::Rng;
use flint_core::job::Job;
use flint_core::limits::owner_of;
use flint_core::policy::{Origin, Verdict};
use flint_core::world::World;
use std::collections::BTreeSet;

/// Where a job comes from, and what its webhook tells of that.
pub(super) fn draw(rng: &mut Rng) -> (Origin, Origin) {
    let (public, forked, fork) = match rng.below(20) {
        0..=9 => (false, false, false),
        10..=12 => (false, true, false),
        13..=15 => (false, true, true),
        16..=17 => (true, true, false),
        _ => (true, true, true),
    };
    let told = Origin { public: Some(public), fork: (!forked).then_some(false) };
    (Origin { public: Some(public), fork: Some(fork) }, told)
}

/// As the scripts' player reads it.
pub(super) fn word(origin: Origin) -> &'static str {
    match (origin.public, origin.fork) {
        (Some(false), Some(false)) => "",
        (Some(true), Some(false)) => " from public",
        (Some(false), Some(true)) => " from fork",
        (Some(true), Some(true)) => " from public-fork",
        (Some(true), None) => " from a-public-repository",
        (Some(false), None) => " from a-private-repository",
        (None, _) => " from somewhere",
    }
}

/// Whether a profile of this world may take a job, by all that is known of both.
pub(super) fn let_in(world: &World, job: &Job) -> bool {
    let profile = job.profile.as_ref().and_then(|id| world.profiles.get(id));
    profile.is_some_and(|profile| {
        let Origin { public, fork } = job.request.origin;
        let harmless = |is: Option<bool>, admitted: bool| admitted || is == Some(false);
        let lists = &profile.repositories;
        let (name, owner) = (&job.request.repository, owner_of(&job.request.repository));
        let all = format!("{owner}/*");
        let is_in = |list: &BTreeSet<String>| list.contains(name) || list.contains(&all);
        let served = (lists.only.is_empty() || is_in(&lists.only)) && !is_in(&lists.except);
        served && harmless(public, profile.admits.public) && harmless(fork, profile.admits.forks)
    })
}

impl Life {
    /// Whether a job waits at GitHub for ever, and rightly so: its profile refuses it, and it is known why.
    pub(super) fn is_refused(&self, id: u64) -> bool {
        let known = self.daemon.stored.jobs.get(&super::outside::key(id));
        let waits = self.outside.jobs.get(&id).is_some_and(|job| job.state == JobIs::Queued);
        waits
            && known.is_some_and(|job| {
                job.profile.is_some()
                    && job.verdict != Verdict::Undecided
                    && !let_in(&self.daemon.stored, job)
            })
    }

    /// The daemon believes of a job what is not so.
    pub(super) fn mistaken(&self) -> Option<String> {
        self.daemon.stored.jobs.iter().find_map(|(key, job)| {
            let is = self.outside.jobs.get(&key.id)?.origin;
            let known = job.request.origin;
            let wrong = |known: Option<bool>, is: Option<bool>| known.is_some() && known != is;
            let wrong = wrong(known.public, is.public) || wrong(known.fork, is.fork);
            wrong.then(|| format!("job {key} comes from {is:?}, and is known as {known:?}"))
        })
    }
}
