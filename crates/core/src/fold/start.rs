//! The daemon has just started: a new configuration, and no order under way.

use super::size;
use crate::forge::{Due, Scope};
use crate::host::Host;
use crate::id::{HostId, InstallationId, JobKey, ProfileId, ScopeId, VmId};
use crate::job::JobState;
use crate::limits::Limits;
use crate::planted::{Fault, is};
use crate::profile::Profile;
use crate::units::{Resources, Timestamp};
use crate::vm::{Phase, Reason, Registration, Vm};
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Between two scopes, and between two repositories: a start must not spend the minute's calls on questions.
const ASK_APART: Duration = Duration::from_secs(1);

pub(super) fn started(
    world: &mut World,
    now: Timestamp,
    (profiles, hosts, limits): (BTreeMap<ProfileId, Profile>, BTreeMap<HostId, Host>, Limits),
    (scopes, readers): (BTreeMap<ScopeId, InstallationId>, &BTreeSet<InstallationId>),
) {
    configure(world, now, profiles, hosts);
    world.limits = limits;
    recount(world);
    ask_anew(world, now, scopes, readers);
    place(world);
    for vm in world.vms.values_mut() {
        // Read from the store, each row has a name of its own; a plan is quicker when they share it.
        if let Some((name, _)) = world.profiles.get_key_value(&vm.profile) {
            vm.profile = name.clone();
        }
        match vm.phase {
            // A half-done launch is never resumed: tearing down is one idempotent order, resuming would
            // need to know how far it got. The same holds for a secret on its way to the guest.
            Phase::Launching if is(Fault::LaunchResumed) => {}
            Phase::Launching | Phase::Registering => vm.leave(now, Reason::Interrupted),
            Phase::Warm
            | Phase::Listening
            | Phase::Busy(_)
            | Phase::Retiring(_)
            | Phase::Stopping { .. } => {}
        }
        (vm.failures, vm.retry_at) = (0, now);
    }
    let queued = world.jobs.iter().filter(|(_, job)| job.state == JobState::Queued);
    let keys: Vec<JobKey> = queued.map(|(key, _)| *key).collect();
    for key in keys {
        let request = world.jobs[&key].request.clone();
        let profile = size::profile_for(world, now, &request);
        let verdict = world.verdict(profile.as_ref(), &request.repository, request.origin);
        world.jobs.update(key, |job| {
            job.profile = profile;
            job.judged(verdict, now);
        });
    }
}

/// What GitHub counted was long ago. A session that was left open is ended by whoever opens the next.
fn recount(world: &mut World) {
    let mut sets = std::mem::take(&mut world.scale_sets);
    sets.retain(|profile, _| world.is_scale_set(profile));
    sets.values_mut().for_each(|set| (set.assigned, set.fewer_since) = (None, None));
    world.scale_sets = sets;
}

/// Whatever GitHub told while nobody listened is asked for now, repository after repository.
fn ask_anew(
    world: &mut World,
    now: Timestamp,
    scopes: BTreeMap<ScopeId, InstallationId>,
    readers: &BTreeSet<InstallationId>,
) {
    let mut former = std::mem::take(&mut world.installations);
    for id in scopes.values() {
        let known = || former.remove(id).unwrap_or_default();
        let installation = world.installations.entry(id.clone()).or_insert_with(known);
        installation.started(now, readers.contains(id));
    }
    let mut former = std::mem::take(&mut world.scopes);
    let mut at = now;
    for (id, installation) in scopes {
        let breaker = former.remove(&id).map(|scope| scope.breaker).unwrap_or_default();
        let due = Due { at, ..Due::default() };
        let scope = Scope { installation, breaker, runners: due.clone(), repositories: due };
        world.scopes.insert(id, scope);
        at = at.after(ASK_APART);
    }
    let mut at = now;
    for repository in world.repositories.values_mut() {
        repository.jobs = Due { at, ..Due::default() };
        at = at.after(ASK_APART);
    }
}

/// Rows of a version that knew one scope do not say which: it is that of their job, or the only one.
fn place(world: &mut World) {
    let unplaced = |vm: &Vm| vm.scope.is_none() && vm.registration != Registration::None;
    let ids: Vec<VmId> =
        world.vms.iter().filter(|(_, vm)| unplaced(vm)).map(|(id, _)| *id).collect();
    for id in ids {
        let job = world.vms.get(&id).and_then(|vm| world.jobs.get(&vm.job?));
        let known = job.and_then(|job| world.scope_of(&job.request.repository));
        let scope = known.or_else(|| world.scopes.keys().next()).cloned();
        if let Some(vm) = world.vms.get_mut(&id) {
            vm.scope = scope;
        }
    }
}

/// Takes the configuration over. What left it stays, and takes nothing new, while a microVM needs it.
fn configure(
    world: &mut World,
    now: Timestamp,
    profiles: BTreeMap<ProfileId, Profile>,
    hosts: BTreeMap<HostId, Host>,
) {
    let former = std::mem::replace(&mut world.profiles, profiles);
    size::keep(world, now, &former);
    for (id, mut former) in former {
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
        host.scan_at = now;
    }
}
