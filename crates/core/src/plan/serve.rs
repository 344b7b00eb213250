//! Gives every queued job a microVM, or says why it waits.

use super::launch::Draft;
use super::line::{Line, Next};
use super::wait::{Because, Short};
use super::waits::Waits;
use crate::id::{HostId, ProfileId, ScopeId, VmId};
use crate::jobs::{Line as Queue, Standing};
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
    /// Profiles that have as many microVMs as they may, and how many jobs wait for that.
    pub(super) crowded: BTreeMap<ProfileId, usize>,
    /// Room was kept for jobs that get nobody now.
    freed: bool,
    /// How many jobs of a profile and a scope have got one.
    given: BTreeMap<(ProfileId, ScopeId), usize>,
    /// Microvms that no job needs, by profile.
    pub(super) supply: BTreeMap<ProfileId, Supply>,
}

/// Jobs of one profile in one scope that found no room.
pub(super) struct Starving {
    profile: ProfileId,
    /// What each takes.
    pub(super) shape: Resources,
    /// How many microVMs they may get.
    pub(super) count: u32,
    /// Where their runners would be registered.
    scope: ScopeId,
    /// The room that is kept for them.
    claim: Option<HostId>,
}

/// A profile's microVMs that have no job, on hosts that stay.
#[derive(Default)]
pub(super) struct Supply {
    /// They have a registration in a scope, or are getting one: they take whatever job fits there.
    pub(super) coming: BTreeMap<Option<ScopeId>, VecDeque<VmId>>,
    /// They have none, and may get one.
    pub(super) spare: VecDeque<VmId>,
}

impl Supply {
    /// One that is on its way to jobs of a scope.
    fn take(&mut self, scope: &ScopeId) -> Option<VmId> {
        // Only a plain key can be looked up without a clone; scopes are few.
        let here = |at: &Option<ScopeId>| at.as_ref() == Some(scope);
        let any = is(Fault::SupplyOfAnyScope);
        let mut coming = self.coming.iter_mut();
        let (_, coming) = coming.find(|(at, line)| here(at) || any && !line.is_empty())?;
        coming.pop_front()
    }

    /// Those on their way that no job needs.
    pub(super) fn unneeded(&self) -> impl Iterator<Item = &VmId> {
        self.coming.values().flatten()
    }
}

/// Serves, and once more while room was kept for jobs that nobody is started for after all: others may have been waiting for
/// it. Each time one scope or profile more takes nobody.
pub(super) fn serve(draft: &mut Draft) -> Served {
    let mut served = once(draft);
    for _ in 0..draft.world.scopes.len() + draft.world.profiles.len() {
        if !served.freed {
            break;
        }
        *draft = Draft::new(std::mem::take(&mut draft.world), draft.now);
        served = once(draft);
    }
    served
}

fn once(draft: &mut Draft) -> Served {
    let mut served = Served { supply: supply(draft), ..Served::default() };
    // The world as it was: the draft is edited while the line is walked.
    let world = draft.world.clone();
    let mut line = Line::of(&world);
    let mut blocked = Blocked::new();
    while let Some(next) = line.next() {
        let at = next.scope.map(|scope| (next.profile.clone(), scope.clone()));
        let Some(at) = at else {
            served.waits.because_of(Some(next.profile), next.repository, Because::NoScope);
            continue;
        };
        let in_the_way = match is(Fault::BlocksEveryScope) {
            true => blocked.iter().find(|((profile, _), _)| *profile == at.0).map(|(_, it)| it),
            false => blocked.get(&at),
        };
        let in_the_way = in_the_way.cloned();
        if let Some(because) = in_the_way.or_else(|| over_quota(&world, &line, &next)) {
            served.waits.because_of(Some(next.profile), next.repository, because);
            continue;
        }
        match serve_one(draft, &at, served.supply.entry(at.0.clone()).or_default()) {
            Ok(vm) => {
                served.waits.comes(next.job, vm);
                *served.given.entry(at).or_default() += 1;
                line.served(&next);
            }
            Err(because) => {
                blocks(draft, &mut served, &world, (&at, &because));
                blocked.insert(at, because.clone());
                served.waits.because_of(Some(next.profile), next.repository, because);
            }
        }
    }
    serve_unnamed(draft, &mut served, &world, &blocked);
    needs_no_room(draft, &mut served);
    share_out(draft, &mut served);
    served.waits.finish(draft.now);
    served
}

