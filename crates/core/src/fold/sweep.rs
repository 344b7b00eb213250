//! Rows that have ended leave the world: after each fact those that it is about, after a tick all.

use super::job::forgotten;
use super::size;
use crate::event::{Event, ForgeEvent, HostEvent};
use crate::id::{HostId, ProfileId, VmId};
use crate::job::JobState;
use crate::planted::{Fault, is};
use crate::record::{Record, VmRecord};
use crate::units::Timestamp;
use crate::vm::{Phase, Reason, Vm};
use crate::world::World;
use std::collections::BTreeSet;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

/// GitHub keeps deliveries for 3 days: nothing older than this can be told again.
const FINISHED_KEPT: Duration = HOUR.saturating_mul(4 * 24);

/// GitHub itself removes a one-job runner that has been offline for a day.
const FORGE_CLEAN_AFTER: Duration = HOUR.saturating_mul(25);

/// A job's last word is expected within this after its microVM is gone; then it is asked for.
const LAST_WORD: Duration = Duration::from_secs(60);

/// Which rows a fact can have ended.
pub(super) enum Reach {
    /// None.
    None,
    /// This one.
    One(VmId),
    /// Any: time has passed, or the configuration is another.
    All,
}

/// What a fact can have ended.
pub(super) fn reach(world: &World, event: &Event) -> Reach {
    match event {
        Event::Started { .. } | Event::Tick | Event::Host(HostEvent::Inventory { .. }) => {
            Reach::All
        }
        Event::Host(HostEvent::Destroyed { vm })
        | Event::Forge(ForgeEvent::Deregistered { vm } | ForgeEvent::RegisterFailed { vm, .. }) => {
            Reach::One(*vm)
        }
        Event::Forge(ForgeEvent::JobCompleted { job, runner, .. }) => {
            let named = runner.as_ref().and_then(|name| name.vm(&world.instance));
            let known = || match world.jobs.get(job)?.state {
                JobState::Running(vm) => Some(vm),
                JobState::Queued | JobState::Elsewhere => None,
            };
            named.or_else(known).map_or(Reach::None, Reach::One)
        }
        Event::Forge(_) | Event::Host(_) | Event::Guest { .. } | Event::Operator(_) => Reach::None,
    }
}

pub(super) fn sweep(world: &mut World, now: Timestamp, reach: Reach, records: &mut Vec<Record>) {
    let ended: Vec<(VmId, Reason)> = match reach {
        Reach::None => return,
        Reach::One(id) => {
            world.vms.get(&id).and_then(|vm| ended(now, id, vm)).into_iter().collect()
        }
        Reach::All => world.vms.iter().filter_map(|(id, vm)| ended(now, *id, vm)).collect(),
    };
    let any = !ended.is_empty();
    for (id, reason) in ended {
        records.extend(leave(world, now, id, reason));
    }
    if matches!(reach, Reach::All) {
        while let Some((_, key)) = world.jobs.first_to_expire().filter(|(at, _)| *at <= now) {
            records.extend(forgotten(world, now, key));
        }
        let kept = if is(Fault::FinishedForgotten) { LAST_WORD } else { FINISHED_KEPT };
        world.finished.retain(|_, at| now < at.after(kept));
    }
    if any || matches!(reach, Reach::All) {
        size::sweep(world, now);
        configuration(world);
    }
}

/// When a microVM's row goes although GitHub never said that its registration is gone. The host's side has
/// no such end: a row that is forgotten while its guest runs would leave it to nobody.
pub(crate) fn row_expires(vm: &Vm) -> Option<Timestamp> {
    let host_clean = matches!(vm.phase, Phase::Stopping { host_clean: true, .. });
    host_clean.then(|| vm.since.after(FORGE_CLEAN_AFTER))
}

fn ended(now: Timestamp, id: VmId, vm: &Vm) -> Option<(VmId, Reason)> {
    match vm.phase {
        Phase::Stopping { reason, host_clean: true, forge_clean } => {
            let over = forge_clean || row_expires(vm).is_some_and(|at| at <= now);
            over.then_some((id, reason))
        }
        Phase::Launching
        | Phase::Warm
        | Phase::Registering
        | Phase::Listening
        | Phase::Busy(_)
        | Phase::Retiring(_)
        | Phase::Stopping { host_clean: false, .. } => None,
    }
}

fn leave(world: &mut World, now: Timestamp, id: VmId, reason: Reason) -> Option<Record> {
    let vm = world.vms.remove(&id)?;
    let job = vm.job;
    if let Some(job) = job {
        world.jobs.update(job, |job| {
            job.ask_at = job.ask_at.min(now.after(LAST_WORD));
            job.left = Some(now);
        });
    }
    Some(Record::Vm(VmRecord { id, vm, reason, job, gone: now }))
}

/// Profiles and hosts that left the configuration go with their last microVM.
fn configuration(world: &mut World) {
    let former = world.profiles.values().any(|profile| profile.labels.is_empty());
    let profiles = world.vms.values().filter(|_| former).map(|vm| vm.profile.clone());
    let profiles: BTreeSet<ProfileId> = profiles.collect();
    world.profiles.retain(|id, profile| !profile.labels.is_empty() || profiles.contains(id));
    let former = world.hosts.values().any(|host| host.slots == 0);
    let hosts: BTreeSet<HostId> = world.vms.values().filter(|_| former).map(|vm| vm.host).collect();
    world.hosts.retain(|id, host| host.slots > 0 || hosts.contains(id));
    world.breakers.retain(|id, _| world.profiles.contains_key(id));
    world.runner_versions.retain(|id, _| world.profiles.contains_key(id));
}
