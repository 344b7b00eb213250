//! Gives every queued job a microVM, or says why it waits.

use super::launch::Draft;
use super::line::{Line, Next};
use super::wait::{Because, Short};
use super::waits::Waits;
use crate::id::{HostId, ProfileId, VmId};
use crate::jobs::Standing;
use crate::limits::owner_of;
use crate::planted::{Fault, is};
use crate::profile::Profile;
use crate::units::{Resources, Timestamp};
use crate::vm::{Phase, Reason, Registration, Stage, Vm};
use crate::world::World;
use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// A job that finds no room lets younger ones of other shapes pass for this long; then room is kept for it.
/// Without the first a big job idles a host, without the second small jobs starve it.
const PATIENCE: Duration = Duration::from_secs(5 * 60);

/// The word of GitHub that a job began may be later than the job's end, if the job is short, or have to be asked for.
/// For this long after it one of the queued jobs is taken to be the one that ended.
const WORD_GRACE: Duration = Duration::from_secs(120);

/// What became of the queued jobs.
#[derive(Default)]
pub(super) struct Served {
    /// Why each of them waits.
    pub(super) waits: Waits,
    /// Those that found no room, though their profile may have more.
    pub(super) starving: Vec<Starving>,
    /// Microvms that no job needs, by profile.
    pub(super) supply: BTreeMap<ProfileId, Supply>,
}

/// Jobs of one profile that found no room.
pub(super) struct Starving {
    /// What each takes.
    pub(super) shape: Resources,
    /// How many microVMs they may get.
    pub(super) count: u32,
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
    // The world as it was: the draft is edited while the line is walked.
    let world = draft.world.clone();
    let mut line = Line::of(&world);
    // What stands in the way of a whole profile stands there for the rest of this plan.
    let mut blocked: BTreeMap<ProfileId, Because> = BTreeMap::new();
    while let Some(next) = line.next() {
        let in_the_way = blocked.get(next.profile).cloned();
        if let Some(because) = in_the_way.or_else(|| over_quota(&world, &line, &next)) {
            served.waits.because_of(Some(next.profile), next.repository, because);
            continue;
        }
        let supply = served.supply.entry(next.profile.clone()).or_default();
        match serve_one(draft, next.profile, supply) {
            Ok(vm) => {
                served.waits.comes(next.job, vm);
                line.served(&next);
            }
            Err(because) => {
                if let Because::HostFull { .. } = because {
                    starve(draft, &mut served, &world, next.profile);
                }
                blocked.insert(next.profile.clone(), because.clone());
                served.waits.because_of(Some(next.profile), next.repository, because);
            }
        }
    }
    serve_unnamed(draft, &mut served, &world, &blocked);
    // The one that is tried while GitHub refuses may stand in line behind a job that found no room. Nobody else is
    // started now, so nobody needs room.
    if draft.forge_refuses().is_some() {
        served.starving.clear();
        draft.rooms.values_mut().for_each(|room| room.claimed = Resources::default());
    }
    served.waits.finish();
    served
}

/// Jobs that a scale set has and has not named get microVMs too, after those that stand in the line.
fn serve_unnamed(
    draft: &mut Draft,
    served: &mut Served,
    world: &World,
    blocked: &BTreeMap<ProfileId, Because>,
) {
    for id in world.scale_sets.keys().filter(|id| !blocked.contains_key(id)) {
        for _ in 0..world.unnamed_jobs(id) {
            let supply = served.supply.entry(id.clone()).or_default();
            match serve_one(draft, id, supply) {
                Ok(_) => {}
                Err(Because::HostFull { .. }) => {
                    starve(draft, served, world, id);
                    break;
                }
                Err(_) => break,
            }
        }
    }
}

/// Whether the job's repository or owner has as much as it may.
fn over_quota(world: &World, line: &Line<'_>, next: &Next<'_>) -> Option<Because> {
    let limits = &world.limits;
    if let Some(max) = limits.of_repository(next.repository)
        && line.of_repository(next) >= max
    {
        return Some(Because::RepositoryFull { max });
    }
    let max = limits.of_owner(owner_of(next.repository))?;
    (line.of_owner(next) >= max).then_some(Because::OwnerFull { max })
}

