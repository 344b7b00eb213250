//! What a life begins with. All of it is drawn from the seed, and can then be made smaller.

use super::faults::Faults;
use super::outside::{MINUTE, SECOND};
use super::scopes::{self, Scopes};
use crate::rng::Rng;
use flint_core::host::Host;
use flint_core::id::{HostId, ProfileId, ScopeId};
use flint_core::limits::Limits;
use flint_core::policy::{Admits, Repositories};
use flint_core::profile::{Profile, Timeouts};
use flint_core::scale_set::Source;
use flint_core::size::Sizes;
use flint_core::units::{MiB, Resources, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// One in so many lives has a crowd of jobs at once.
const CROWDS: u64 = 40;

const REPOSITORIES: [&str; 4] = ["acme/app", "acme/site", "beta/app", "beta/site"];

/// Which questions GitHub answers at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    /// The App may not read Actions: only failed deliveries are found.
    Deliveries,
    /// The webhook is not the App's own: only lists are read.
    Lists,
    /// Both.
    All,
}

/// All that is drawn before a life begins.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Draws it, and all that happens.
    pub(super) seed: u64,
    pub(super) faults: Faults,
    pub(super) profiles: BTreeMap<ProfileId, Profile>,
    pub(super) hosts: BTreeMap<HostId, Host>,
    pub(super) repositories: Vec<String>,
    pub(super) scopes: Scopes,
    pub(super) limits: Limits,
    pub(super) answers: Answers,
    /// Calls an hour.
    pub(super) quota: u32,
    pub(super) jobs: u64,
    /// Some of them are of public repositories, or of forks.
    pub(super) strangers: bool,
    /// Jobs come at once.
    pub(super) crowd: bool,
    /// The storm lasts at least this long, in milliseconds.
    pub(super) storm: u64,
}

impl Setup {
    /// Draws it.
    #[must_use]
    pub fn draw(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut setup = Setup {
            seed,
            faults: Faults::draw(&mut rng),
            profiles: profiles(&mut rng),
            hosts: hosts(&mut rng),
            repositories: repositories(&mut rng),
            scopes: scopes::draw(&mut rng),
            limits: limits(&mut rng),
            answers: [Answers::Deliveries, Answers::Lists, Answers::All, Answers::All]
                [usize::try_from(rng.below(4)).unwrap_or(0)],
            quota: if rng.chance(150) { small(rng.between(150, 1_000)) } else { 5_000 },
            jobs: rng.between(5, 40),
            strangers: rng.chance(400),
            crowd: rng.below(CROWDS) == 0,
            storm: 60 * MINUTE,
        };
        setup.place_sets(&mut rng);
        if setup.answers == Answers::Deliveries && !setup.reads_all() {
            setup.answers = Answers::Lists;
        }
        if setup.answers == Answers::Deliveries {
            // Nothing that GitHub answers tells of these.
            let faults = &mut setup.faults;
            (faults.webhook_vanishes, faults.job_deleted, faults.job_held) = (0, 0, 0);
            setup.strangers = false;
            // Nor how a scale set's job ended that its profile does not take, if its last word is lost.
            let sets = setup.profiles.values_mut().filter(|p| p.source == Source::ScaleSet);
            sets.for_each(|profile| profile.repositories = Repositories::default());
        }
        if setup.crowd {
            setup.gather(&mut rng);
        }
        setup
    }

    /// Each scale set is in one of the scopes.
    fn place_sets(&mut self, rng: &mut Rng) {
        let scopes: Vec<ScopeId> = self.scopes.keys().cloned().collect();
        self.profiles.values_mut().for_each(|profile| profile.scope = rng.pick(&scopes));
        self.settle();
    }

