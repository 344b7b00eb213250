//! What ends by time: each phase has a deadline, and a draining host lets the unused go.

use crate::id::VmId;
use crate::planted::{Fault, is};
use crate::profile::{LAST_RESORT, Profile, Timeouts};
use crate::units::Timestamp;
use crate::vm::{Phase, Reason, Registration, Vm};
use crate::world::World;
use std::time::Duration;

/// After the completed hook the runner sends its last log lines and the job's result; seconds as a rule.
const DONE_GRACE: Duration = Duration::from_secs(120);

/// GitHub has the result: what is left is the runner's own end and the log's last lines, well under a second.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// A pooled guest is replaced after a day: its clock, its addresses and its image grow old.
const WARM_MAX: Duration = Duration::from_secs(24 * 3_600);

/// The deadlines of a world. Most are far away, and that is seen without a look at the profile.
pub(super) struct Deadlines<'a> {
    world: &'a World,
    /// No profile has less, in any phase.
    shortest: Timeouts,
}

impl<'a> Deadlines<'a> {
    pub(super) fn of(world: &'a World) -> Self {
        let mut shortest = LAST_RESORT;
        for Profile { timeouts, .. } in world.profiles.values() {
            shortest.boot = shortest.boot.min(timeouts.boot);
            shortest.register = shortest.register.min(timeouts.register);
            shortest.idle = shortest.idle.min(timeouts.idle);
            shortest.job = shortest.job.min(timeouts.job);
        }
        Deadlines { world, shortest }
    }

    /// When a microVM's phase ends by time, and for what reason, if that is not after `horizon`. `Stopping` has no
    /// end on its host's side: the order is repeated until the host has said that it is clean; for GitHub's side see
    /// `fold::sweep`.
    pub(super) fn until(&self, horizon: Timestamp, vm: &Vm) -> Option<(Timestamp, Reason)> {
        deadline(self.world, &self.shortest, vm).filter(|(earliest, _)| *earliest <= horizon)?;
        let ends = deadline(self.world, self.world.timeouts(vm), vm);
        ends.filter(|(at, _)| *at <= horizon)
    }
}

fn deadline(world: &World, timeouts: &Timeouts, vm: &Vm) -> Option<(Timestamp, Reason)> {
    let (from, limit, reason) = match (&vm.phase, &vm.registration) {
        (Phase::Launching, _) if is(Fault::NoBootTimeout) => return None,
        (Phase::Listening, _) if is(Fault::NoIdleTimeout) => return None,
        (Phase::Busy(_), _) if is(Fault::NoJobTimeout) && vm.times.done.is_none() => return None,
        (Phase::Listening, _) if is(Fault::IdleByWrongAge) => {
            (vm.times.planned, timeouts.idle, Reason::IdleTimeout)
        }
        (Phase::Launching, _) => (vm.since, timeouts.boot, Reason::BootTimeout),
        (Phase::Warm, _) => (vm.since, WARM_MAX, Reason::IdleTimeout),
        (Phase::Registering, Registration::Held { .. }) => {
            let from = vm.since.max(vm.times.registered.unwrap_or_default());
            (from, timeouts.register, Reason::RegisterTimeout)
        }
        // Nobody is to blame while GitHub takes no calls, or others' turns come first.
        (Phase::Registering, Registration::None | Registration::Asked { .. }) => {
            let from = vm.since.max(world.calls_from(vm)).max(world.turn(vm).unwrap_or_default());
            (from, timeouts.register, Reason::RegisterFailed)
        }
        (Phase::Listening, _) => (vm.since, timeouts.idle, Reason::IdleTimeout),
        (Phase::Busy(_), _) => match vm.times.done {
            None => (vm.since, timeouts.job, Reason::JobTimeout),
            Some(done) => match told(world, vm) {
                Some(told) => (told, LAST_WORDS, Reason::JobDone),
                None => (done, DONE_GRACE, Reason::JobDone),
            },
        },
        (Phase::Retiring(reason), _) => (vm.since, timeouts.job, *reason),
        (Phase::Stopping { .. }, _) => return None,
    };
    Some((from.after(limit), reason))
}

/// When GitHub told that its job has completed.
fn told(world: &World, vm: &Vm) -> Option<Timestamp> {
    world.finished.get(&vm.job?).copied()
}

pub(super) fn time_out(world: &mut World, now: Timestamp) {
    let deadlines = Deadlines::of(world);
    let over = world
        .vms
        .iter()
        .filter_map(|(id, vm)| deadlines.until(now, vm).map(|(_, reason)| (*id, reason)));
    let over: Vec<(VmId, Reason)> = over.collect();
    for (id, reason) in over {
        let Some(vm) = world.vms.get_mut(&id) else { continue };
        let again = matches!(vm.phase, Phase::Retiring(_));
        match vm.phase {
            Phase::Busy(_) | Phase::Retiring(_) => vm.stop(now, reason),
            Phase::Launching if is(Fault::BootTimeoutUnasked) => vm.stop(now, reason),
            Phase::Listening if is(Fault::IdleUnasked) => vm.stop(now, reason),
            Phase::Launching | Phase::Warm | Phase::Registering | Phase::Listening => {
                vm.leave(now, reason);
            }
            Phase::Stopping { .. } => {}
        }
        if reason.is_failure() && !again {
            let (profile, why) = (vm.profile.clone(), too_late(id, reason, vm.trouble.as_deref()));
            world.profile_failed(now, &profile, why);
        }
    }
}

fn too_late(id: VmId, reason: Reason, trouble: Option<&str>) -> String {
    let what = match reason {
        Reason::BootTimeout => "did not report ready in time",
        Reason::RegisterFailed => "got no registration from GitHub in time",
        Reason::RegisterTimeout => "got a registration, but its runner did not listen in time",
        Reason::JobDone
        | Reason::Surplus
        | Reason::IdleTimeout
        | Reason::Unregistered
        | Reason::Draining
        | Reason::LaunchFailed
        | Reason::RunnerFailed
        | Reason::RunnerDeprecated
        | Reason::JobTimeout
        | Reason::GuestGone
        | Reason::Interrupted
        | Reason::Operator => "ended",
    };
    match trouble {
        Some(trouble) => format!("{id} {what}: {trouble}"),
        None => format!("{id} {what}"),
    }
}

/// On a draining host only jobs stay. Whether one is without a job, GitHub says.
pub(super) fn drain(world: &mut World, now: Timestamp) {
    if world.hosts.values().all(|host| !host.draining) {
        return;
    }
    let draining = |vm: &Vm| world.hosts.get(&vm.host).is_some_and(|host| host.draining);
    let there = world.vms.iter().filter(|(_, vm)| draining(vm)).map(|(id, _)| *id);
    for id in there.collect::<Vec<_>>() {
        if let Some(vm) = world.vms.get_mut(&id) {
            if is(Fault::DrainUnasked) && vm.phase == Phase::Listening {
                vm.stop(now, Reason::Draining);
            }
            vm.leave(now, Reason::Draining);
        }
    }
}
