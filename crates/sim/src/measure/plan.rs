//! How long one plan takes on a world that is larger than any host: 50,000 microVMs and 100,000 queued jobs.

use flint_core::event::{Event, ForgeEvent};
use flint_core::fold::fold;
use flint_core::forge::{Installation, Scope};
use flint_core::host::Host;
use flint_core::id::{HostId, InstallationId, JobKey, ProfileId, RunnerId, ScopeId, Slot, VmId};
use flint_core::job::JobRequest;
use flint_core::plan::plan;
use flint_core::policy::{Admits, Origin};
use flint_core::profile::{Profile, Timeouts};
use flint_core::scale_set::Source;
use flint_core::units::{MiB, Resources, Timestamp};
use flint_core::vm::{Phase, Registration, Times, Vm};
use flint_core::world::World;
use serde::Serialize;
use std::time::{Duration, Instant};

const HOSTS: u32 = 500;
const PER_HOST: u16 = 100;
const QUEUED: u64 = 100_000;
const OWNERS: u64 = 20;
const REPOSITORIES: u64 = 200;
const PROFILES: usize = 20;
const ROUNDS: u64 = 50;

/// A day in: nothing is near the epoch.
const NOW: Timestamp = Timestamp(86_400_000);

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Plans {
    /// MicroVMs in the world.
    pub vms: usize,
    /// Queued jobs in it.
    pub queued: usize,
    /// One plan of a settled world, each time after one more fact, in milliseconds.
    pub millis: Vec<f64>,
    /// The same of a plan that starts a hundred microVMs, as room for them has come.
    pub launching_millis: Vec<f64>,
}

/// Measures plans. The world is full: each host's microVMs are busy, but for one in twenty in another phase.
#[must_use]
pub fn plans() -> Plans {
    let mut world = plan(&world(), NOW).world;
    let (vms, queued) = (world.vms.len(), world.jobs.len());
    let mut millis = Vec::new();
    let mut launching_millis = Vec::new();
    for round in 0..ROUNDS {
        let now = NOW.after(Duration::from_millis(round));
        tell(&mut world, now, QUEUED + round);
        let planned = timed(&world, now, &mut millis);
        let mut roomy = planned.clone();
        for host in roomy.hosts.values_mut().take(100) {
            host.slots += 1;
            host.capacity.vcpus += 1_000;
        }
        timed(&roomy, now, &mut launching_millis);
        world = planned;
    }
    Plans { vms, queued, millis, launching_millis }
}

fn timed(world: &World, now: Timestamp, millis: &mut Vec<f64>) -> World {
    let begun = Instant::now();
    let planned = plan(world, now);
    millis.push(begun.elapsed().as_secs_f64() * 1_000.0);
    planned.world
}

fn tell(world: &mut World, now: Timestamp, id: u64) {
    let job = JobKey { id, attempt: 1 };
    let event = ForgeEvent::JobQueued { job, request: request(id) };
    drop(fold(world, now, Event::Forge(event)));
}

fn request(id: u64) -> JobRequest {
    let number = usize::try_from(id).unwrap_or(0);
    JobRequest {
        repository: format!("{}/repository-{}", owner(id), id % REPOSITORIES),
        workflow: "CI".to_owned(),
        name: format!("test ({id})"),
        labels: vec!["self-hosted".to_owned(), format!("p{}", number % PROFILES)],
        run_id: id / 8,
        url: format!("https://github.com/owner/repository/actions/runs/{id}"),
        scale_set: None,
        origin: Origin::PRIVATE,
    }
}

fn profile_id(number: usize) -> ProfileId {
    ProfileId::new(&format!("p{number}")).expect("p and a number are a right name")
}

fn world() -> World {
    let mut world = World { instance: "k3x9q2".to_owned(), ..World::default() };
    let shape = Resources { vcpus: 2, memory: MiB(4_096), disk: MiB(20_480) };
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let timeouts =
        Timeouts { boot: minutes(2), register: minutes(3), idle: minutes(4), job: minutes(360) };
    for number in 0..PROFILES {
        let labels = ["self-hosted".to_owned(), format!("p{number}")].into();
        let (warm, max, timeouts) = (0, 100_000, timeouts.clone());
        let admits = Admits::default();
        let (sizes, made_of) = (None, None);
        let source = Source::Webhook;
        let profile = Profile {
            source,
            scope: None,
            labels,
            shape,
            warm,
            max,
            priority: 0,
            admits,
            repositories: flint_core::policy::Repositories::default(),
            timeouts,
            sizes,
            made_of,
        };
        world.profiles.insert(profile_id(number), profile);
    }
    for owner in (0..OWNERS).map(owner) {
        let installation = InstallationId::new(&owner);
        world.installations.insert(installation.clone(), Installation::default());
        world.scopes.insert(ScopeId::organization(&owner), Scope::of(installation));
    }
    let all = u32::from(PER_HOST);
    let capacity = Resources {
        vcpus: 2 * all,
        memory: MiB(4_096 * u64::from(all)),
        disk: MiB(20_480 * u64::from(all)),
    };
    for host in 0..HOSTS {
        let host_row = Host { capacity, slots: PER_HOST, draining: false, seen: NOW, scan_at: NOW };
        world.hosts.insert(HostId(host), host_row);
    }
    let places = (0..HOSTS).flat_map(|host| (0..PER_HOST).map(move |slot| (host, slot)));
    for ((host, slot), id) in places.zip(0..) {
        let place = usize::try_from(id).unwrap_or(0) % PROFILES;
        let profile = world.profiles.keys().nth(place).cloned().unwrap_or_else(|| profile_id(0));
        let vm = vm(id, profile, (HostId(host), Slot(slot)), shape);
        world.vms.insert(VmId(id), vm);
        world.next_vm = id + 1;
    }
    (0..QUEUED).for_each(|id| tell(&mut world, NOW, id));
    world
}

fn owner(id: u64) -> String {
    format!("owner-{}", id % OWNERS)
}

fn vm(id: u64, profile: ProfileId, (host, slot): (HostId, Slot), shape: Resources) -> Vm {
    let job = JobKey { id: 1_000_000 + id, attempt: 1 };
    let (phase, job) = match id % 20 {
        0 => (Phase::Listening, None),
        1 => (Phase::Registering, None),
        2 => (Phase::Busy(None), None),
        _ => (Phase::Busy(Some(job)), Some(job)),
    };
    Vm {
        profile,
        host,
        slot,
        shape,
        phase,
        since: NOW,
        job,
        registration: Registration::Held { attempt: 1, runner: RunnerId(id) },
        scope: Some(ScopeId::organization(&owner(id))),
        failures: 0,
        retry_at: NOW,
        times: Times { planned: NOW, ready: Some(NOW), ..Times::default() },
        trouble: None,
    }
}
