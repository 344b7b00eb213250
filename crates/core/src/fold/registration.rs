//! Facts about registrations at GitHub. A removal names every try, so a late answer loses nothing.

use super::lost;
use crate::event::RegisterFailure;
use crate::id::{RunnerId, VmId};
use crate::units::Timestamp;
use crate::vm::{Phase, Reason, Registration};
use crate::world::World;
use std::collections::BTreeSet;

pub(super) fn registered(
    world: &mut World,
    now: Timestamp,
    id: VmId,
    attempt: u32,
    runner: RunnerId,
) {
    let Some(vm) = world.vms.get_mut(&id) else { return stray(world, id) };
    if let Phase::Stopping { forge_clean, .. } = &mut vm.phase {
        // It was on the wire when the removal was asked for.
        *forge_clean = false;
    }
    if vm.registration == (Registration::Asked { attempt }) {
        vm.registration = Registration::Held { attempt, runner };
        vm.times.registered.get_or_insert(now);
        if let Phase::Launching | Phase::Registering = vm.phase {
            (vm.failures, vm.retry_at) = (0, now);
        }
    }
}

pub(super) fn failed(
    world: &mut World,
    now: Timestamp,
    (id, attempt): (VmId, u32),
    failure: RegisterFailure,
    why: String,
) {
    let Some(vm) = world.vms.get_mut(&id) else {
        if failure != RegisterFailure::Refused {
            stray(world, id);
        }
        return;
    };
    if let Phase::Stopping { forge_clean, .. } = &mut vm.phase {
        // The try may have left a runner after the removal.
        *forge_clean = *forge_clean && failure == RegisterFailure::Refused;
    }
    let waits = matches!(vm.phase, Phase::Launching | Phase::Registering);
    if !waits || vm.registration != (Registration::Asked { attempt }) {
        return;
    }
    let next = Registration::Asked { attempt: attempt.saturating_add(1) };
    match failure {
        RegisterFailure::Transient => {
            vm.registration = next;
            vm.back_off(now, why);
        }
        RegisterFailure::NameTaken if attempt == 1 => {
            vm.registration = next;
            vm.trouble = Some(why);
        }
        RegisterFailure::NameTaken => {
            vm.registration = next;
            vm.back_off(now, why);
        }
        RegisterFailure::Refused => {
            if attempt == 1 {
                vm.registration = Registration::None;
            }
            let profile = vm.profile.clone();
            world.profile_refused(now, &profile, why.clone());
            // Nobody handed the guest a secret, so no job can be in it: no need to ask GitHub.
            let vm = world.vms.get_mut(&id).expect("the row was there a line ago");
            vm.stop(now, Reason::RegisterFailed);
            vm.trouble = Some(why);
        }
    }
}

/// Registered in our name for a row that is gone.
fn stray(world: &mut World, id: VmId) {
    world.stray_runners.insert(id);
}

pub(super) fn removed(world: &mut World, now: Timestamp, id: VmId) {
    world.stray_runners.remove(&id);
    let Some(vm) = world.vms.get_mut(&id) else { return };
    match &mut vm.phase {
        Phase::Retiring(reason) => {
            let (reason, host_clean) = (*reason, false);
            vm.enter(now, Phase::Stopping { reason, host_clean, forge_clean: true });
        }
        Phase::Stopping { forge_clean, .. } => *forge_clean = true,
        Phase::Launching | Phase::Warm | Phase::Registering | Phase::Listening | Phase::Busy(_) => {
        }
    }
}

/// It has just been given a job: it stays. Which job, GitHub tells later.
pub(super) fn removal_refused(world: &mut World, now: Timestamp, id: VmId) {
    // A stray that has a job is asked again when the next list shows it.
    world.stray_runners.remove(&id);
    let Some(vm) = world.vms.get_mut(&id) else { return };
    match vm.phase {
        Phase::Retiring(_) => {
            vm.enter(now, Phase::Busy(vm.job));
            vm.times.started.get_or_insert(now);
        }
        Phase::Stopping { .. } => vm.back_off(now, "GitHub says its runner is busy".to_owned()),
        Phase::Launching | Phase::Warm | Phase::Registering | Phase::Listening | Phase::Busy(_) => {
        }
    }
}

pub(super) fn removal_failed(world: &mut World, now: Timestamp, id: VmId, why: String) {
    // A stray is asked again when the next list shows it.
    world.stray_runners.remove(&id);
    let leaving = |vm: &&mut crate::vm::Vm| match vm.phase {
        Phase::Retiring(_) | Phase::Stopping { .. } => true,
        Phase::Launching | Phase::Warm | Phase::Registering | Phase::Listening | Phase::Busy(_) => {
            false
        }
    };
    if let Some(vm) = world.vms.get_mut(&id).filter(leaving) {
        vm.back_off(now, why);
    }
}

/// A list finds strays. It never ends a microVM: it can be older than the registration.
pub(super) fn listed(world: &mut World, registered: &BTreeSet<VmId>) {
    let owned = |id: &&VmId| world.vms.contains_key(id);
    let strays: Vec<VmId> = registered.iter().filter(|id| !owned(id)).copied().collect();
    world.stray_runners.extend(strays);
}

/// For `guest`: the runner ended before it had a job, because GitHub takes no runner of this version.
pub(super) fn deprecated(world: &mut World, now: Timestamp, id: VmId) {
    let why = "GitHub refuses this version of its runner (exit code 7): build a newer image";
    let Some(vm) = world.vms.get(&id) else { return };
    let profile = vm.profile.clone();
    lost(world, now, id, Reason::RunnerDeprecated, why.to_owned());
    world.profile_refused(now, &profile, why.to_owned());
}
