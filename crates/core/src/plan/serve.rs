//! Gives every queued job a microVM, or says why it waits. The oldest job comes first.

use super::launch::Draft;
use super::wait::{Because, Short, Wait};
use crate::id::{HostId, JobKey, ProfileId, VmId};
use crate::job::{Job, JobState};
use crate::profile::Profile;
use crate::units::{Resources, Timestamp};
use crate::vm::{Phase, Reason, Registration, Stage, Vm};
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// A job that finds no room lets younger ones of other shapes pass for this long; then room is kept for it.
/// Without the first a big job idles a host, without the second small jobs starve it.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// The word of GitHub that a job began may be later than the job's end, if the job is short. For this long
/// after it one of the queued jobs is taken to be the one that ended.
const WORD_GRACE: Duration = Duration::from_secs(60);

/// What became of the queued jobs.
#[derive(Default)]
pub(super) struct Served {
    /// One for each of them.
    pub(super) waits: Vec<Wait>,
    /// Shapes that found no room, though their profile may have one more; oldest first.
    pub(super) starving: Vec<Resources>,
    /// Microvms that no job needs, by profile.
    pub(super) supply: BTreeMap<ProfileId, Supply>,
}

/// A profile's microVMs that have no job, on hosts that stay.
#[derive(Default)]
pub(super) struct Supply {
    /// They have a registration, or are getting one: they take whatever job fits.
    pub(super) coming: VecDeque<VmId>,
    /// They have none, and may get one.
    pub(super) spare: VecDeque<VmId>,
}

pub(super) fn serve(draft: &mut Draft) -> Served {
    let mut served = Served { supply: supply(draft), ..Served::default() };
    let mut wanted: BTreeMap<ProfileId, u32> = BTreeMap::new();
    for (received, key, profile) in queued(draft) {
        let because = match profile {
            None => Because::NoProfile,
            Some(id) => {
                let supply = served.supply.entry(id.clone()).or_default();
                match serve_one(draft, &id, supply) {
                    Ok(vm) => Because::Coming { vm },
                    Err(Because::HostFull { short_of }) => {
                        let starved = wanted.entry(id.clone()).or_insert(0);
                        *starved += 1;
                        let starved = *starved;
                        starve(draft, &mut served, (&id, starved), received);
                        Because::HostFull { short_of }
                    }
                    Err(because) => because,
                }
            }
        };
        served.waits.push(Wait { job: key, because });
    }
    served
}

/// The queued jobs, oldest first.
fn queued(draft: &Draft) -> Vec<(Timestamp, JobKey, Option<ProfileId>)> {
    let waits = |job: &Job| job.state == JobState::Queued;
    let jobs = draft.world.jobs.iter().filter(|(_, job)| waits(job));
    let mut jobs: Vec<_> =
        jobs.map(|(key, job)| (job.received, *key, job.profile.clone())).collect();
    jobs.sort_unstable();
    jobs
}

fn supply(draft: &Draft) -> BTreeMap<ProfileId, Supply> {
    let mut supply: BTreeMap<ProfileId, Supply> = BTreeMap::new();
    let here = |vm: &Vm| {
        draft.rooms.contains_key(&vm.host) || word_due(vm).is_some_and(|at| draft.now < at)
    };
    let mut vms: Vec<_> = draft.world.vms.iter().filter(|(_, vm)| here(vm)).collect();
    // The one that is furthest will be there first.
    vms.sort_by_key(|(id, vm)| (Reverse(vm.phase.stage()), **id));
    for (id, vm) in vms {
        let entry = supply.entry(vm.profile.clone()).or_default();
        match (&vm.phase, &vm.registration) {
            (Phase::Warm, _) | (Phase::Launching, Registration::None) => entry.spare.push_back(*id),
            // A busy one without a name has taken one of the jobs that still count as queued.
            (Phase::Launching | Phase::Registering | Phase::Listening | Phase::Busy(None), _) => {
                entry.coming.push_back(*id);
            }
            (Phase::Stopping { .. }, _) if word_due(vm).is_some_and(|at| draft.now < at) => {
                entry.coming.push_front(*id);
            }
            (Phase::Busy(Some(_)) | Phase::Retiring(_) | Phase::Stopping { .. }, _) => {}
        }
    }
    supply
}

