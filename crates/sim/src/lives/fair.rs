//! Judges who got a microVM and who did not: demand, limits, priority, fairness, room. Shares no code with the core's
//! planner: it asks of each decision whether anything can excuse it.

use super::life::Life;
use super::scopes::place_of;
use super::strangers::let_in;
use flint_core::id::{HostId, ProfileId, ScopeId, VmId};
use flint_core::job::{Job, JobState};
use flint_core::limits::{Limits, owner_of};
use flint_core::units::{Resources, Timestamp};
use flint_core::vm::{Phase, Reason, Registration, Vm};
use flint_core::world::World;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// For this long a microVM that ended before GitHub named its job stands for one that still counts as queued: at least,
/// and at most.
const NAMED_WITHIN: [Duration; 2] = [Duration::from_secs(100), Duration::from_secs(140)];

/// For this long a job that finds no room lets others pass; a little less, so as to be lenient.
const PASSED: Duration = Duration::from_secs(290);

const LEASE: Duration = Duration::from_secs(60);

/// A profile, and where the runners for some of its jobs are registered.
type At<'a> = (&'a ProfileId, &'a ScopeId);

/// What a plan has decided, counted.
struct Account<'a> {
    world: &'a World,
    now: Timestamp,
    /// Jobs that wait.
    queued: BTreeMap<At<'a>, Vec<&'a Job>>,
    /// Jobs that GitHub counts and has not named.
    unnamed: BTreeMap<At<'a>, u32>,
    /// Jobs that run in microVMs of ours.
    repositories: BTreeMap<&'a str, u32>,
    owners: BTreeMap<&'a str, u32>,
    /// MicroVMs that will take one of the queued jobs.
    coming: BTreeMap<At<'a>, u32>,
    /// The same, and those that may count for another moment.
    expected: BTreeMap<At<'a>, u32>,
    /// MicroVMs on hosts that are heard from.
    held: BTreeMap<(&'a ProfileId, bool), u32>,
    usable: BTreeSet<HostId>,
}

