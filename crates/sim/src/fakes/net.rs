//! A fake network: a set of slots.

use super::outside::Outside;
use flint::net::{Attached, Egress, Error, Net, Refusals};
use flint::vmm::Nic;
use flint_core::id::Slot;
use flint_wire::Network;
use std::collections::BTreeSet;

/// Device or resource busy.
const EBUSY: i32 = 16;

/// The networks of an [`Outside`].
pub struct FakeNet(pub Outside);

impl Net for FakeNet {
    async fn attach(&self, slot: Slot, _uid: u32, _: &Egress) -> Result<Attached, Error> {
        let mut state = self.0.lock();
        state.networks.insert(slot);
        if state.faults.net > 0 {
            state.faults.net -= 1;
            let (verb, path) = ("make", format!("/run/netns/fake-{slot}").into());
            let source = std::io::Error::from_raw_os_error(EBUSY);
            return Err(Error::Namespace { verb, path, source });
        }
        let nic = Nic {
            netns: format!("/run/netns/fake-{slot}").into(),
            tap: "vmtap0".to_owned(),
            mac: "06:00:c0:a8:f1:02".to_owned(),
        };
        let guest = Network {
            address: "192.168.241.2/29".to_owned(),
            gateway: "192.168.241.1".to_owned(),
            dns: Vec::new(),
            ipv6: None,
        };
        Ok(Attached { nic, guest })
    }

    async fn detach(&self, slot: Slot) -> Result<(), Error> {
        self.0.lock().networks.remove(&slot);
        Ok(())
    }

    async fn refusals(&self, _: Slot) -> Result<Refusals, Error> {
        Ok(Refusals::default())
    }

    async fn attached(&self) -> Result<BTreeSet<Slot>, Error> {
        Ok(self.0.lock().networks.clone())
    }
}
