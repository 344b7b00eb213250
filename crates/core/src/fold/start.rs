//! The daemon has just started: a new configuration, and no order under way.

use crate::host::Host;
use crate::id::{HostId, ProfileId};
use crate::job::JobState;
use crate::profile::Profile;
use crate::units::{Resources, Timestamp};
use crate::vm::{Phase, Reason};
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn started(
    world: &mut World,
    now: Timestamp,
    profiles: BTreeMap<ProfileId, Profile>,
    hosts: BTreeMap<HostId, Host>,
) {
    configure(world, now, profiles, hosts);
    for vm in world.vms.values_mut() {
        match vm.phase {
            // A half-done launch is never resumed: tearing down is one idempotent order, resuming would
            // need to know how far it got. The same holds for a secret on its way to the guest.
            Phase::Launching | Phase::Registering => vm.leave(now, Reason::Interrupted),
            Phase::Warm
            | Phase::Listening
            | Phase::Busy(_)
            | Phase::Retiring(_)
            | Phase::Stopping { .. } => {}
        }
        (vm.failures, vm.retry_at) = (0, now);
    }
    let World { jobs, profiles, .. } = world;
    for job in jobs.values_mut().filter(|job| job.state == JobState::Queued) {
        let fits = profiles.iter().filter(|(_, profile)| profile.serves(&job.request.labels));
        let best = fits.min_by_key(|(id, profile)| (profile.labels.len(), *id));
        job.profile = best.map(|(id, _)| id.clone());
    }
}

/// Takes the configuration over. What left it stays, and takes nothing new, while a microVM needs it.
fn configure(
    world: &mut World,
    now: Timestamp,
    profiles: BTreeMap<ProfileId, Profile>,
    hosts: BTreeMap<HostId, Host>,
) {
    for (id, mut former) in std::mem::replace(&mut world.profiles, profiles) {
        (former.labels, former.warm, former.max) = (BTreeSet::new(), 0, 0);
        world.profiles.entry(id).or_insert(former);
    }
    for (id, mut former) in std::mem::replace(&mut world.hosts, hosts) {
        (former.capacity, former.slots) = (Resources::default(), 0);
        former.draining = true;
        world.hosts.entry(id).or_insert(former);
    }
    for host in world.hosts.values_mut() {
        host.seen = now;
    }
}
