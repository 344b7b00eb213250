//! A fake VMM: a "microVM" is a task that speaks the agent's side of the wire.

use super::guest::Guest;
use super::outside::{Machine, Outside};
use flint::vmm::{Boot, Channel, Error, Inventory, Vmm};
use flint_core::event::GuestEnd;
use flint_core::id::VmId;
use std::io;
use tokio::sync::watch;

/// The microVMs of an [`Outside`].
pub struct FakeVmm(pub Outside);

impl Vmm for FakeVmm {
    async fn boot(&self, boot: Boot) -> Result<(), Error> {
        let vm = boot.vm;
        let takes = {
            let mut state = self.0.lock();
            state.jails.insert(vm);
            state.faults.boot_takes
        };
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        let mut state = self.0.lock();
        state.launches += 1;
        if state.faults.boot > 0 {
            state.faults.boot -= 1;
            let source = io::Error::other("the fake VMM was told to fail");
            let program = "fake-vmm".into();
            return Err(Error::Spawn { vm, program, source });
        }
        let power = watch::Sender::new(true);
        let guest = Guest::new(self.0.clone(), vm, power.subscribe());
        state.machines.insert(vm, Machine { power, guest });
        state.most_at_once = state.most_at_once.max(state.machines.len());
        Ok(())
    }

    async fn exited(&self, vm: VmId) -> GuestEnd {
        let power = self.0.lock().machines.get(&vm).map(|machine| machine.power.subscribe());
        if let Some(mut power) = power {
            // An error means that the sender is gone, and so is the microVM.
            drop(power.wait_for(|on| !on).await);
        }
        GuestEnd::ShutDown
    }

    async fn kill(&self, vm: VmId) -> Result<(), Error> {
        let mut state = self.0.lock();
        if state.faults.kill > 0 {
            state.faults.kill -= 1;
            let source = io::Error::other("the fake VMM was told to fail");
            return Err(Error::Channel { vm, source });
        }
        state.jails.remove(&vm);
        drop(state);
        self.0.cut_power(vm);
        Ok(())
    }

    async fn channel(&self, vm: VmId) -> Result<Channel, Error> {
        let refused = |vm| Error::Channel { vm, source: io::ErrorKind::ConnectionRefused.into() };
        let guest = {
            let state = self.0.lock();
            if state.faults.guest_silent {
                return Err(refused(vm));
            }
            state.machines.get(&vm).map(|machine| machine.guest.clone())
        };
        let guest = guest.ok_or_else(|| refused(vm))?;
        let (ours, theirs) = Channel::pair().map_err(|source| Error::Channel { vm, source })?;
        tokio::spawn(guest.talk(theirs));
        Ok(ours)
    }

    async fn inventory(&self) -> Result<Inventory, Error> {
        let state = self.0.lock();
        let alive = state.machines.keys().copied().collect();
        Ok(Inventory { alive, present: state.jails.clone() })
    }
}
