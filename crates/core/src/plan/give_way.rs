//! Idle microVMs give way to jobs that have nowhere else to go.

use super::launch::Draft;
use super::serve::{Served, Starving, Supply, sharing};
use crate::id::{HostId, ProfileId, VmId};
use crate::planted::{Fault, is};
use crate::units::Resources;
use crate::vm::{Phase, Reason, Vm};
use std::collections::BTreeMap;

/// A host's room as it will be when those that leave are gone.
struct Soon {
    capacity: Resources,
    room: Resources,
    slots: usize,
    /// Those that could go, the cheapest to lose first.
    idle: Vec<(VmId, Resources)>,
}

pub(super) fn give_way(draft: &mut Draft, served: &mut Served) {
    // What leaves frees room that another job may find first the next time. Whoever would then have to go goes now, or
    // the plan would change when it is made again. Each round ends with one idle microVM less, or is the last.
    while !served.starving.is_empty() && round(draft, served) {}
    make_way_elsewhere(draft, served);
    for supply in served.supply.values_mut() {
        let stays = |id: &VmId| draft.world.vms.get(id).is_some_and(|vm| is_idle(&vm.phase));
        supply.spare.retain(stays);
    }
}

/// A profile has as many microVMs as it may, and jobs of one scope wait while microVMs of another have none to do; or jobs
/// of one size, while others are kept booted: as many of these go as jobs wait.
fn make_way_elsewhere(draft: &mut Draft, served: &Served) {
    for (profile, waiting) in served.crowded.iter().filter(|_| !is(Fault::FullStaysFull)) {
        let world = &draft.world;
        let shares = |other: &ProfileId| sharing(world, profile) == sharing(world, other);
        let of_it = |vm: &&Vm| shares(&vm.profile) && vm.takes_room();
        let leaves = |vm: &&Vm| matches!(vm.phase, Phase::Retiring(_) | Phase::Stopping { .. });
        let leaving = world.vms.values().filter(of_it).filter(leaves).count();
        let supply = || served.supply.iter().filter(|(id, _)| shares(id)).map(|(_, supply)| supply);
        // The unregistered first: they go without asking GitHub.
        let spare = supply().flat_map(|supply| &supply.spare);
        let idle = spare.chain(supply().flat_map(Supply::unneeded)).copied().filter(|id| {
            let phase = world.vms.get(id).map(|vm| &vm.phase);
            matches!(phase, Some(Phase::Warm | Phase::Listening))
        });
        for id in idle.take(waiting.saturating_sub(leaving)).collect::<Vec<_>>() {
            if let Some(vm) = draft.world.vms.get_mut(&id) {
                vm.leave(draft.now, Reason::Surplus);
            }
        }
    }
}

/// Finds room for all that starve, and says whether anyone had to go for it.
fn round(draft: &mut Draft, served: &Served) -> bool {
    let mut anyone = false;
    let mut hosts = hosts(draft, served);
    // Each finds a slot that becomes free, or makes one free.
    let most = hosts.values().map(|soon| soon.slots + soon.idle.len()).sum();
    let starving = served.starving.iter();
    let each = |one: &Starving| std::iter::repeat_n(one.shape, one.count as usize);
    for shape in &starving.flat_map(each).take(most).collect::<Vec<_>>() {
        let fits = |soon: &Soon| soon.room.fits(shape) && soon.slots > 0;
        let chosen = hosts.iter().find(|(_, soon)| fits(soon)).map(|(id, _)| (*id, 0));
        let cleared = || {
            let mut hosts = hosts.iter().filter(|(_, soon)| soon.capacity.fits(shape));
            hosts.find_map(|(id, soon)| enough(soon, shape).map(|count| (*id, count)))
        };
        let Some((host, count)) = chosen.or_else(cleared) else { continue };
        let Some(soon) = hosts.get_mut(&host) else { continue };
        for (vm, freed) in soon.idle.drain(..count) {
            soon.room += freed;
            soon.slots += 1;
            if let Some(vm) = draft.world.vms.get_mut(&vm) {
                vm.leave(draft.now, Reason::Surplus);
                anyone = true;
            }
            if let Some(room) = draft.rooms.get_mut(&host) {
                room.leave(&freed);
            }
        }
        soon.room = soon.room - *shape;
        soon.slots = soon.slots.saturating_sub(1);
    }
    anyone
}

/// How many of the idle must go for this shape to fit; none of them when even all would not do.
fn enough(soon: &Soon, shape: &Resources) -> Option<usize> {
    (1..=soon.idle.len()).find(|count| {
        let freed = soon.idle.iter().take(*count).fold(soon.room, |sum, (_, more)| sum + *more);
        freed.fits(shape) && soon.slots + count > 0
    })
}

fn is_idle(phase: &Phase) -> bool {
    match phase {
        Phase::Launching | Phase::Warm | Phase::Listening => true,
        Phase::Registering | Phase::Busy(_) | Phase::Retiring(_) | Phase::Stopping { .. } => false,
    }
}

fn hosts(draft: &Draft, served: &Served) -> BTreeMap<HostId, Soon> {
    let soon = |(id, room): (&HostId, &super::room::Room)| {
        let soon = Soon {
            capacity: room.capacity,
            room: room.free + room.leaving,
            slots: room.free_slots() + room.leaving_slots,
            idle: Vec::new(),
        };
        (*id, soon)
    };
    let mut hosts: BTreeMap<HostId, Soon> = draft.rooms.iter().map(soon).collect();
    // The unregistered first: they go without asking GitHub.
    let spare = served.supply.values().flat_map(|supply| &supply.spare);
    let listening = served.supply.values().flat_map(Supply::unneeded);
    let listening = listening
        .filter(|_| !is(Fault::RegisteredStays))
        .filter(|id| draft.world.vms.get(id).is_some_and(|vm| vm.phase == Phase::Listening));
    for id in spare.chain(listening) {
        let Some(vm) = draft.world.vms.get(id).filter(|vm| is_idle(&vm.phase)) else { continue };
        if let Some(soon) = hosts.get_mut(&vm.host) {
            soon.idle.push((*id, vm.shape));
        }
    }
    hosts
}
