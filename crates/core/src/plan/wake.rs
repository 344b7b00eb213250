//! When time alone changes the plan, or ends a row.

use super::asks;
use super::serve::word_due;
use super::timeout::Deadlines;
use crate::fold::row_expires;
use crate::units::Timestamp;
use crate::vm::{Phase, Vm};
use crate::world::World;

pub(super) fn wake_at(world: &World, now: Timestamp) -> Option<Timestamp> {
    let deadlines = Deadlines::of(world);
    let mut first = Timestamp(u64::MAX);
    for vm in world.vms.values() {
        let mut times = [Some(vm.retry_at), None, None, None, None];
        times[1] = deadlines.until(first, vm).map(|(at, _)| at);
        if matches!(vm.phase, Phase::Stopping { .. } | Phase::Warm) {
            times[2..].copy_from_slice(&[row_expires(vm), word_due(vm), surplus_at(world, vm)]);
        }
        first =
            times.into_iter().flatten().filter(|at| *at > now).min().unwrap_or(first).min(first);
    }
    let mut consider = |at: Option<Timestamp>| {
        first = at.filter(|at| *at > now).map_or(first, |at| first.min(at));
    };
    consider(world.jobs.first_to_expire().map(|(at, _)| at));
    world.breakers.values().for_each(|breaker| consider(Some(breaker.closed_until)));
    let made = world.profiles.values().filter_map(|profile| profile.made_of.as_ref());
    made.for_each(|made| consider(made.warm_until));
    world.hosts.values().for_each(|host| consider(Some(host.lease_ends())));
    world.scopes.values().for_each(|scope| consider(Some(scope.breaker.closed_until)));
    world.installations.values().for_each(|known| consider(Some(known.limited_until)));
    consider(asks::next(world, now));
    Some(first).filter(|at| *at < Timestamp(u64::MAX))
}

fn surplus_at(world: &World, vm: &Vm) -> Option<Timestamp> {
    (vm.phase == Phase::Warm).then(|| vm.since.after(world.timeouts(vm).idle))
}