impl<'a> Account<'a> {
    fn of(world: &'a World, now: Timestamp) -> Self {
        let heard = |id: &HostId| world.hosts.get(id).is_some_and(|h| now < h.seen.after(LEASE));
        let usable = world.hosts.iter().filter(|(id, host)| heard(id) && !host.draining);
        let usable: BTreeSet<HostId> = usable.map(|(id, _)| *id).collect();
        let (mut queued, mut repositories, mut owners) =
            (BTreeMap::<_, Vec<_>>::new(), BTreeMap::new(), BTreeMap::new());
        for job in world.jobs.values() {
            match (&job.state, &job.profile) {
                (JobState::Queued, Some(profile)) if let_in(world, job) => {
                    let at = place_of(world, job).map(|scope| (profile, scope));
                    at.into_iter().for_each(|at| queued.entry(at).or_default().push(job));
                }
                (JobState::Running(_), _) => {
                    let repository = job.request.repository.as_str();
                    *repositories.entry(repository).or_insert(0) += 1;
                    *owners.entry(owner_of(repository)).or_insert(0) += 1;
                }
                (JobState::Queued | JobState::Elsewhere, _) => {}
            }
        }
        let (mut coming, mut expected, mut held) =
            (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        for row in world.vms.values() {
            for (within, count) in NAMED_WITHIN.into_iter().zip([&mut coming, &mut expected]) {
                let at = row.scope.as_ref().map(|scope| (&row.profile, scope));
                let at = at.filter(|_| comes(row, now.before(within), usable.contains(&row.host)));
                at.into_iter().for_each(|at| *count.entry(at).or_insert(0) += 1);
            }
            if takes_room(row) && heard(&row.host) {
                *held.entry(family(world, &row.profile)).or_insert(0_u32) += 1;
            }
        }
        let unnamed = unnamed(world);
        Account {
            world,
            now,
            queued,
            unnamed,
            repositories,
            owners,
            coming,
            expected,
            held,
            usable,
        }
    }

    fn coming(&self, at: At<'_>) -> u32 {
        self.coming.get(&at).copied().unwrap_or(0)
    }

    fn expected(&self, at: At<'_>) -> u32 {
        self.expected.get(&at).copied().unwrap_or(0)
    }

    fn queued<'b>(&'b self, at: At<'b>) -> &'b [&'b Job] {
        self.queued.get(&at).map_or(&[], Vec::as_slice)
    }

    /// Jobs that wait, by name or not.
    fn jobs(&self, at: At<'_>) -> u32 {
        count(self.queued(at).len()) + self.unnamed.get(&at).copied().unwrap_or(0)
    }

    /// Whether it is idle, and no job is there that could take it.
    fn is_useless(&self, row: &Vm) -> bool {
        match (&row.phase, row.scope.as_ref()) {
            (Phase::Listening, Some(scope)) => self.jobs((&row.profile, scope)) == 0,
            (Phase::Launching | Phase::Warm, None) => {
                self.world.scopes.keys().all(|scope| self.jobs((&row.profile, scope)) == 0)
            }
            _ => false,
        }
    }

    fn shape(&self, profile: &ProfileId) -> Resources {
        self.world.profiles.get(profile).map(|profile| profile.shape).unwrap_or_default()
    }

    fn priority(&self, profile: &ProfileId) -> i32 {
        self.world.profiles.get(profile).map_or(0, |profile| profile.priority)
    }

    fn running(&self, repository: &str) -> u32 {
        self.repositories.get(repository).copied().unwrap_or(0)
    }

    /// Whether one more may be started, as far as GitHub, `max` and what went wrong before are asked. Another scope's
    /// troubles are no excuse.
    fn may_have(&self, (profile, scope): At<'_>) -> bool {
        self.is_quiet((profile, scope)) && !self.is_full(profile)
    }

    fn is_quiet(&self, (profile, scope): At<'_>) -> bool {
        let Some(place) = self.world.scopes.get(scope) else { return false };
        let installation = self.world.installations.get(&place.installation);
        let silent = installation.is_none_or(|known| self.now < known.limited_until);
        !silent && !place.breaker.open && !self.world.breakers.contains_key(profile)
    }

    /// Whether a profile has as many microVMs as it may.
    fn is_full(&self, profile: &ProfileId) -> bool {
        self.left(profile) == 0
    }

    /// How many more it may have.
    fn left(&self, profile: &ProfileId) -> u32 {
        let max = self.world.profiles.get(profile).map_or(0, |profile| profile.max);
        let held = self.held.get(&family(self.world, profile)).copied().unwrap_or(0);
        max.saturating_sub(held)
    }

    /// How long one of it may listen for nobody.
    fn idle(&self, profile: &ProfileId) -> Duration {
        self.world.profiles.get(profile).map_or(Duration::ZERO, |profile| profile.timeouts.idle)
    }

    /// Where there are more jobs than microVMs on their way, and no excuse but room.
    fn wanting(&self) -> impl Iterator<Item = (At<'a>, &[&'a Job])> {
        self.waiting().filter(|(at, _)| self.may_have(*at))
    }

    /// Where there are more jobs than microVMs on their way.
    fn waiting(&self) -> impl Iterator<Item = (At<'a>, &[&'a Job])> {
        let wants = |(at, jobs): &(&At<'a>, &Vec<&'a Job>)| self.expected(**at) < count(jobs.len());
        self.queued.iter().filter(wants).map(|(at, jobs)| (*at, jobs.as_slice()))
    }

    /// For how many of a profile's jobs in a scope a microVM may be ordered.
    fn most(&self, at: At<'_>, limits: &Limits) -> u32 {
        let mut owners: BTreeMap<&str, BTreeMap<&str, u32>> = BTreeMap::new();
        for job in self.queued(at) {
            let repository = job.request.repository.as_str();
            let of_owner = owners.entry(owner_of(repository)).or_default();
            *of_owner.entry(repository).or_insert(0) += 1;
        }
        let left = |limit: Option<u32>, has: u32| limit.unwrap_or(u32::MAX).saturating_sub(has);
        let of_owner = |(owner, repositories): (&str, BTreeMap<&str, u32>)| {
            let each = repositories.into_iter().map(|(repository, jobs)| {
                jobs.min(left(limits.of_repository(repository), self.running(repository)))
            });
            let has = self.owners.get(owner).copied().unwrap_or(0);
            each.sum::<u32>().min(left(limits.of_owner(owner), has))
        };
        let unnamed = self.unnamed.get(&at).copied().unwrap_or(0);
        unnamed + owners.into_iter().map(of_owner).sum::<u32>()
    }
}

