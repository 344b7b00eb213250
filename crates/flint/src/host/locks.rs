//! One order at a time for each microVM and each slot. Whoever needs both takes the microVM first.

use flint_core::id::{Slot, VmId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OwnedMutexGuard;

/// The locks of a host.
#[derive(Default)]
pub(super) struct Locks {
    held: Mutex<BTreeMap<Key, Arc<tokio::sync::Mutex<()>>>>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Vm(VmId),
    Slot(Slot),
}

impl Locks {
    pub(super) async fn vm(&self, vm: VmId) -> OwnedMutexGuard<()> {
        self.take(Key::Vm(vm)).lock_owned().await
    }

    pub(super) async fn slot(&self, slot: Slot) -> OwnedMutexGuard<()> {
        self.take(Key::Slot(slot)).lock_owned().await
    }

    fn take(&self, key: Key) -> Arc<tokio::sync::Mutex<()>> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        // What nobody holds or waits for is forgotten: ids never come back.
        held.retain(|_, lock| Arc::strong_count(lock) > 1);
        Arc::clone(held.entry(key).or_default())
    }
}