/// What stands in the way of all jobs of a profile in a scope stands there for the rest of a plan.
type Blocked = BTreeMap<(ProfileId, ScopeId), Because>;

/// Notes what a job's cause to wait means for others.
fn blocks(
    draft: &mut Draft,
    served: &mut Served,
    world: &World,
    (at, because): (&(ProfileId, ScopeId), &Because),
) {
    if let Because::HostFull { .. } = because {
        starve(draft, served, world, at);
    }
    if let Because::ProfileFull { .. } = because {
        let waiting = waiting(served, world, at);
        *served.crowded.entry(at.0.clone()).or_default() += waiting;
    }
}

/// How many jobs of a profile in a scope have got no microVM yet, named or not.
fn waiting(served: &Served, world: &World, at: &(ProfileId, ScopeId)) -> usize {
    let named: usize = queued(world, at).map(|line| line.len()).sum();
    let unnamed = usize::try_from(world.unnamed_jobs(&at.0)).unwrap_or(usize::MAX);
    let given = served.given.get(at).copied().filter(|_| !is(Fault::GivenAsksAgain)).unwrap_or(0);
    named.saturating_add(unnamed).saturating_sub(given)
}

/// The queued jobs of a profile in a scope.
fn queued<'a>(
    world: &'a World,
    (profile, scope): &'a (ProfileId, ScopeId),
) -> impl Iterator<Item = &'a Queue> {
    let mine = world.jobs.standing(Standing::Queued).filter(move |(group, _)| {
        let there = || world.scope_for(profile, &group.repository) == Some(scope);
        group.profile.as_ref() == Some(profile) && there()
    });
    mine.map(|(_, line)| line)
}

/// The one that is tried while GitHub refuses may stand in line behind a job that found no room. Nobody else is started
/// in its scope now, so nobody there needs room.
fn needs_no_room(draft: &mut Draft, served: &mut Served) {
    let starving = std::mem::take(&mut served.starving);
    let (idle, needy): (Vec<_>, Vec<_>) =
        starving.into_iter().partition(|one| draft.forge_refuses(&one.scope).is_some());
    for one in idle {
        if let Some(room) = one.claim.and_then(|host| draft.rooms.get_mut(&host)) {
            room.claimed = room.claimed - one.shape;
            served.freed = true;
        }
    }
    served.starving = needy;
}

/// All scopes and sizes of a profile share what it may have: nobody has to go for more of their jobs than may come.
fn share_out(draft: &Draft, served: &mut Served) {
    // Others may have taken the last place of a profile since its jobs found no room: then they wait for that.
    let full = |one: &Starving| {
        let max = draft.world.profiles.get(&one.profile).map_or(0, |profile| profile.max);
        draft.held(&one.profile) >= max
    };
    let (crowded, starving): (Vec<_>, Vec<_>) =
        std::mem::take(&mut served.starving).into_iter().partition(full);
    for one in crowded {
        served.freed |= one.claim.is_some();
        *served.crowded.entry(one.profile).or_default() += one.count as usize;
    }
    served.starving = starving;
    let mut taken: BTreeMap<(&ProfileId, bool), u32> = BTreeMap::new();
    for one in &mut served.starving {
        let taken = taken.entry(sharing(&draft.world, &one.profile)).or_default();
        let max = draft.world.profiles.get(&one.profile).map_or(0, |profile| profile.max);
        let left = max.saturating_sub(draft.held(&one.profile)).saturating_sub(*taken);
        one.count = one.count.min(left);
        *taken += one.count;
    }
}

/// Whose `max` a profile shares: all sizes of a template have one, and the template has its own.
pub(super) fn sharing<'a>(world: &'a World, profile: &'a ProfileId) -> (&'a ProfileId, bool) {
    let family = world.family(profile);
    (family, family != profile)
}