impl Life {
    /// What is wrong with who got a microVM by the last plan.
    pub(super) fn unfair(&self, before: &World) -> Option<String> {
        let world = &self.daemon.stored;
        let account = Account::of(world, self.at());
        let first = VmId(before.next_vm);
        let new = world.vms.range_from(&first);
        let (wanted, pooled): (Vec<_>, Vec<_>) =
            new.partition(|(_, row)| row.registration != Registration::None);
        let registers = |(id, row): &(&VmId, &Vm)| {
            let was = before.vms.get(id);
            let spare = was.is_some_and(|was| was.registration == Registration::None);
            spare && row.registration != Registration::None
        };
        let ordered = wanted.iter().copied().chain(world.vms.iter().filter(registers));
        let found = self.too_many(&account, ordered.map(|(id, row)| (*id, row)));
        let unlimited = self.setup.limits == Limits::default();
        if found.is_some() || !unlimited {
            return found;
        }
        let passed = wanted.iter().find_map(|(id, row)| overtakes(&account, **id, row));
        let pool = || pool_grows(&account, *pooled.first()?.0);
        let room = || idle_room(&account);
        let found = passed.or_else(pool).or_else(room).or_else(|| crowded_out(&account));
        found.or_else(|| nobody_gives_way(&account)).or_else(|| too_many_give_way(&account, before))
    }

    /// No more are ordered than jobs wait for, and than the limits allow.
    fn too_many<'a>(
        &self,
        account: &Account<'_>,
        mut ordered: impl Iterator<Item = (VmId, &'a Vm)>,
    ) -> Option<String> {
        ordered.find_map(|(id, row)| {
            let (profile, scope) = (&row.profile, row.scope.as_ref()?);
            let at = (profile, scope);
            let (coming, most) = (account.coming(at), account.most(at, &self.setup.limits));
            let why = || format!("{id}: {coming} of {profile} come in {scope}, and {most} may");
            (coming > most).then(why)
        })
    }
}

/// A new microVM took the place of a job that comes before all jobs it can be for, and would have fitted there.
fn overtakes(account: &Account<'_>, id: VmId, row: &Vm) -> Option<String> {
    let behind = |job: &Job| {
        let (has, since) = (account.running(&job.request.repository), job.received);
        move |other: &&&Job| {
            let other_has = account.running(&other.request.repository);
            has == 0 && (other_has > 0 || other.received > since)
        }
    };
    let of = (&row.profile, row.scope.as_ref()?);
    account.wanting().filter(|(at, _)| *at != of).find_map(|(at, jobs)| {
        let (profile, scope) = at;
        let fits = row.shape.fits(&account.shape(profile));
        if !fits || account.expected(at) > 0 {
            return None;
        }
        let (mine, theirs) = (account.priority(profile), account.priority(&row.profile));
        let others = account.queued(of);
        let first = |job: &&&Job| {
            let repository = &job.request.repository;
            // Nothing of its repository may be on its way for another job of it.
            let alone =
                account.queued.iter().filter(|(other, _)| **other != at).all(|(_, jobs)| {
                    jobs.iter().all(|other| other.request.repository != *repository)
                });
            alone && others.iter().all(|other| behind(job)(&other))
        };
        let passed = mine > theirs || (mine == theirs && jobs.iter().any(|job| first(&job)));
        passed.then(|| {
            format!("{id} of {} is started before jobs of {profile} in {scope}", row.profile)
        })
    })
}

/// The pool takes room although a job waits for room.
fn pool_grows(account: &Account<'_>, id: VmId) -> Option<String> {
    let hosts = || account.world.hosts.iter().filter(|(id, _)| account.usable.contains(id));
    let could = |profile: &ProfileId| {
        let shape = account.shape(profile);
        hosts().any(|(_, host)| host.slots > 0 && host.capacity.fits(&shape))
    };
    let ((profile, scope), _) = account.wanting().find(|((profile, _), _)| could(profile))?;
    Some(format!("{id} is for a pool, and jobs of {profile} in {scope} find no room"))
}

