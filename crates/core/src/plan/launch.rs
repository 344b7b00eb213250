//! The draft that the steps of a plan edit, and the one way to add a microVM to it.

use super::room::Room;
use super::wait::Because;
use crate::id::{HostId, ProfileId, VmId};
use crate::profile::Profile;
use crate::units::Timestamp;
use crate::vm::{Phase, Registration, Times, Vm};
use crate::world::World;
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// The world as it will be, and what its usable hosts have left.
pub(super) struct Draft {
    pub(super) world: World,
    pub(super) now: Timestamp,
    pub(super) rooms: BTreeMap<HostId, Room>,
    /// How many microVMs each profile has that take room on a host that is heard from.
    held: BTreeMap<ProfileId, u32>,
}

impl Draft {
    pub(super) fn new(world: World, now: Timestamp) -> Self {
        let usable = world.hosts.iter().filter(|(id, _)| world.is_usable(**id, now));
        let rooms = usable.map(|(id, host)| (*id, Room::of(&world, *id, host))).collect();
        let mut held = BTreeMap::new();
        let counts = |vm: &&Vm| vm.takes_room() && world.is_heard(vm.host, now);
        for vm in world.vms.values().filter(counts) {
            *held.entry(vm.profile.clone()).or_insert(0) += 1;
        }
        Draft { world, now, rooms, held }
    }

    /// How many microVMs a profile has.
    pub(super) fn held(&self, profile: &ProfileId) -> u32 {
        self.held.get(profile).copied().unwrap_or(0)
    }

    /// What the profile's breaker has against one more. An open one whose time is over lets one be tried.
    pub(super) fn breaker(&self, id: &ProfileId) -> Option<Because> {
        let breaker = self.world.breakers.get(id)?;
        let why = breaker.why.clone();
        if self.now < breaker.closed_until {
            let until = breaker.closed_until;
            return Some(match breaker.open {
                true => Because::BreakerOpen { until, why },
                false => Because::BackingOff { until, why },
            });
        }
        let tried = |vm: &&Vm| {
            vm.profile == *id
                && matches!(vm.phase, Phase::Launching | Phase::Registering)
                && self.world.is_heard(vm.host, self.now)
        };
        let trial = self.world.vms.values().find(tried).filter(|_| breaker.open)?;
        let (until, _) = super::timeout::deadline(&self.world, trial)?;
        Some(Because::BreakerOpen { until, why })
    }

    /// Adds a microVM where there is most room, if anywhere.
    pub(super) fn launch(
        &mut self,
        id: &ProfileId,
        profile: &Profile,
        registration: Registration,
    ) -> Option<VmId> {
        let shape = profile.shape;
        let fits = self.rooms.iter_mut().filter_map(|(host, room)| {
            let slot = room.slot_for(&shape)?;
            Some((*host, slot, room))
        });
        let (host, slot, room) =
            fits.max_by_key(|(host, _, room)| (room.free.memory, room.free.vcpus, Reverse(*host)))?;
        room.take(slot, &shape);
        let vm = VmId(self.world.next_vm);
        self.world.next_vm = self.world.next_vm.saturating_add(1);
        let now = self.now;
        let row = Vm {
            profile: id.clone(),
            host,
            slot,
            shape,
            phase: Phase::Launching,
            since: now,
            job: None,
            registration,
            failures: 0,
            retry_at: now,
            times: Times { planned: now, ..Times::default() },
            trouble: None,
        };
        self.world.vms.insert(vm, row);
        *self.held.entry(id.clone()).or_insert(0) += 1;
        Some(vm)
    }
}
