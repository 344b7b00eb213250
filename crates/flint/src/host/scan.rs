//! What is on this host, as one fact; and the removal of networks that nobody owns.

use crate::host::{Error, Host};
use crate::images::Images;
use crate::net::Net;
use crate::vmm::Vmm;
use flint_core::event::HostEvent;
use flint_core::id::Slot;
use flint_core::units::Timestamp;
use std::collections::BTreeSet;

impl<V: Vmm, N: Net, I: Images> Host<V, N, I> {
    /// The host's inventory. Slots that have a network but are neither in `owned` (the slots of all rows) nor in use
    /// by an order under way lose it. `asked` is now, by the clock that the caller tells all times by.
    ///
    /// # Errors
    /// [`Error::Scan`] when one of the three does not know; then nothing is claimed.
    pub async fn inventory(
        &self,
        owned: &BTreeSet<Slot>,
        asked: Timestamp,
    ) -> Result<HostEvent, Error> {
        let failed = |what| move |source| Error::Scan { what, source };
        let vms = self.vmm.inventory().await.map_err(|e| failed("microVMs")(e.into()))?;
        let disks = self.images.held().await.map_err(|e| failed("disks")(e.into()))?;
        for slot in self.net.attached().await.map_err(|e| failed("networks")(e.into()))? {
            if !owned.contains(&slot) {
                self.detach_unowned(slot).await;
            }
        }
        let present = vms.present.union(&disks).copied().collect();
        Ok(HostEvent::Inventory { host: self.options.id, alive: vms.alive, present, asked })
    }

    async fn detach_unowned(&self, slot: Slot) {
        let _slot = self.locks.slot(slot).await;
        // Asked under the lock: a launch takes the slot before it makes the network.
        if self.owner(slot).is_some() {
            return;
        }
        if let Err(error) = self.net.detach(slot).await {
            tracing::warn!(%slot, %error, "cannot remove a network that nobody owns");
        }
    }
}
