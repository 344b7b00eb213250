//! When time alone changes the plan, or ends a row.

use super::asks;
use super::serve::word_due;
use super::timeout::Deadlines;
use crate::fold::row_expires;
use crate::units::Timestamp;
use crate::vm::{Phase, Vm};
use crate::world::World;

pub(super) fn wake_at(world: &World, now: Timestamp) -> Option<Timestamp> {
    let mut deadlines = Deadlines::of(world);
    let mut first: Option<Timestamp> = None;
    let mut consider = |at: Option<Timestamp>| {
        if let Some(at) = at.filter(|at| *at > now) {
            first = Some(first.map_or(at, |first| first.min(at)));
        }
    };
    for vm in world.vms.values() {
        consider(deadlines.of_vm(vm).map(|(at, _)| at));
        consider(Some(vm.retry_at));
        if matches!(vm.phase, Phase::Stopping { .. } | Phase::Warm) {
            consider(row_expires(vm));
            consider(word_due(vm));
            consider(surplus_at(world, vm));
        }
    }
    consider(world.jobs.first_to_expire().map(|(at, _)| at));
    world.breakers.values().for_each(|breaker| consider(Some(breaker.closed_until)));
    world.hosts.values().for_each(|host| consider(Some(host.lease_ends())));
    consider(Some(world.forge.breaker.closed_until));
    consider(Some(world.forge.limited_until));
    consider(asks::next(world, now));
    first
}

fn surplus_at(world: &World, vm: &Vm) -> Option<Timestamp> {
    (vm.phase == Phase::Warm).then(|| vm.since.after(world.timeouts(vm).idle))
}
