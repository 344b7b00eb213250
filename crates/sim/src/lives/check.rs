//! Compares what is really so with what may be. Shares no code with the core's planner.

use super::life::Life;
use super::outside::JobIs;
use flint_core::id::{HostId, JobKey, Slot, VmId};
use flint_core::job::Job;
use flint_core::units::Resources;
use flint_core::vm::{Phase, Registration};
use std::collections::BTreeMap;

impl Life {
    pub(super) fn check(&mut self) {
        let found = self.unowned().or_else(|| self.overfull()).or_else(|| self.run_twice());
        let found = found.or_else(|| self.mistaken());
        if let Some(fault) = found {
            self.find(fault);
        }
    }

    /// Law 1: nothing runs that no stored row owns.
    fn unowned(&self) -> Option<String> {
        let rows = &self.daemon.stored.vms;
        let unowned = |(vm, host): (VmId, HostId)| match rows.get(&vm) {
            Some(row) if row.host == host => match row.phase {
                Phase::Stopping { host_clean: true, .. } => {
                    Some(format!("{vm} is on {host}, and its row says that it is clean"))
                }
                _ => None,
            },
            _ => Some(format!("{vm} is on {host}, and no row owns it")),
        };
        let guests = self.outside.guests.iter().map(|(vm, guest)| (*vm, guest.host));
        guests.into_iter().find_map(unowned)
    }

    fn overfull(&self) -> Option<String> {
        let mut taken: BTreeMap<HostId, (Resources, u16)> = BTreeMap::new();
        let mut places: BTreeMap<(HostId, Slot), VmId> = BTreeMap::new();
        for (vm, guest) in &self.outside.guests {
            let (sum, count) = taken.entry(guest.host).or_default();
            *sum += guest.shape;
            *count += 1;
            if let Some(other) = places.insert((guest.host, guest.slot), *vm) {
                return Some(format!("{other} and {vm} are in the same slot"));
            }
        }
        taken.into_iter().find_map(|(id, (sum, count))| {
            let host = self.setup.hosts.get(&id)?;
            let fits = sum.vcpus <= host.capacity.vcpus
                && sum.memory <= host.capacity.memory
                && sum.disk <= host.capacity.disk
                && count <= host.slots;
            (!fits).then(|| format!("{id} really holds {count} microVMs: {sum}"))
        })
    }

    fn run_twice(&self) -> Option<String> {
        let twice = |(id, job): (&u64, &super::outside::Job)| {
            (job.runs > 1).then(|| format!("job {id} ran {} times", job.runs))
        };
        self.outside.jobs.iter().find_map(twice)
    }

    /// What still has to happen before everything is as it should be.
    pub(super) fn pending(&self) -> Option<String> {
        if !self.daemon.up {
            return Some("the daemon is down".to_owned());
        }
        let open = |(id, job): &(&u64, &super::outside::Job)| {
            job.state != JobIs::Completed && !self.is_refused(**id)
        };
        let open = self.outside.jobs.iter().find(open);
        if let Some((id, job)) = open {
            let queued = self.daemon.stored.jobs.get(&super::outside::key(*id));
            return Some(format!("job {id} never completed: {:?}, known as {queued:?}", job.state));
        }
        let world = &self.daemon.stored;
        // Whether a job that nobody here serves has completed is not asked: its row goes by age.
        let stays =
            |(key, job): &(&JobKey, &Job)| job.profile.is_some() && !self.is_refused(key.id);
        if let Some((key, job)) = world.jobs.iter().find(stays) {
            return Some(format!("job {key} has completed, and its row stays: {:?}", job.state));
        }
        if !world.stray_guests.is_empty() || !world.stray_runners.is_empty() {
            return Some("strays stay".to_owned());
        }
        if let Some(name) = self.outside.runners.keys().next() {
            return Some(format!("{name} stays registered"));
        }
        self.left_over()
    }

    /// Nothing but the warm pools, and those complete where there is room for them.
    fn left_over(&self) -> Option<String> {
        let world = &self.daemon.stored;
        for (id, vm) in world.vms.iter() {
            let pooled = vm.phase == Phase::Warm && vm.registration == Registration::None;
            if !pooled || !self.outside.guests.contains_key(id) {
                return Some(format!("{id} stays: {:?} on {}", vm.phase, vm.host));
            }
        }
        for (id, profile) in &self.setup.profiles {
            let pool = world.vms.values().filter(|vm| vm.profile == *id).count();
            if pool > usize::try_from(profile.warm).unwrap_or(usize::MAX) {
                return Some(format!("the pool of {id} holds {pool}"));
            }
        }
        let present = self.outside.hosts.values().flat_map(|host| &host.present);
        let mut debris = present.filter(|vm| !world.vms.contains_key(vm));
        debris.next().map(|vm| format!("something of {vm} is left"))
    }
}