/// Until when a microVM that ended its job before GitHub named it stands for one of the queued jobs.
pub(super) fn word_due(vm: &Vm) -> Option<Timestamp> {
    let ended = matches!(vm.phase, Phase::Stopping { reason: Reason::JobDone, .. });
    vm.times.done.filter(|_| ended && vm.job.is_none()).map(|done| done.after(WORD_GRACE))
}

/// A microVM on its way, a pooled one, or a new one; else what stands in the way.
fn serve_one(draft: &mut Draft, id: &ProfileId, supply: &mut Supply) -> Result<VmId, Because> {
    if let Some(vm) = supply.coming.pop_front() {
        return Ok(vm);
    }
    let breaker = draft.breaker(id);
    if let Some(open @ Because::BreakerOpen { .. }) = breaker {
        return Err(open);
    }
    if let Some(vm) = supply.spare.pop_front() {
        register(draft, vm);
        return Ok(vm);
    }
    if let Some(because) = breaker {
        return Err(because);
    }
    let Some(profile) = draft.world.profiles.get(id).cloned() else {
        return Err(Because::NoProfile);
    };
    if draft.held(id) >= profile.max {
        return Err(Because::ProfileFull { max: profile.max });
    }
    let launched = draft.launch(id, &profile, Registration::Asked { attempt: 1 });
    launched.ok_or_else(|| no_room(draft, &profile))
}

/// A pooled microVM, or one still booting for the pool, is wanted by a job.
fn register(draft: &mut Draft, id: VmId) {
    let now = draft.now;
    let Some(vm) = draft.world.vms.get_mut(&id) else { return };
    vm.registration = Registration::Asked { attempt: 1 };
    if vm.phase.stage() == Stage::Warm {
        vm.enter(now, Phase::Registering);
    }
}

fn no_room(draft: &Draft, profile: &Profile) -> Because {
    let (world, shape) = (&draft.world, profile.shape);
    let has = |capacity: &Resources, slots: u16| slots > 0 && capacity.fits(&shape);
    let big_enough = world.hosts.values().any(|host| has(&host.capacity, host.slots));
    let heard = world.hosts.keys().any(|id| world.is_heard(*id, draft.now));
    match best_host(draft, &shape).and_then(|id| draft.rooms.get(&id)) {
        Some(room) => Because::HostFull { short_of: room.short_of(&shape) },
        None if world.hosts.is_empty() => Because::HostAway,
        None if !big_enough => Because::TooBig { shape },
        None if !heard => Because::HostAway,
        None if draft.rooms.is_empty() => Because::Draining,
        // One that would be big enough is away or draining; the others are too small.
        None => Because::HostFull { short_of: Short::Vcpus },
    }
}

/// The usable host that could take this shape if it were empty, and has most left.
fn best_host(draft: &Draft, shape: &Resources) -> Option<HostId> {
    let could = draft.rooms.iter().filter(|(_, room)| room.capacity.fits(shape));
    let best = could.max_by_key(|(id, room)| (room.free.memory, room.free.vcpus, Reverse(**id)));
    best.map(|(id, _)| *id)
}

/// Notes a job that found no room; once it has waited long enough, room is kept for it.
fn starve(
    draft: &mut Draft,
    served: &mut Served,
    (id, starved): (&ProfileId, u32),
    received: Timestamp,
) {
    let Some(profile) = draft.world.profiles.get(id) else { return };
    if draft.held(id).saturating_add(starved) > profile.max {
        return;
    }
    let shape = profile.shape;
    if let Some(host) = best_host(draft, &shape) {
        served.starving.push(shape);
        if draft.now.since(received) >= PATIENCE
            && let Some(room) = draft.rooms.get_mut(&host)
        {
            room.claimed += shape;
        }
    }
}
