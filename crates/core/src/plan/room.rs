//! What each host has left to give.

use super::wait::Short;
use crate::host::Host;
use crate::id::Slot;
use crate::units::Resources;
use crate::vm::{Phase, Vm};

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
    /// One bit a slot.
    used: Vec<u64>,
    taken: usize,
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
            used: vec![0; usize::from(host.slots).div_ceil(64)],
            taken: 0,
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
        self.taken += 1;
        // A smaller configuration leaves slots beyond the last.
        if let Some(word) = self.used.get_mut(usize::from(slot.0 / 64)) {
            *word |= 1 << (slot.0 % 64);
        }
    }

    /// What one takes is free soon.
    pub(super) fn leave(&mut self, shape: &Resources) {
        self.leaving += *shape;
        self.leaving_slots += 1;
    }

    /// The lowest free slot, if there is room for this shape beside what others claim.
    pub(super) fn slot_for(&self, shape: &Resources) -> Option<Slot> {
        let fits = (self.free - self.claimed).fits(shape);
        let free = |slot: &u16| {
            let word = self.used.get(usize::from(slot / 64)).copied().unwrap_or(u64::MAX);
            word & (1 << (slot % 64)) == 0
        };
        if !fits || self.taken >= usize::from(self.slots) {
            return None;
        }
        (0..self.slots).find(free).map(Slot)
    }

    pub(super) fn free_slots(&self) -> usize {
        usize::from(self.slots).saturating_sub(self.taken)
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