/// A job waits beside room that nobody else has a claim on.
fn idle_room(account: &Account<'_>) -> Option<String> {
    account.wanting().find_map(|(at, _)| {
        let (profile, scope) = at;
        let shape = account.shape(profile);
        let claimed = account.queued.iter().filter(|(other, jobs)| {
            let long = |job: &&Job| job.received.after(PASSED) <= account.now;
            **other != at && jobs.iter().any(long)
        });
        let claimed =
            claimed.fold(Resources::default(), |sum, ((id, _), _)| sum + account.shape(id));
        let room = |host: &&HostId| {
            let here =
                || account.world.vms.values().filter(|row| row.host == **host && takes_room(row));
            let taken = here().fold(claimed, |sum, row| sum + row.shape);
            account.world.hosts.get(host).is_some_and(|h| {
                here().count() < usize::from(h.slots) && (h.capacity - taken).fits(&shape)
            })
        };
        let host = account.usable.iter().find(room)?;
        Some(format!("jobs of {profile} in {scope} wait, and {host} has room for one"))
    })
}

/// A profile has as many microVMs as it may, jobs of one scope wait, and one that listens in another for nobody stays.
fn crowded_out(account: &Account<'_>) -> Option<String> {
    account.waiting().filter(|(at, _)| account.is_quiet(*at)).find_map(|(at, _)| {
        let (profile, scope) = at;
        let rows = || account.world.vms.iter().filter(|(_, row)| row.profile == *profile);
        if rows().any(|(_, row)| leaves(row)) || !account.is_full(profile) {
            return None;
        }
        let listens = |row: &Vm, place: &ScopeId| {
            let usable = account.usable.contains(&row.host);
            usable && row.phase == Phase::Listening && row.scope.as_ref() == Some(place)
        };
        let elsewhere = account.world.scopes.keys().filter(|place| *place != scope);
        let useless = elsewhere.filter(|place| {
            let listening = rows().filter(|(_, row)| listens(row, place)).count();
            let there = (profile, *place);
            count(listening) > account.jobs(there)
        });
        let place = useless.into_iter().next()?;
        Some(format!("jobs of {profile} in {scope} wait, and one in {place} stays for nobody"))
    })
}

/// Jobs of one profile and scope alone wait, for room, nobody leaves, and those that are of no use there stay.
fn nobody_gives_way(account: &Account<'_>) -> Option<String> {
    let (at, _) = account.wanting().next()?;
    let (profile, scope) = at;
    let all = || account.queued.keys().chain(account.unnamed.keys());
    let satisfied = |other: &At<'_>| account.coming(*other) >= account.jobs(*other);
    let rows = || account.world.vms.values().filter(|row| takes_room(row));
    let leaving = rows().any(|row| account.usable.contains(&row.host) && leaves(row));
    if leaving || !all().filter(|other| **other != at).all(satisfied) {
        return None;
    }
    let has_room = |host: &HostId, without_useless: bool| {
        let here = rows().filter(|row| row.host == *host);
        let stay = here.filter(|row| !without_useless || !account.is_useless(row));
        let one_more = (account.shape(profile), 1);
        let (taken, used) = stay.fold(one_more, |(sum, used), row| (sum + row.shape, used + 1));
        let known = account.world.hosts.get(host);
        known.is_some_and(|known| known.capacity.fits(&taken) && used <= usize::from(known.slots))
    };
    if account.usable.iter().any(|host| has_room(host, false)) {
        return None;
    }
    let host = account.usable.iter().find(|host| has_room(host, true))?;
    Some(format!("jobs of {profile} in {scope} wait, and nobody gives way on {host}"))
}

