//! A fake VMM: a "microVM" is a task that speaks the agent's side of the wire.

use super::guest;
use super::outside::Outside;
use flint::vmm::{Boot, Channel, Error, Inventory, Vmm};
use flint_core::event::GuestEnd;
use flint_core::id::VmId;
use std::io;
use tokio::sync::watch;

/// The microVMs of an [`Outside`].
pub struct FakeVmm(pub Outside);

impl Vmm for FakeVmm {
    async fn boot(&self, boot: Boot) -> Result<(), Error> {
        let mut state = self.0.lock();
        state.jails.insert(boot.vm);
        state.launches += 1;
        if state.faults.boot > 0 {
            state.faults.boot -= 1;
            let source = io::Error::other("the fake VMM was told to fail");
            let program = "fake-vmm".into();
            return Err(Error::Spawn { vm: boot.vm, program, source });
        }
        state.powered.insert(boot.vm, watch::Sender::new(true));
        Ok(())
    }

    async fn exited(&self, vm: VmId) -> GuestEnd {
        let power = self.0.lock().powered.get(&vm).map(watch::Sender::subscribe);
        if let Some(mut power) = power {
            // An error means that the sender is gone, and so is the microVM.
            drop(power.wait_for(|on| !on).await);
        }
        self.0.lock().powered.remove(&vm);
        GuestEnd::ShutDown
    }

    async fn kill(&self, vm: VmId) -> Result<(), Error> {
        let mut state = self.0.lock();
        state.jails.remove(&vm);
        if let Some(power) = state.powered.remove(&vm) {
            power.send_replace(false);
        }
        Ok(())
    }

    async fn channel(&self, vm: VmId) -> Result<Channel, Error> {
        let refused = |vm| Error::Channel { vm, source: io::ErrorKind::ConnectionRefused.into() };
        let power = {
            let state = self.0.lock();
            if state.faults.guest_silent {
                return Err(refused(vm));
            }
            state.powered.get(&vm).map(watch::Sender::subscribe).ok_or_else(|| refused(vm))?
        };
        let (ours, theirs) = Channel::pair().map_err(|source| Error::Channel { vm, source })?;
        tokio::spawn(guest::live(self.0.clone(), vm, theirs, power));
        Ok(ours)
    }

    async fn inventory(&self) -> Result<Inventory, Error> {
        let state = self.0.lock();
        let alive = state.powered.keys().copied().collect();
        Ok(Inventory { alive, present: state.jails.clone() })
    }
}
