//! The made-up hosts: launches in steps that may fail anywhere, destroys, inventories, crashes.

use super::life::Life;
use super::outside::{Guest, Happening, MINUTE, RealHost, SECOND};
use flint_core::event::{Event, HostEvent, OperatorEvent};
use flint_core::id::{HostId, VmId};
use flint_core::plan::Action;
use flint_core::units::Timestamp;
use flint_core::vm::{Phase, Reason};

impl Life {
    fn host(&mut self, id: HostId) -> &mut RealHost {
        self.outside.hosts.entry(id).or_default()
    }

    /// Disk, then process, then boot. The steps are the daemon's own work: they end with its life.
    pub(super) fn launch_step(&mut self, life: u64, action: Action, step: u8) {
        let Action::Launch { vm, host, slot, ref profile } = action else { return };
        if !self.daemon.is(life) {
            return;
        }
        let fails = self.rng.chance(self.faults.launch_fails / 3);
        let real = self.host(host);
        if !real.up || real.destroyed.contains(&vm) || fails {
            let failed = HostEvent::LaunchFailed { vm, why: format!("step {step}") };
            return self.soon(Happening::Answer(life, Event::Host(failed)));
        }
        real.present.insert(vm);
        if step == 0 {
            let committed = self.now;
            let began = HostEvent::LaunchBegan { vm, committed: Timestamp(committed) };
            self.soon(Happening::Answer(life, Event::Host(began)));
        }
        if step < 2 {
            return self.soon(Happening::LaunchStep(life, action, step + 1));
        }
        let shape = self.profile(profile).shape;
        let lies = self.rng.chance(self.faults.launch_lies);
        let guest = Guest {
            host,
            slot,
            shape,
            ready: false,
            secret: None,
            running: false,
            said_until: self.now,
            excused: lies || self.memory.unsettled(self.now),
            overlooked: false,
        };
        self.outside.guests.insert(vm, guest);
        if !self.rng.chance(self.faults.never_ready) {
            let boot = self.rng.between(SECOND, 20 * SECOND);
            let boot =
                if self.rng.chance(self.faults.never_ready) { boot + 2 * MINUTE } else { boot };
            self.later(boot, Happening::GuestReady(vm));
        }
        if lies {
            let failed = HostEvent::LaunchFailed { vm, why: "so it said".to_owned() };
            self.soon(Happening::Answer(life, Event::Host(failed)));
        }
    }

    pub(super) fn destroys(&mut self, life: u64, action: &Action) {
        let Action::Destroy { vm, host, .. } = action else { return };
        let (vm, host) = (*vm, *host);
        let fails = self.rng.chance(self.faults.destroy_fails);
        let in_part = fails && self.rng.chance(500);
        let up = self.host(host).up;
        if up && (!fails || in_part) {
            self.host(host).destroyed.insert(vm);
            self.killed(vm);
            self.vanish(vm);
        }
        let event = match up && !fails {
            true => {
                self.host(host).present.remove(&vm);
                HostEvent::Destroyed { vm }
            }
            false => HostEvent::DestroyFailed { vm, why: "it failed".to_owned() },
        };
        self.soon(Happening::Answer(life, Event::Host(event)));
    }

    /// A guest is destroyed. If a job runs in it, there must be a good reason.
    fn killed(&mut self, vm: VmId) {
        let Some(job) = self.outside.job_in(vm) else { return };
        let Some(guest) = self.outside.guests.get(&vm).filter(|guest| !guest.excused) else {
            return;
        };
        let hangs = self.outside.jobs[&job].hangs;
        let reason = self.daemon.stored.vms.get(&vm).map(|vm| vm.phase.clone());
        let timed_out =
            matches!(reason, Some(Phase::Stopping { reason: Reason::JobTimeout, .. })) && hangs;
        if !timed_out {
            let host = guest.host;
            self.find(format!("job {job} was killed in {vm} on {host} under {reason:?}"));
        }
    }

    pub(super) fn host_lists(&mut self, life: u64, host: HostId, asked: Timestamp) {
        if !self.host(host).up {
            let failed = HostEvent::ScanFailed { host, why: "it is away".to_owned() };
            return self.soon(Happening::Answer(life, Event::Host(failed)));
        }
        let here = self.outside.guests.iter().filter(|(_, guest)| guest.host == host);
        let alive = here.map(|(vm, _)| *vm).collect();
        let present = self.host(host).present.clone();
        let event = HostEvent::Inventory { host, alive, present, asked };
        self.soon(Happening::Answer(life, Event::Host(event)));
    }

    pub(super) fn host_returns(&mut self, host: HostId) {
        self.host(host).up = true;
    }

    /// Once a minute something may go wrong that nobody ordered.
    pub(super) fn misfortune(&mut self) {
        if self.calm {
            return;
        }
        self.later(MINUTE, Happening::Misfortune);
        if self.rng.chance(self.faults.clock_jump) {
            self.jump();
        }
        let guests: Vec<VmId> = self.outside.guests.keys().copied().collect();
        if let Some(vm) = self.rng.pick(&guests) {
            if self.rng.chance(self.faults.guest_dies) {
                self.guest_ends(vm);
            } else if self.rng.chance(self.faults.guest_lies) {
                self.lie(vm);
            } else if self.rng.chance(self.faults.guest_breaks) {
                self.breaks(vm);
            }
        }
        let hosts: Vec<HostId> = self.outside.hosts.keys().copied().collect();
        let Some(host) = self.rng.pick(&hosts) else { return };
        if self.rng.chance(self.faults.host_crash) {
            self.host_crashes(host);
        }
        if self.rng.chance(self.faults.drain) {
            self.operator(Event::Operator(OperatorEvent::Drain { host, draining: true }));
            let after = self.rng.between(MINUTE, 15 * MINUTE);
            self.later(after, Happening::Undrain(host));
        }
    }

    /// It loses its processes, and half of the time its files too. The first host is the daemon's own.
    fn host_crashes(&mut self, host: HostId) {
        self.say(&format!("{host} crashes"));
        let here = self.outside.guests.iter().filter(|(_, guest)| guest.host == host);
        for vm in here.map(|(vm, _)| *vm).collect::<Vec<_>>() {
            self.vanish(vm);
        }
        let forgets = self.rng.chance(500);
        let real = self.host(host);
        real.up = false;
        if forgets {
            real.present.clear();
        }
        let after = self.rng.between(SECOND, 20 * MINUTE);
        self.later(after, Happening::HostReturns(host));
        if host == HostId(0) {
            self.daemon_crashes();
        }
    }
}
