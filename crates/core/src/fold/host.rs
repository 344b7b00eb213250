//! Facts from a host. Each list carries when it was asked for: what is younger is not refuted by it.

use super::{lost, registration};
use crate::event::GuestEnd;
use crate::host::SCAN_EVERY;
use crate::id::{HostId, VmId};
use crate::planted::{Fault, is};
use crate::units::Timestamp;
use crate::vm::{Phase, Reason};
use crate::world::World;
use std::collections::BTreeSet;

pub(super) fn launch_began(world: &mut World, now: Timestamp, id: VmId, committed: Timestamp) {
    if let Some(vm) = world.vms.get_mut(&id) {
        vm.times.committed.get_or_insert(committed);
        vm.times.launched.get_or_insert(now);
    }
}

/// Only for one that nobody has heard of since: a later sign of life outweighs it.
pub(super) fn launch_failed(world: &mut World, now: Timestamp, id: VmId, why: String) {
    let Some(vm) = world.vms.get(&id) else { return };
    match vm.phase {
        Phase::Launching => lost(world, now, id, Reason::LaunchFailed, why),
        Phase::Retiring(_) if vm.seen_alive().is_none() => {
            lost(world, now, id, Reason::LaunchFailed, why);
        }
        Phase::Warm
        | Phase::Registering
        | Phase::Listening
        | Phase::Busy(_)
        | Phase::Retiring(_)
        | Phase::Stopping { .. } => {}
    }
}

pub(super) fn exited(world: &mut World, now: Timestamp, id: VmId, end: GuestEnd) {
    let how = match end {
        GuestEnd::ShutDown => "it powered itself off",
        GuestEnd::Crashed => "it crashed",
        GuestEnd::OutOfMemory => "the host's out-of-memory killer took it",
        GuestEnd::Killed => "it was killed",
    };
    gone(world, now, id, how);
}

/// A guest that ends after its job's last step ended as it should.
fn gone(world: &mut World, now: Timestamp, id: VmId, how: &str) {
    let Some(vm) = world.vms.get_mut(&id) else { return };
    match vm.phase {
        Phase::Busy(_) if vm.times.done.is_some() => {
            vm.stop(now, Reason::JobDone);
            registration::spent(world, id);
        }
        Phase::Launching
        | Phase::Warm
        | Phase::Registering
        | Phase::Listening
        | Phase::Busy(_)
        | Phase::Retiring(_) => lost(world, now, id, Reason::GuestGone, how.to_owned()),
        Phase::Stopping { .. } => {}
    }
}

pub(super) fn destroyed(world: &mut World, now: Timestamp, id: VmId) {
    world.stray_guests.retain(|(_, stray)| *stray != id);
    let Some(vm) = world.vms.get_mut(&id) else { return };
    if let Phase::Stopping { host_clean, .. } = &mut vm.phase
        && !*host_clean
    {
        *host_clean = true;
        (vm.failures, vm.retry_at) = (0, registration::asks_at(now, vm));
        vm.times.destroyed.get_or_insert(now);
    }
}

pub(super) fn destroy_failed(world: &mut World, now: Timestamp, id: VmId, why: String) {
    if is(Fault::FailedDestroyCounts) {
        return destroyed(world, now, id);
    }
    // A stray is tried again when the next inventory shows it.
    world.stray_guests.retain(|(_, stray)| *stray != id);
    if let Some(vm) = world.vms.get_mut(&id)
        && matches!(vm.phase, Phase::Stopping { host_clean: false, .. })
    {
        vm.back_off(now, why);
    }
}

pub(super) fn inventory(
    world: &mut World,
    now: Timestamp,
    (host, asked): (HostId, Timestamp),
    alive: &BTreeSet<VmId>,
    present: &BTreeSet<VmId>,
) {
    if let Some(host) = world.hosts.get_mut(&host) {
        host.seen = now;
        host.scan_at = now.after(SCAN_EVERY);
    }
    let owned = |id: &&VmId| world.vms.get(id).is_some_and(|vm| vm.host == host && vm.takes_room());
    let found = present.union(alive);
    let strays: Vec<_> = found.filter(|id| !owned(id)).map(|id| (host, *id)).collect();
    // A store put back from a backup must not hand out an id that is in use.
    let unheard_of = strays.iter().map(|(_, id)| id.0.saturating_add(1)).max();
    world.next_vm = world.next_vm.max(unheard_of.unwrap_or(0));
    world.stray_guests.extend(strays);
    // Absence proves nothing about one that was not seen to arrive before the question.
    let seen = |vm: &crate::vm::Vm| {
        let young = is(Fault::InventoryAgeIgnored);
        young || vm.seen_alive().is_some_and(|at| at < asked)
    };
    let rows = world.vms.iter().filter(|(id, vm)| vm.host == host && !alive.contains(id));
    let lost: Vec<VmId> = rows.filter(|(_, vm)| seen(vm)).map(|(id, _)| *id).collect();
    for id in lost {
        gone(world, now, id, "its host no longer has it");
    }
}

/// Nothing is known: it is asked again, and counts as lost when its lease is over.
pub(super) fn scan_failed(world: &mut World, now: Timestamp, host: HostId) {
    if let Some(host) = world.hosts.get_mut(&host) {
        host.scan_at = now.after(SCAN_EVERY);
    }
}
