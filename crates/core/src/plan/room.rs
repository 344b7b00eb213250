//! What each host has left to give.

use super::wait::Short;
use crate::host::Host;
use crate::id::Slot;
use crate::units::Resources;
use crate::vm::{Phase, Vm};
use std::collections::BTreeSet;

/// One host's account.
pub(super) struct Room {
    /// All it has.
    pub(super) capacity: Resources,
    /// Not taken by any row.
    pub(super) free: Resources,
    /// What older jobs wait for, so that younger ones do not take it before them.
    pub(super) claimed: Resources,
    /// Taken now, but free soon: by those that retire or stop.
    pub(super) leaving: Resources,
    /// How many of those.
    pub(super) leaving_slots: usize,
    slots: u16,
    used: BTreeSet<Slot>,
}

impl Room {
    pub(super) fn empty(host: &Host) -> Self {
        Room {
            capacity: host.capacity,
            free: host.capacity,
            claimed: Resources::default(),
            leaving: Resources::default(),
            leaving_slots: 0,
            slots: host.slots,
            used: BTreeSet::new(),
        }
    }

    /// Counts one that is there.
    pub(super) fn hold(&mut self, vm: &Vm) {
        self.take(vm.slot, &vm.shape);
        if matches!(vm.phase, Phase::Retiring(_) | Phase::Stopping { .. }) {
            self.leave(&vm.shape);
        }
    }

    pub(super) fn take(&mut self, slot: Slot, shape: &Resources) {
        self.free = self.free - *shape;
        self.used.insert(slot);
    }

    fn leave(&mut self, shape: &Resources) {
        self.leaving += *shape;
        self.leaving_slots += 1;
    }

    /// The lowest free slot, if there is room for this shape beside what others claim.
    pub(super) fn slot_for(&self, shape: &Resources) -> Option<Slot> {
        let fits = (self.free - self.claimed).fits(shape);
        (0..self.slots).map(Slot).find(|slot| !self.used.contains(slot)).filter(|_| fits)
    }

    pub(super) fn free_slots(&self) -> usize {
        usize::from(self.slots).saturating_sub(self.used.len())
    }

    /// What stands in the way of this shape here; vCPUs first, as people think of them first.
    pub(super) fn short_of(&self, shape: &Resources) -> Short {
        let left = self.free - self.claimed;
        if shape.vcpus > left.vcpus {
            Short::Vcpus
        } else if shape.memory > left.memory {
            Short::Memory
        } else if shape.disk > left.disk {
            Short::Disk
        } else {
            Short::Slots
        }
    }
}
