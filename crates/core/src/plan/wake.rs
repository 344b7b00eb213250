//! When time alone changes the plan, or ends a row.

use super::serve::word_due;
use super::timeout::deadline;
use crate::fold::{job_expires, row_expires};
use crate::units::Timestamp;
use crate::vm::{Phase, Vm};
use crate::world::World;

pub(super) fn wake_at(world: &World, now: Timestamp) -> Option<Timestamp> {
    let vms = world.vms.values().flat_map(|vm| {
        let deadline = deadline(world, vm).map(|(at, _)| at);
        let times =
            [deadline, row_expires(vm), surplus_at(world, vm), word_due(vm), Some(vm.retry_at)];
        times.into_iter().flatten()
    });
    let jobs = world.jobs.values().map(job_expires);
    let breakers = world.breakers.values().map(|breaker| breaker.closed_until);
    let leases = world.hosts.values().map(crate::host::Host::lease_ends);
    vms.chain(jobs).chain(breakers).chain(leases).filter(|at| *at > now).min()
}

fn surplus_at(world: &World, vm: &Vm) -> Option<Timestamp> {
    (vm.phase == Phase::Warm).then(|| vm.since.after(world.timeouts(vm).idle))
}