/// Jobs that a scale set has and has not named get microVMs too, after those that stand in the line.
fn serve_unnamed(draft: &mut Draft, served: &mut Served, world: &World, blocked: &Blocked) {
    let sets = world.scale_sets.keys().filter_map(|id| {
        // A set's jobs are in its own scope, whatever the repository.
        Some((id.clone(), world.scope_for(id, "")?.clone()))
    });
    for at in sets.filter(|at| !blocked.contains_key(at)) {
        for _ in 0..world.unnamed_jobs(&at.0) {
            let supply = served.supply.entry(at.0.clone()).or_default();
            if let Err(because) = serve_one(draft, &at, supply) {
                blocks(draft, served, world, (&at, &because));
                break;
            }
            *served.given.entry(at.clone()).or_default() += 1;
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
        let coming = entry.coming.entry(vm.scope.clone()).or_default();
        match (&vm.phase, &vm.registration) {
            (Phase::Warm, _) | (Phase::Launching, Registration::None) => entry.spare.push_back(*id),
            // A busy one without a name has taken one of the jobs that still count as queued.
            (Phase::Launching | Phase::Registering | Phase::Listening | Phase::Busy(None), _) => {
                coming.push_back(*id);
            }
            (Phase::Stopping { .. }, _) if word_due(vm).is_some_and(|at| draft.now < at) => {
                coming.push_front(*id);
            }
            (Phase::Retiring(_), _) => coming.push_back(*id),
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
fn serve_one(
    draft: &mut Draft,
    (id, scope): &(ProfileId, ScopeId),
    supply: &mut Supply,
) -> Result<VmId, Because> {
    if let Some(vm) = supply.take(scope) {
        return Ok(vm);
    }
    if let Some(refused) = draft.forge_refuses(scope) {
        return Err(refused);
    }
    let breaker = draft.breaker(id);
    if let Some(open @ Because::BreakerOpen { .. }) = breaker {
        return Err(open);
    }
    if let Some(vm) = supply.spare.pop_front() {
        register(draft, vm, scope);
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
    let launched = draft.launch(id, &profile, Some(scope));
    launched.ok_or_else(|| no_room(draft, &profile))
}

/// A pooled microVM, or one still booting for the pool, is wanted by a job.
fn register(draft: &mut Draft, id: VmId, scope: &ScopeId) {
    let now = draft.now;
    let first = draft.world.scopes.keys().next().filter(|_| is(Fault::PoolOfFirstScope)).cloned();
    let scope = first.as_ref().unwrap_or(scope);
    let Some(profile) = draft.world.vms.get(&id).map(|vm| vm.profile.clone()) else { return };
    let turn = draft.world.next_registration(now, (&profile, scope));
    let Some(vm) = draft.world.vms.get_mut(&id) else { return };
    (vm.registration, vm.scope) = (Registration::Asked { attempt: 1 }, Some(scope.clone()));
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
fn starve(draft: &mut Draft, served: &mut Served, world: &World, at: &(ProfileId, ScopeId)) {
    let (id, scope) = at;
    let Some(profile) = draft.world.profiles.get(id) else { return };
    let (shape, may_have) = (profile.shape, profile.max.saturating_sub(draft.held(id)));
    let Some(host) = best_host(draft, &shape) else { return };
    let mut oldest = draft.now;
    for line in queued(world, at) {
        let first = line.first_key_value().map(|((received, _), ())| *received);
        oldest = oldest.min(first.unwrap_or(oldest));
    }
    let count = u32::try_from(waiting(served, world, at)).unwrap_or(u32::MAX);
    let shares =
        |one: &&Starving| one.claim.is_some() && sharing(world, &one.profile) == sharing(world, id);
    let claims = served.starving.iter().filter(shares).count();
    let mut claim = None;
    if draft.now.since(oldest) >= PATIENCE
        && usize::try_from(may_have).unwrap_or(usize::MAX) > claims
        && let Some(room) = draft.rooms.get_mut(&host)
    {
        claim = Some(host);
        room.claimed += shape;
        if is(Fault::ReliefTakesTwo) {
            room.claimed += shape;
        }
    }
    let (profile, scope) = (id.clone(), scope.clone());
    served.starving.push(Starving { profile, shape, count, scope, claim });
}
