//! Says what is wrong with a world, in words. Shares no code with `plan`.

use crate::id::{HostId, JobKey, Slot, VmId};
use crate::job::JobState;
use crate::units::Resources;
use crate::vm::{Phase, Registration, Vm};
use crate::world::World;
use std::collections::BTreeMap;
use std::fmt;

/// Something that should never be. Production logs it and stops launching; tests fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note(pub String);

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All that is wrong.
#[must_use]
pub fn audit(world: &World) -> Vec<Note> {
    let mut notes = Vec::new();
    hosts(world, &mut notes);
    for (id, vm) in world.vms.iter() {
        row(world, *id, vm, &mut notes);
        phase(*id, vm, &mut notes);
    }
    jobs(world, &mut notes);
    strays(world, &mut notes);
    notes
}

fn hosts(world: &World, notes: &mut Vec<Note>) {
    let mut places: BTreeMap<(HostId, Slot), VmId> = BTreeMap::new();
    for (id, vm) in world.vms.iter().filter(|(_, vm)| !host_is_clean(vm)) {
        if let Some(other) = places.insert((vm.host, vm.slot), *id) {
            let (host, slot) = (vm.host, vm.slot);
            notes.push(Note(format!("{other} and {id} have the same slot {slot} on {host}")));
        }
    }
    for (id, host) in &world.hosts {
        let here = || world.vms.values().filter(|vm| vm.host == *id && !host_is_clean(vm));
        // A smaller configuration leaves a host over-full, and that is nobody's mistake. But whatever is
        // still launching was let in under the present one.
        if !here().any(|vm| vm.phase == Phase::Launching) {
            continue;
        }
        let taken = here().fold(Resources::default(), |sum, vm| sum + vm.shape);
        if !host.capacity.fits(&taken) {
            notes.push(Note(format!("{id} gives {taken}, and has {}", host.capacity)));
        }
        if here().count() > usize::from(host.slots) {
            let (count, slots) = (here().count(), host.slots);
            notes.push(Note(format!("{id} holds {count} microVMs, and has {slots} slots")));
        }
    }
}

fn host_is_clean(vm: &Vm) -> bool {
    matches!(vm.phase, Phase::Stopping { host_clean: true, .. })
}

fn row(world: &World, id: VmId, vm: &Vm, notes: &mut Vec<Note>) {
    if id.0 >= world.next_vm {
        notes.push(Note(format!("{id} was never handed out")));
    }
    if !world.profiles.contains_key(&vm.profile) {
        notes.push(Note(format!("{id} is of profile `{}`, which nobody knows", vm.profile)));
    }
    if !world.hosts.contains_key(&vm.host) {
        notes.push(Note(format!("{id} is on {}, which nobody knows", vm.host)));
    }
}

fn phase(id: VmId, vm: &Vm, notes: &mut Vec<Note>) {
    match (&vm.phase, &vm.registration) {
        (Phase::Warm, Registration::Asked { .. } | Registration::Held { .. }) => {
            notes.push(Note(format!("{id} is warm and has a registration")));
        }
        (Phase::Registering | Phase::Listening | Phase::Retiring(_), Registration::None) => {
            notes.push(Note(format!("{id} never asked for a registration, and is past that")));
        }
        (Phase::Registering | Phase::Listening, _) if vm.scope.is_none() => {
            notes.push(Note(format!("{id} has a registration, and nobody knows in which scope")));
        }
        (Phase::Stopping { host_clean: true, forge_clean: true, .. }, _) => {
            notes.push(Note(format!("{id} is gone, and its row is still here")));
        }
        (Phase::Busy(Some(job)), _) if vm.job != Some(*job) => {
            notes.push(Note(format!("{id} is busy with job {job}, and remembers another")));
        }
        (
            Phase::Launching
            | Phase::Warm
            | Phase::Registering
            | Phase::Listening
            | Phase::Busy(_)
            | Phase::Retiring(_)
            | Phase::Stopping { .. },
            _,
        ) => {}
    }
    if let Registration::Asked { attempt: 0 } | Registration::Held { attempt: 0, .. } =
        vm.registration
    {
        notes.push(Note(format!("{id} has a registration under no name")));
    }
}

fn jobs(world: &World, notes: &mut Vec<Note>) {
    let mut runs: BTreeMap<JobKey, VmId> = BTreeMap::new();
    for (id, vm) in world.vms.iter() {
        if let Phase::Busy(Some(job)) = vm.phase
            && let Some(other) = runs.insert(job, *id)
        {
            notes.push(Note(format!("job {job} runs in {other} and in {id}")));
        }
    }
    for (key, job) in world.jobs.iter() {
        if world.finished.contains_key(key) {
            notes.push(Note(format!("job {key} has completed, and its row is still here")));
        }
        if let Some(vm) = runs.get(key).filter(|_| job.state == JobState::Queued) {
            notes.push(Note(format!("job {key} runs in {vm}, and still counts as queued")));
        }
    }
}

fn strays(world: &World, notes: &mut Vec<Note>) {
    for id in world.stray_runners.keys().filter(|id| world.vms.contains_key(id)) {
        notes.push(Note(format!("{id} has a row, and its runner counts as stray")));
    }
    for (host, id) in &world.stray_guests {
        if world.vms.get(id).is_some_and(|vm| vm.host == *host && !host_is_clean(vm)) {
            notes.push(Note(format!("{id} has a row, and its guest counts as stray")));
        }
    }
}