/// More give way than may come, although each makes room for any that waits.
fn too_many_give_way(account: &Account<'_>, before: &World) -> Option<String> {
    let gives_way = |(id, row): &(&VmId, &Vm)| {
        let surplus = Phase::Retiring(Reason::Surplus) == row.phase
            || matches!(row.phase, Phase::Stopping { reason: Reason::Surplus, .. });
        before.vms.get(id).is_some_and(|was| match was.phase {
            Phase::Launching | Phase::Listening => surplus,
            // A pool that is too big gets smaller, too.
            Phase::Warm => surplus && account.now < was.since.after(account.idle(&was.profile)),
            _ => false,
        })
    };
    let gone: Vec<_> = account.world.vms.iter().filter(gives_way).collect();
    let mut wait: BTreeMap<_, (u32, u32)> = BTreeMap::new();
    let mut shapes = Vec::new();
    for at in account.queued.keys().chain(account.unnamed.keys()).collect::<BTreeSet<_>>() {
        let waiting = account.jobs(*at).saturating_sub(account.coming(*at));
        shapes.extend((waiting > 0).then(|| account.shape(at.0)));
        let (sum, left) = wait.entry(family(account.world, at.0)).or_default();
        (*sum, *left) = (*sum + waiting, account.left(at.0));
    }
    let fits = |row: &Vm| shapes.iter().all(|shape| row.shape.fits(shape));
    if !gone.iter().all(|(_, row)| fits(row)) {
        return None;
    }
    // Of a full profile as many go as jobs wait, for whoever comes has to be of another scope.
    let may_come = wait.values().map(|(sum, left)| if *left == 0 { *sum } else { *sum.min(left) });
    let full = wait.values().any(|(sum, left)| *sum > 0 && *left == 0);
    let earlier = account.world.vms.iter().filter(|(id, row)| {
        let left = before.vms.get(id).is_some_and(|was| leaves(was) && leaves(row));
        left && account.usable.contains(&row.host) && fits(row)
    });
    let earlier = if full { 0 } else { count(earlier.count()) };
    let (may_come, count) = (may_come.sum::<u32>(), count(gone.len()) + earlier);
    let (id, _) = gone.first().filter(|_| count > may_come)?;
    Some(format!("{count} give way, among them {id}, and {may_come} may come"))
}

/// How many more jobs GitHub counts of each scale set than the daemon knows by name.
fn unnamed(world: &World) -> BTreeMap<At<'_>, u32> {
    let of = |(id, set): (_, &flint_core::scale_set::ScaleSet)| {
        let place = world.profiles.get(id)?.scope.as_ref()?;
        let known = world.jobs.values().filter(|job| job.profile.as_ref() == Some(id)).count();
        Some(((id, place), set.assigned.unwrap_or(0).saturating_sub(count(known))))
    };
    world.scale_sets.iter().filter_map(of).collect()
}

/// Who shares one `max`: all sizes of a template, which has its own.
fn family<'a>(world: &'a World, id: &'a ProfileId) -> (&'a ProfileId, bool) {
    let made_of = world.profiles.get(id).and_then(|profile| profile.made_of.as_ref());
    made_of.map_or((id, false), |made| (&made.template, true))
}

fn leaves(row: &Vm) -> bool {
    takes_room(row) && matches!(row.phase, Phase::Retiring(_) | Phase::Stopping { .. })
}

fn takes_room(row: &Vm) -> bool {
    !matches!(row.phase, Phase::Stopping { host_clean: true, .. })
}

/// Whether it will take one of the jobs that count as queued, or has taken one.
fn comes(row: &Vm, since: Timestamp, usable: bool) -> bool {
    match &row.phase {
        Phase::Launching => usable && row.registration != Registration::None,
        Phase::Registering | Phase::Listening | Phase::Busy(None) => usable,
        Phase::Stopping { reason: Reason::JobDone, .. } => {
            let done = row.times.done.filter(|_| row.job.is_none());
            done.is_some_and(|done| since < done)
        }
        // Its runner may have got a job while nobody listened.
        Phase::Retiring(Reason::Interrupted) => {
            let registered = matches!(row.registration, Registration::Held { .. });
            usable && registered && row.times.ready.is_some()
        }
        Phase::Warm | Phase::Busy(Some(_)) | Phase::Retiring(_) | Phase::Stopping { .. } => false,
    }
}

fn count(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
