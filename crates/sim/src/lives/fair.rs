//! Judges who got a microVM and who did not: demand, limits, priority, fairness, room. Shares no code with the core's
//! planner: it asks of each decision whether anything can excuse it.

use super::life::Life;
use super::strangers::let_in;
use flint_core::id::{HostId, ProfileId, VmId};
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

/// What a plan has decided, counted.
struct Account<'a> {
    world: &'a World,
    now: Timestamp,
    /// Jobs that wait, by their profile.
    queued: BTreeMap<&'a ProfileId, Vec<&'a Job>>,
    /// Jobs that GitHub counts and has not named.
    unnamed: BTreeMap<&'a ProfileId, u32>,
    /// Jobs that run in microVMs of ours.
    repositories: BTreeMap<&'a str, u32>,
    owners: BTreeMap<&'a str, u32>,
    /// MicroVMs that will take one of the queued jobs.
    coming: BTreeMap<&'a ProfileId, u32>,
    /// The same, and those that may count for another moment.
    expected: BTreeMap<&'a ProfileId, u32>,
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
                    queued.entry(profile).or_default().push(job);
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
                if comes(row, now.before(within), usable.contains(&row.host)) {
                    *count.entry(&row.profile).or_insert(0) += 1;
                }
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

    fn coming(&self, profile: &ProfileId) -> u32 {
        self.coming.get(profile).copied().unwrap_or(0)
    }

    fn expected(&self, profile: &ProfileId) -> u32 {
        self.expected.get(profile).copied().unwrap_or(0)
    }

    fn queued(&self, profile: &ProfileId) -> &[&'a Job] {
        self.queued.get(profile).map_or(&[], Vec::as_slice)
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

    /// Whether one more of this profile may be started, as far as nothing but room is missing.
    fn may_have(&self, profile: &ProfileId) -> bool {
        let max = self.world.profiles.get(profile).map_or(0, |profile| profile.max);
        let silent = self.now < self.world.forge.limited_until;
        let quiet = !silent && !self.world.breakers.contains_key(profile);
        let forge = &self.world.forge.breaker;
        quiet
            && !forge.open
            && self.held.get(&family(self.world, profile)).copied().unwrap_or(0) < max
    }

    /// The profiles with more jobs than microVMs on their way, and no excuse but room.
    fn wanting(&self) -> impl Iterator<Item = (&'a ProfileId, &[&'a Job])> {
        let wants = |(id, jobs): &(&&'a ProfileId, &Vec<&'a Job>)| {
            self.expected(id) < count(jobs.len()) && self.may_have(id)
        };
        self.queued.iter().filter(wants).map(|(id, jobs)| (*id, jobs.as_slice()))
    }

    /// For how many of a profile's jobs a microVM may be ordered.
    fn most(&self, profile: &ProfileId, limits: &Limits) -> u32 {
        let mut owners: BTreeMap<&str, BTreeMap<&str, u32>> = BTreeMap::new();
        for job in self.queued(profile) {
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
        let unnamed = self.unnamed.get(profile).copied().unwrap_or(0);
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
        passed.or_else(pool).or_else(|| idle_room(&account))
    }

    /// No more are ordered than jobs wait for, and than the limits allow.
    fn too_many<'a>(
        &self,
        account: &Account<'_>,
        mut ordered: impl Iterator<Item = (VmId, &'a Vm)>,
    ) -> Option<String> {
        ordered.find_map(|(id, row)| {
            let (coming, most) =
                (account.coming(&row.profile), account.most(&row.profile, &self.setup.limits));
            let profile = &row.profile;
            let why = || format!("{id}: {coming} of {profile} come, and {most} may");
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
    account.wanting().filter(|(profile, _)| **profile != row.profile).find_map(|(profile, jobs)| {
        let fits = row.shape.fits(&account.shape(profile));
        if !fits || account.expected(profile) > 0 {
            return None;
        }
        let (mine, theirs) = (account.priority(profile), account.priority(&row.profile));
        let others = account.queued(&row.profile);
        let first = |job: &&&Job| {
            let repository = &job.request.repository;
            // Nothing of its repository may be on its way for another job of it.
            let alone =
                account.queued.iter().filter(|(id, _)| **id != profile).all(|(_, jobs)| {
                    jobs.iter().all(|other| other.request.repository != *repository)
                });
            alone && others.iter().all(|other| behind(job)(&other))
        };
        let passed = mine > theirs || (mine == theirs && jobs.iter().any(|job| first(&job)));
        passed.then(|| format!("{id} of {} is started before jobs of {profile}", row.profile))
    })
}

/// The pool takes room although a job waits for room.
fn pool_grows(account: &Account<'_>, id: VmId) -> Option<String> {
    let hosts = || account.world.hosts.iter().filter(|(id, _)| account.usable.contains(id));
    let could = |profile: &ProfileId| {
        let shape = account.shape(profile);
        hosts().any(|(_, host)| host.slots > 0 && host.capacity.fits(&shape))
    };
    let (profile, _) = account.wanting().find(|(profile, _)| could(profile))?;
    Some(format!("{id} is for a pool, and jobs of {profile} find no room"))
}

/// A job waits beside room that nobody else has a claim on.
fn idle_room(account: &Account<'_>) -> Option<String> {
    account.wanting().find_map(|(profile, _)| {
        let shape = account.shape(profile);
        let claimed = account.queued.iter().filter(|(id, jobs)| {
            let long = |job: &&Job| job.received.after(PASSED) <= account.now;
            **id != profile && jobs.iter().any(long)
        });
        let claimed = claimed.fold(Resources::default(), |sum, (id, _)| sum + account.shape(id));
        let room = |host: &&HostId| {
            let here =
                || account.world.vms.values().filter(|row| row.host == **host && takes_room(row));
            let taken = here().fold(claimed, |sum, row| sum + row.shape);
            account.world.hosts.get(host).is_some_and(|h| {
                here().count() < usize::from(h.slots) && (h.capacity - taken).fits(&shape)
            })
        };
        let host = account.usable.iter().find(room)?;
        Some(format!("jobs of {profile} wait, and {host} has room for one"))
    })
}

/// How many more jobs GitHub counts of each scale set than the daemon knows by name.
fn unnamed(world: &World) -> BTreeMap<&ProfileId, u32> {
    let of = |(id, set): (_, &flint_core::scale_set::ScaleSet)| {
        let known = world.jobs.values().filter(|job| job.profile.as_ref() == Some(id)).count();
        (id, set.assigned.unwrap_or(0).saturating_sub(count(known)))
    };
    world.scale_sets.iter().map(of).collect()
}

/// Who shares one `max`: all sizes of a template, which has its own.
fn family<'a>(world: &'a World, id: &'a ProfileId) -> (&'a ProfileId, bool) {
    let made_of = world.profiles.get(id).and_then(|profile| profile.made_of.as_ref());
    made_of.map_or((id, false), |made| (&made.template, true))
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
