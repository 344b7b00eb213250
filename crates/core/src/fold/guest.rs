//! Facts from inside a microVM. A guest may lie about itself, and about nothing else.

use super::{lost, registration};
use crate::id::VmId;
use crate::planted::{Fault, is};
use crate::runner_version::RunnerVersion;
use crate::units::Timestamp;
use crate::vm::{Phase, Reason, Registration};
use crate::world::World;
use std::time::Duration;

/// GitHub takes unused registrations away after some minutes, and the runner then ends with code 0
/// (actions/runner #4726). Before this it is a runner that fell over.
const TAKEN_AWAY_AFTER: Duration = Duration::from_secs(60);

/// GitHub's code for "this version is too old".
const DEPRECATED: i32 = 7;

pub(super) fn ready(
    world: &mut World,
    now: Timestamp,
    id: VmId,
    (kernel_up, runner): (Timestamp, Option<RunnerVersion>),
) {
    let Some(vm) = world.vms.get_mut(&id) else { return };
    if let Some(runner) = runner {
        world.runner_versions.insert(vm.profile.clone(), runner);
    }
    if vm.times.ready.is_none() {
        vm.times.kernel_up = Some(kernel_up);
        vm.times.ready = Some(now);
    }
    if vm.phase == Phase::Launching {
        vm.enter(
            now,
            match vm.registration {
                Registration::None => Phase::Warm,
                Registration::Asked { .. } | Registration::Held { .. } => Phase::Registering,
            },
        );
    }
}

pub(super) fn listening(world: &mut World, now: Timestamp, id: VmId) {
    let Some(vm) = world.vms.get_mut(&id) else { return };
    if may_work(&vm.phase, &vm.registration) && vm.phase != Phase::Listening {
        vm.enter(now, Phase::Listening);
        vm.times.listening.get_or_insert(now);
        let profile = vm.profile.clone();
        world.profile_listens(&profile);
    }
}

/// Whether its runner may have been started and is not known to have a job. A warm one has no secret.
fn may_work(phase: &Phase, registration: &Registration) -> bool {
    match phase {
        Phase::Launching | Phase::Registering | Phase::Listening => {
            *registration != Registration::None
        }
        Phase::Warm | Phase::Busy(_) | Phase::Retiring(_) | Phase::Stopping { .. } => false,
    }
}

/// A retiring one that says so stays retiring: GitHub is being asked, and is the one who knows.
pub(super) fn busy(world: &mut World, now: Timestamp, id: VmId) {
    let Some(vm) = world.vms.get_mut(&id) else { return };
    if may_work(&vm.phase, &vm.registration) {
        vm.enter(now, Phase::Busy(None));
        vm.times.started.get_or_insert(now);
        let profile = vm.profile.clone();
        world.breakers.remove(&profile);
    }
}

/// The last step is done, but the runner has yet to tell GitHub so: it gets a while for that.
pub(super) fn job_done(world: &mut World, now: Timestamp, id: VmId) {
    busy(world, now, id);
    let worked = |vm: &&mut crate::vm::Vm| matches!(vm.phase, Phase::Busy(_) | Phase::Retiring(_));
    if let Some(vm) = world.vms.get_mut(&id).filter(worked) {
        vm.times.done.get_or_insert(now);
        if is(Fault::EndsAtLastStep) {
            vm.stop(now, Reason::JobDone);
        }
    }
}

pub(super) fn runner_exited(world: &mut World, now: Timestamp, id: VmId, code: i32) {
    let Some(vm) = world.vms.get_mut(&id) else { return };
    match vm.phase {
        Phase::Busy(_) => {
            vm.times.done.get_or_insert(now);
            vm.stop(now, Reason::JobDone);
            match vm.job {
                Some(_) => registration::spent(world, id),
                None => {
                    let installations = world.installations.values_mut();
                    installations.for_each(|installation| installation.miss_a_word(now));
                }
            }
        }
        Phase::Retiring(reason) => vm.stop(now, reason),
        Phase::Stopping { .. } => {}
        Phase::Listening if code == 0 && now.since(vm.since) >= TAKEN_AWAY_AFTER => {
            vm.stop(now, Reason::IdleTimeout);
        }
        Phase::Launching | Phase::Warm | Phase::Registering | Phase::Listening => match code {
            DEPRECATED => registration::deprecated(world, now, id),
            _ => {
                let why = format!("its runner ended with code {code} before it had a job");
                lost(world, now, id, Reason::RunnerFailed, why);
            }
        },
    }
}

/// The longest word of a guest that is kept for people: it may be anything.
const WHY_MAX: usize = 300;

/// The agent gave up; it powers its guest off.
pub(super) fn failed(world: &mut World, now: Timestamp, id: VmId, why: &str) {
    let why = why.chars().filter(|c| !c.is_control()).take(WHY_MAX).collect();
    let launching = world.vms.get(&id).is_some_and(|vm| vm.phase == Phase::Launching);
    let reason = if launching { Reason::LaunchFailed } else { Reason::GuestGone };
    lost(world, now, id, reason, why);
}
