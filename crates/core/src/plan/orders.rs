//! The orders that follow from a world. They are levels: each is named until the fact it asks for is here.

use super::Action;
use crate::id::{RunnerName, VmId};
use crate::planted::{Fault, is};
use crate::units::Timestamp;
use crate::vm::{Phase, Registration, Vm};
use crate::world::World;

/// So many runners that nobody owns are removed at a time: nobody waits for that, and others wait for GitHub.
const STRAYS_AT_ONCE: usize = 4;

pub(super) fn due(world: &World, now: Timestamp) -> Vec<Action> {
    let mut actions = Vec::new();
    for (id, vm) in world.vms.iter() {
        let is_due = vm.retry_at <= now;
        let silent = now < world.calls_from(vm) && !is(Fault::LimitedIgnored);
        let may_call = is_due && !silent;
        match &vm.phase {
            Phase::Launching => {
                let (host, slot, profile) = (vm.host, vm.slot, vm.profile.clone());
                actions.push(Action::Launch { vm: *id, host, slot, profile });
                actions.extend(register(world, *id, vm).filter(|_| may_call));
            }
            Phase::Registering => actions.extend(register(world, *id, vm).filter(|_| may_call)),
            Phase::Retiring(_) if may_call => actions.extend(deregister(world, *id, vm)),
            // The host first: a live guest could still take a job.
            Phase::Stopping { host_clean: false, .. } if is_due => {
                actions.push(Action::Destroy { vm: *id, host: vm.host, slot: Some(vm.slot) });
            }
            Phase::Stopping { host_clean: true, forge_clean: false, .. } if may_call => {
                actions.extend(deregister(world, *id, vm));
            }
            Phase::Warm
            | Phase::Listening
            | Phase::Busy(_)
            | Phase::Retiring(_)
            | Phase::Stopping { .. } => {}
        }
    }
    let guests = world.stray_guests.iter();
    actions.extend(guests.map(|(host, vm)| Action::Destroy { vm: *vm, host: *host, slot: None }));
    let runners = world.stray_runners.iter().filter(|(_, scope)| world.limited_until(scope) <= now);
    actions.extend(runners.take(STRAYS_AT_ONCE).map(|(vm, scope)| {
        let (scope, names) = (scope.clone(), Vec::new());
        Action::Deregister { vm: *vm, scope, names }
    }));
    actions
}

fn register(world: &World, id: VmId, vm: &Vm) -> Option<Action> {
    let attempt = match vm.registration {
        Registration::Asked { attempt } => attempt,
        Registration::None | Registration::Held { .. } => return None,
    };
    let name = RunnerName::of(id, &vm.profile, &world.instance, attempt);
    let (profile, scope) = (vm.profile.clone(), vm.scope.clone()?);
    Some(Action::Register { vm: id, host: vm.host, profile, scope, attempt, name })
}

fn deregister(world: &World, id: VmId, vm: &Vm) -> Option<Action> {
    let names = world.runner_names(id, vm);
    let first = world.scopes.keys().next().filter(|_| is(Fault::LeavesFirstScope));
    first.or(vm.scope.as_ref()).cloned().map(|scope| Action::Deregister { vm: id, scope, names })
}