    /// Many small jobs at once, on a host that has room for all.
    fn gather(&mut self, rng: &mut Rng) {
        let shape = Resources { vcpus: 1, memory: MiB(1_024), disk: MiB(10_240) };
        let capacity = Resources { vcpus: 200, memory: MiB(204_800), disk: MiB(2_048_000) };
        self.profiles.retain(|id, _| id.to_string() == "p0");
        for profile in self.profiles.values_mut() {
            (profile.shape, profile.max, profile.warm) = (shape, 150, 0);
        }
        self.hosts.retain(|id, _| id.0 == 0);
        for host in self.hosts.values_mut() {
            (host.capacity, host.slots) = (capacity, 150);
        }
        (self.limits, self.jobs, self.storm) = (Limits::default(), rng.between(90, 130), MINUTE);
        let rates = self.faults.rates();
        rates.into_iter().for_each(|rate| *rate /= 4);
    }

    /// The profiles that have a scale set.
    pub(super) fn sets(&self) -> Vec<ProfileId> {
        let sets = self.profiles.iter().filter(|(_, p)| p.source == Source::ScaleSet);
        sets.map(|(id, _)| id.clone()).collect()
    }

    /// Every life that is a little simpler than this.
    pub(super) fn simpler(&self) -> Vec<Setup> {
        let mut all = Vec::new();
        let mut with = |change: &dyn Fn(&mut Setup)| {
            let mut simpler = self.clone();
            change(&mut simpler);
            simpler.settle();
            all.push(simpler);
        };
        with(&|setup| setup.faults = Faults { delay_ms: setup.faults.delay_ms, ..Faults::none() });
        with(&|setup| setup.jobs = (setup.jobs / 2).max(1));
        with(&|setup| setup.jobs = (setup.jobs - 1).max(1));
        with(&|setup| setup.storm /= 2);
        with(&|setup| keep_first(&mut setup.hosts));
        with(&|setup| keep_first(&mut setup.profiles));
        with(&|setup| setup.repositories.truncate(1));
        for fewer in self.fewer_scopes() {
            with(&|setup| setup.scopes = fewer.clone());
        }
        with(&|setup| setup.scopes = setup.own_apps());
        with(&|setup| setup.strangers = false);
        with(&|setup| setup.profiles.values_mut().for_each(|p| p.source = Source::Webhook));
        with(&|setup| setup.limits = Limits::default());
        with(&|setup| setup.profiles.values_mut().for_each(|profile| profile.warm = 0));
        with(&|setup| setup.profiles.values_mut().for_each(|profile| profile.priority = 0));
        with(&|setup| (setup.quota, setup.answers) = (5_000, Answers::All));
        with(&|setup| setup.faults.delay_ms = (setup.faults.delay_ms / 2).max(1));
        for rate in 0..self.faults.clone().rates().len() {
            with(&|setup| *setup.faults.rates()[rate] = 0);
        }
        all.retain(|simpler| simpler.size() < self.size());
        all
    }

    /// How much there is to look at.
    fn size(&self) -> u64 {
        let mut faults = self.faults.clone();
        let rates: u64 = faults.rates().into_iter().map(|rate| u64::from(*rate > 0)).sum();
        let some = |yes: bool| u64::from(yes);
        let profile = |p: &Profile| {
            let set = some(p.source == Source::ScaleSet);
            2 + u64::from(p.warm) + some(p.priority != 0) + set
        };
        let profiles: u64 = self.profiles.values().map(profile).sum();
        let lists = self.hosts.len() + self.repositories.len();
        let plain = some(self.limits != Limits::default()) + some(self.answers != Answers::All);
        let plain = plain + some(self.strangers);
        let wire = self.faults.delay_ms.ilog2();
        let counts = u64::try_from(lists).unwrap_or(u64::MAX) + profiles + plain;
        let counts = counts + self.places_size();
        rates
            + counts
            + some(self.quota != 5_000)
            + u64::from(wire)
            + self.jobs
            + self.storm / SECOND
    }
}

fn keep_first<K: Ord + Clone, V>(map: &mut BTreeMap<K, V>) {
    let first = map.keys().next().cloned();
    map.retain(|key, _| Some(key) == first.as_ref());
}

fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn profiles(rng: &mut Rng) -> BTreeMap<ProfileId, Profile> {
    let mut profiles = BTreeMap::new();
    let priorities = rng.chance(300);
    for index in 0..rng.between(1, 3) {
        let id = ProfileId::new(&format!("p{index}")).expect("p and a digit are a right name");
        let shape = Resources {
            vcpus: small(rng.between(1, 4)),
            memory: MiB(1_024 * rng.between(1, 4)),
            disk: MiB(10_240 * rng.between(1, 2)),
        };
        let profile = Profile {
            labels: ["linux".to_owned(), format!("p{index}")].into(),
            shape,
            warm: small(rng.below(3)),
            max: small(rng.between(2, 6)),
            priority: if priorities { [-1, 0, 1][usize::try_from(index).unwrap_or(0)] } else { 0 },
            admits: Admits { public: rng.chance(300), forks: rng.chance(300) },
            repositories: listed(rng),
            sizes: rng.chance(300).then(|| sizes(&format!("p{index}"), small(rng.below(3)))),
            made_of: None,
            scope: None,
            source: if rng.chance(300) { Source::ScaleSet } else { Source::Webhook },
            timeouts: Timeouts {
                boot: Duration::from_secs(120),
                register: Duration::from_secs(180),
                idle: Duration::from_secs(match rng.below(3) {
                    0 => rng.between(600, 3_600),
                    _ => rng.between(30, 240),
                }),
                job: Duration::from_secs(3_600),
            },
        };
        let sizes = profile.sizes.clone().filter(|_| profile.source == Source::Webhook);
        profiles.insert(id, Profile { sizes, ..profile });
    }
    profiles
}

/// Most serve all; some do not serve all of one.
fn listed(rng: &mut Rng) -> Repositories {
    let mut lists = Repositories::default();
    if rng.chance(150) {
        lists.only = ["acme/*", "beta/app"].map(str::to_owned).into();
    }
    if rng.chance(150) {
        lists.except.insert("acme/site".to_owned());
    }
    lists
}

/// As scripts have them.
fn sizes(prefix: &str, warm: u32) -> Sizes {
    let max = Resources { vcpus: 8, memory: MiB(16 << 10), disk: MiB(50 << 10) };
    let images = BTreeSet::from(["ubuntu24".to_owned()]);
    Sizes { prefix: prefix.to_owned(), max, count: 3, arch: "x64".to_owned(), images, warm }
}

fn hosts(rng: &mut Rng) -> BTreeMap<HostId, Host> {
    let mut hosts = BTreeMap::new();
    for id in 0..small(rng.between(1, 2)) {
        let capacity = Resources {
            vcpus: small(rng.between(4, 12)),
            memory: MiB(1_024 * rng.between(4, 16)),
            disk: MiB(10_240 * rng.between(2, 10)),
        };
        let slots = u16::try_from(rng.between(1, 6)).expect("at most six");
        let seen = Timestamp(0);
        let host = Host { capacity, slots, draining: false, seen, scan_at: seen };
        hosts.insert(HostId(id), host);
    }
    hosts
}

fn repositories(rng: &mut Rng) -> Vec<String> {
    let mut names: Vec<String> = REPOSITORIES.map(str::to_owned).into();
    let count = usize::try_from(rng.between(2, 4)).unwrap_or(2);
    while names.len() > count {
        names.remove(usize::try_from(rng.below(names.len() as u64)).unwrap_or(0));
    }
    names
}

fn limits(rng: &mut Rng) -> Limits {
    let mut limits = Limits::default();
    if rng.chance(600) {
        return limits;
    }
    let mut some = |most| rng.chance(500).then(|| small(rng.between(1, most)));
    limits.per_repository = some(3);
    limits.per_owner = some(4);
    if let Some(max) = some(2) {
        limits.repositories.insert(REPOSITORIES[0].to_owned(), max);
    }
    if let Some(max) = some(3) {
        limits.owners.insert("beta".to_owned(), max);
    }
    limits
}