fn supply(draft: &Draft) -> BTreeMap<ProfileId, Supply> {
    let mut supply: BTreeMap<ProfileId, Supply> = BTreeMap::new();
    let here = |vm: &Vm| {
        draft.rooms.contains_key(&vm.host) || word_due(vm).is_some_and(|at| draft.now < at)
    };
    // Most are busy or on their way out, and are passed over before anything is looked up.
    let free = |vm: &Vm| match vm.phase {
        Phase::Busy(Some(_)) => false,
        Phase::Retiring(_) => may_have_job(vm),
        Phase::Stopping { .. } => word_due(vm).is_some(),
        Phase::Launching
        | Phase::Warm
        | Phase::Registering
        | Phase::Listening
        | Phase::Busy(None) => true,
    };
    let free = draft.world.vms.iter().filter(|(_, vm)| free(vm));
    let mut vms: Vec<_> = free.filter(|(_, vm)| here(vm)).collect();
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
            (Phase::Retiring(_), _) => entry.coming.push_back(*id),
            (Phase::Busy(Some(_)) | Phase::Stopping { .. }, _) => {}
        }
    }
    supply
}

/// Whether a restart came between a microVM's secret and the runner's first word: GitHub may have given it a job by
/// now. It says so when it is asked to let the microVM go; until then another one would be one too many.
fn may_have_job(vm: &Vm) -> bool {
    let secret_may_be_there = matches!(vm.registration, Registration::Held { .. });
    vm.phase == Phase::Retiring(Reason::Interrupted)
        && secret_may_be_there
        && vm.times.ready.is_some()
}

/// Until when a microVM that ended its job before GitHub named it stands for one of the queued jobs.
pub(super) fn word_due(vm: &Vm) -> Option<Timestamp> {
    let ended = matches!(vm.phase, Phase::Stopping { reason: Reason::JobDone, .. });
    let awaited = ended && vm.job.is_none() && !is(Fault::WordNotAwaited);
    vm.times.done.filter(|_| awaited).map(|done| done.after(WORD_GRACE))
}

/// A microVM on its way, a pooled one, or a new one; else what stands in the way.
fn serve_one(draft: &mut Draft, id: &ProfileId, supply: &mut Supply) -> Result<VmId, Because> {
    if let Some(vm) = supply.coming.pop_front() {
        return Ok(vm);
    }
    if let Some(refused) = draft.forge_refuses() {
        return Err(refused);
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
    let turn = draft.world.forge.next_registration(now);
    let Some(vm) = draft.world.vms.get_mut(&id) else { return };
    vm.registration = Registration::Asked { attempt: 1 };
    if vm.phase.stage() == Stage::Warm {
        vm.enter(now, Phase::Registering);
    }
    vm.retry_at = turn;
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

/// Notes that a profile's jobs find no room; once the oldest has waited long enough, room is kept for it.
fn starve(draft: &mut Draft, served: &mut Served, world: &World, id: &ProfileId) {
    let Some(profile) = draft.world.profiles.get(id) else { return };
    let (shape, may_have) = (profile.shape, profile.max.saturating_sub(draft.held(id)));
    let Some(host) = best_host(draft, &shape) else { return };
    let mine =
        world.jobs.standing(Standing::Queued).filter(|(g, _)| g.profile.as_ref() == Some(id));
    let (mut queued, mut oldest) = (0_usize, draft.now);
    for (_, line) in mine {
        queued += line.len();
        let first = line.first_key_value().map(|((received, _), ())| *received);
        oldest = oldest.min(first.unwrap_or(oldest));
    }
    let queued = u32::try_from(queued).unwrap_or(u32::MAX).saturating_add(world.unnamed_jobs(id));
    served.starving.push(Starving { shape, count: queued.min(may_have) });
    if draft.now.since(oldest) >= PATIENCE
        && may_have > 0
        && let Some(room) = draft.rooms.get_mut(&host)
    {
        room.claimed += shape;
        if is(Fault::ReliefTakesTwo) {
            room.claimed += shape;
        }
    }
}
