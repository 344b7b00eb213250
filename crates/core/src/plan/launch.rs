//! The draft that the steps of a plan edit, and the one way to add a microVM to it.

use super::room::Room;
use super::timeout::Deadlines;
use super::wait::Because;
use crate::breaker::Breaker;
use crate::id::{HostId, ProfileId, ScopeId, VmId};
use crate::planted::{Fault, is};
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
        let heard = |id: &HostId| world.is_heard(*id, now) || is(Fault::DeadHostCounts);
        let heard = world.hosts.iter().filter(|(id, _)| heard(id));
        let mut rooms: BTreeMap<HostId, Room> =
            heard.map(|(id, host)| (*id, Room::empty(host))).collect();
        let mut held: Vec<(ProfileId, u32)> = Vec::new();
        for vm in world.vms.values().filter(|vm| vm.takes_room()) {
            let Some(room) = rooms.get_mut(&vm.host) else { continue };
            room.hold(vm);
            // There are few profiles, and a world's rows share their names.
            match held.iter_mut().find(|(profile, _)| profile.is(&vm.profile)) {
                Some((_, count)) => *count += 1,
                None => held.push((vm.profile.clone(), 1)),
            }
        }
        let mut sum = BTreeMap::new();
        held.into_iter().for_each(|(profile, count)| *sum.entry(profile).or_insert(0) += count);
        let held = sum;
        rooms.retain(|id, _| world.is_usable(*id, now));
        Draft { world, now, rooms, held }
    }

    /// How many microVMs a profile has; a size, how many all sizes of its template have.
    pub(super) fn held(&self, profile: &ProfileId) -> u32 {
        let family = self.world.family(profile);
        if family == profile {
            return self.held.get(profile).copied().unwrap_or(0);
        }
        let sizes = self.held.iter().filter(|(id, _)| *id != family);
        sizes.filter(|(id, _)| self.world.family(id) == family).map(|(_, count)| *count).sum()
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
        let until = self.trial(breaker, |vm| vm.profile == *id)?;
        Some(Because::BreakerOpen { until, why })
    }

    /// What GitHub has against one more in a scope, whatever its profile. While it takes no calls a new microVM would
    /// only wait for its registration, and time out by that.
    pub(super) fn forge_refuses(&self, scope: &ScopeId) -> Option<Because> {
        let until = self.world.limited_until(scope);
        if self.now < until {
            return Some(Because::RateLimited { until });
        }
        let breaker = &self.world.scopes.get(scope)?.breaker;
        let (scope, why) = (scope.clone(), breaker.why.clone());
        if self.now < breaker.closed_until {
            return Some(Because::ForgeRefuses { scope, until: breaker.closed_until, why });
        }
        let until = self.trial(breaker, |vm| vm.scope.as_ref() == Some(&scope))?;
        Some(Because::ForgeRefuses { scope, until, why })
    }

    /// Until when the one that is tried although the breaker is open has time to succeed.
    fn trial(&self, breaker: &Breaker, of: impl Fn(&Vm) -> bool) -> Option<Timestamp> {
        if !breaker.open {
            return None;
        }
        let tried = |vm: &&Vm| {
            // One for the pool tries nothing that GitHub could refuse, and may have to give way.
            matches!(vm.phase, Phase::Launching | Phase::Registering)
                && vm.registration != Registration::None
                && of(vm)
                && self.world.is_heard(vm.host, self.now)
        };
        let trial = self.world.vms.values().find(tried)?;
        Deadlines::of(&self.world).until(Timestamp(u64::MAX), trial).map(|(until, _)| until)
    }

    /// Adds a microVM where there is most room, if anywhere; one that is for no scope goes into the pool.
    pub(super) fn launch(
        &mut self,
        id: &ProfileId,
        profile: &Profile,
        scope: Option<&ScopeId>,
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
        // The agent answers later than GitHub, so a turn that is some seconds away costs nothing.
        let retry_at = scope.map_or(now, |scope| self.world.next_registration(now, (id, scope)));
        let registration = match scope {
            Some(_) => Registration::Asked { attempt: 1 },
            None => Registration::None,
        };
        let row = Vm {
            profile: id.clone(),
            host,
            slot,
            shape,
            phase: Phase::Launching,
            since: now,
            job: None,
            registration,
            scope: scope.cloned(),
            failures: 0,
            retry_at,
            times: Times { planned: now, ..Times::default() },
            trouble: None,
        };
        self.world.vms.insert(vm, row);
        *self.held.entry(id.clone()).or_insert(0) += 1;
        Some(vm)
    }
}
