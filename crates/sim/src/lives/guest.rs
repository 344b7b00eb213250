//! The made-up guests: they boot, run one runner, speak in order, and die.

use super::life::Life;
use super::outside::{Happening, MINUTE, SECOND};
use flint_core::event::{Event, GuestEnd, GuestEvent, HostEvent};
use flint_core::id::VmId;
use flint_core::units::Timestamp;

impl Life {
    /// A guest's words arrive in the order it said them.
    pub(super) fn guest_says(&mut self, vm: VmId, said: GuestEvent) {
        let after = 1 + self.rng.below(self.faults.delay_ms.min(5 * SECOND));
        let now = self.now;
        let Some(guest) = self.outside.guests.get_mut(&vm) else { return };
        guest.said_until = guest.said_until.max(now + after) + 1;
        let after = guest.said_until - now;
        self.later(after, Happening::Said(vm, said));
    }

    pub(super) fn guest_ready(&mut self, vm: VmId) {
        let Some(guest) = self.outside.guests.get_mut(&vm) else { return };
        guest.ready = true;
        let kernel_up = Timestamp(self.now);
        self.guest_says(vm, GuestEvent::Ready { kernel_up, runner: None });
    }

    /// The daemon hands the secret over; the runner starts.
    pub(super) fn receives(&mut self, vm: VmId, name: String) {
        let Some(guest) = self.outside.guests.get_mut(&vm) else { return };
        if guest.secret.is_none() {
            guest.secret = Some(name);
            let after = self.rng.between(1, 10 * SECOND);
            self.later(after, Happening::RunnerStarts(vm));
        }
    }

    pub(super) fn runner_starts(&mut self, vm: VmId) {
        let known = self.outside.runner_of(vm).map(|(name, _)| name.clone());
        let Some(guest) = self.outside.guests.get_mut(&vm) else { return };
        let fails = self.rng.chance(self.faults.runner_fails);
        let Some(name) = known.filter(|_| !fails) else {
            let code = if self.rng.chance(100) { 7 } else { 1 };
            return self.guest_says(vm, GuestEvent::RunnerExited { code });
        };
        guest.running = true;
        if let Some(runner) = self.outside.runners.get_mut(&name) {
            runner.online = true;
        }
        self.guest_says(vm, GuestEvent::Listening);
        if self.rng.chance(self.faults.idle_removed) {
            let after = self.rng.between(2 * MINUTE, 6 * MINUTE);
            self.later(after, Happening::IdleRemoved(name));
        }
        self.assign_soon();
    }

    /// It powers itself off, or dies: its process ends, and the daemon watches for that.
    pub(super) fn guest_ends(&mut self, vm: VmId) {
        if self.outside.guests.contains_key(&vm) {
            self.vanish(vm);
            let ends = [GuestEnd::ShutDown, GuestEnd::Crashed, GuestEnd::OutOfMemory];
            let end = self.rng.pick(&ends).unwrap_or(GuestEnd::Killed);
            let exited = HostEvent::Exited { vm, end };
            let life = self.daemon.life;
            self.soon(Happening::Answer(life, Event::Host(exited)));
        }
    }

    /// Its process is no more. What it held at GitHub stays there until someone removes it.
    pub(super) fn vanish(&mut self, vm: VmId) {
        if self.outside.guests.remove(&vm).is_none() {
            return;
        }
        self.say(&format!("{vm} ends"));
        let job = self.outside.job_in(vm);
        for runner in self.outside.runners.values_mut().filter(|runner| runner.vm == vm) {
            runner.online = false;
        }
        if let Some(job) = job {
            let after = self.rng.between(MINUTE, 10 * MINUTE);
            self.later(after, Happening::RunnerLost(job));
        }
    }

    /// Its network namespace or its disk is gone: its runner is cut off, and GitHub gives its job up. With a broken
    /// disk its agent says so.
    pub(super) fn breaks(&mut self, vm: VmId) {
        self.say(&format!("{vm} breaks"));
        let job = self.outside.job_in(vm);
        for runner in self.outside.runners.values_mut().filter(|runner| runner.vm == vm) {
            runner.online = false;
        }
        if let Some(job) = job {
            let after = self.rng.between(MINUTE, 10 * MINUTE);
            self.later(after, Happening::RunnerLost(job));
        }
        if self.rng.chance(500) {
            self.excuse(vm);
            self.guest_says(vm, GuestEvent::Failed { why: "its disk is read-only".to_owned() });
        }
    }

    /// Whatever is done to its job from now on is not the core's mistake.
    pub(super) fn excuse(&mut self, vm: VmId) {
        if let Some(guest) = self.outside.guests.get_mut(&vm) {
            guest.excused = true;
        }
    }

    pub(super) fn lie(&mut self, vm: VmId) {
        let lies = [
            GuestEvent::Listening,
            GuestEvent::Busy,
            GuestEvent::JobDone,
            GuestEvent::RunnerExited { code: 0 },
            GuestEvent::RunnerExited { code: 139 },
            GuestEvent::Ready { kernel_up: Timestamp(0), runner: None },
            GuestEvent::Failed { why: "a lie".to_owned() },
        ];
        let Some(lie) = self.rng.pick(&lies) else { return };
        self.excuse(vm);
        self.guest_says(vm, lie);
    }
}
