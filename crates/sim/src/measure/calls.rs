//! How many calls of GitHub's REST API a job costs: an hour of jobs through the daemon's own parts, over the wire, against a
//! GitHub that enforces its limits. The hour takes a minute; the books of the limits run as fast as the daemon's clock.

use crate::demo::Source;
use crate::fakes::{FakeImages, FakeNet, FakeVmm, Outside};
use crate::github::{Config, FakeGithub, Webhook, generate_pem};
use anyhow::{Context, Result};
use flint::daemon::clock::Clock;
use flint::daemon::controller::{Controller, Ends};
use flint::daemon::dispatch::{Dispatcher, Hands, Recipe, Recipes};
use flint::daemon::door::{Door, Taken, Window};
use flint::daemon::listener::Listener;
use flint::forge::{GitHub, Options, RunnerGroup, Runners, Scope, WebhookAuth, scale_set};
use flint::front::{server, tls::Tls, webhook, words::Hook};
use flint::host::{self, Host, Layout};
use flint::images;
use flint::net::Egress;
use flint::store::Sqlite;
use flint::vmm::DiskRate;
use flint_core::event::Event;
use flint_core::id::{HostId, ProfileId};
use flint_core::limits::Limits;
use flint_core::policy::Admits;
use flint_core::profile::{Profile, Timeouts};
use flint_core::units::{MiB, Resources, Timestamp};
use flint_wire::Secret;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Jobs of the hour.
const JOBS: u32 = 1_000;
/// How many times as fast as the machine's clock everything runs.
const HURRY: u32 = 60;
/// How long a job runs, by the daemon's clock.
const RUNS: Duration = Duration::from_secs(60);
/// More than run at one time.
const SLOTS: u16 = 64;
const SHAPE: Resources = Resources { vcpus: 1, memory: MiB(1_024), disk: MiB(1_024) };
/// Where the jobs come from, in turns.
const REPOSITORIES: [&str; 4] = ["widgets", "gadgets", "site", "docs"];
/// How often runners look for jobs.
const GLANCE: Duration = Duration::from_millis(5);
/// Between the proofs of webhooks and the daemon; both ends are here.
const SECRET: &str = "the measurement's webhook secret";
/// A machine with two slow cores needs two minutes.
const PATIENCE: Duration = Duration::from_mins(10);

/// What was counted.
#[derive(Clone, Debug, Serialize)]
pub struct Calls {
    /// Jobs that ran to their end.
    pub jobs: u32,
    /// Calls of the REST API, by name.
    pub rest: BTreeMap<String, u64>,
    /// Calls that a limit refused.
    pub refused: u64,
    /// The most points of the minute that were used, of 900.
    pub most_points: u32,
}

/// The daemon's clock: ahead of the machine's, and further with each second.
#[derive(Clone, Copy)]
struct Hasty {
    start: Timestamp,
    began: Instant,
}

impl Clock for Hasty {
    fn now(&self) -> Timestamp {
        self.start.after(self.began.elapsed() * HURRY)
    }

    async fn sleep_until(&self, at: Timestamp) {
        tokio::time::sleep((at.since(self.now()) / HURRY).max(Duration::from_millis(1))).await;
    }
}

/// Runs the hour.
///
/// # Errors
/// When something cannot be started, or the jobs do not end.
pub async fn calls(source: Source) -> Result<Calls> {
    let hook = TcpListener::bind("127.0.0.1:0").await?;
    let pem = generate_pem()?;
    let github = Arc::new(github(source, &hook, pem.clone()).await?);
    let (outside, _webhooks) = Outside::new();
    outside.faults(|faults| {
        (faults.boot_takes, faults.job_takes) = (Duration::from_millis(100), RUNS / HURRY);
    });
    outside.work_for(Arc::clone(&github));
    let folder = tempfile::tempdir()?;
    let daemon = Daemon { github: &github, outside: &outside, folder: folder.path(), pem };
    let mut tasks = daemon.start(source, hook).await?;
    let looking = outside.clone();
    tasks.spawn(async move {
        loop {
            tokio::time::sleep(GLANCE).await;
            looking.wake();
        }
    });
    let ran = tokio::time::timeout(PATIENCE, hour(&github)).await;
    tasks.shutdown().await;
    ran.context("the jobs do not end")??;
    Ok(told(&github))
}

async fn hour(github: &FakeGithub) -> Result<()> {
    let mut beat = tokio::time::interval(Duration::from_secs(3_600) / HURRY / JOBS);
    for job in 0..JOBS {
        beat.tick().await;
        let repository = REPOSITORIES[job as usize % REPOSITORIES.len()];
        github.queue_in(repository, "jobs: {a: {runs-on: flint, steps: []}}")?;
    }
    let ended = |github: &FakeGithub| github.tally().completed >= JOBS as usize;
    github.until(ended).await;
    Ok(())
}

fn told(github: &FakeGithub) -> Calls {
    let counters = github.counters();
    let sets = [
        "find-",
        "get-set",
        "create-set",
        "update-set",
        "session",
        "set-jit",
        "acquire-jobs",
        "queue",
        "message",
    ];
    let rest = |name: &&String| !sets.iter().any(|part| name.contains(part));
    let calls = counters.calls.iter().filter(|(name, _)| rest(name));
    Calls {
        jobs: JOBS,
        rest: calls.map(|(name, count)| (name.clone(), *count)).collect(),
        refused: counters.refused.values().sum(),
        most_points: counters.most_points,
    }
}

async fn github(source: Source, hook: &TcpListener, pem: String) -> Result<FakeGithub> {
    let mut config = Config::new(pem);
    config.hurry = HURRY;
    config.poll /= HURRY;
    if source == Source::Webhook {
        let url = format!("http://{}{}", hook.local_addr()?, webhook::PATH);
        config.webhook = Some(Webhook { url, secret: SECRET.to_owned() });
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let github = FakeGithub::start(listener, config).await?;
    REPOSITORIES.iter().skip(1).for_each(|name| github.add_repository(name));
    Ok(github)
}

/// The daemon's parts, with a made-up host.
struct Daemon<'a> {
    github: &'a FakeGithub,
    outside: &'a Outside,
    folder: &'a Path,
    pem: String,
}

impl Daemon<'_> {
    async fn start(&self, source: Source, hook: TcpListener) -> Result<JoinSet<()>> {
        let start = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let clock = Arc::new(Hasty { start: Timestamp(0).after(start), began: Instant::now() });
        let (door, inside) = Door::new();
        let controller = Controller::new(Sqlite::open(self.folder)?, Arc::clone(&clock), inside)?;
        let (controller, Ends { orders, window }) = controller;
        let instance = window.borrow().world.instance.clone();
        let options = self.options();
        let mut tasks = JoinSet::new();
        let mut sets = BTreeMap::new();
        match source {
            Source::Webhook => take_webhooks(&mut tasks, &options, hook, door.clone()),
            Source::ScaleSet => {
                let set = Arc::new(self.scale_set(&options)?);
                sets.insert(profile_id()?, Arc::clone(&set));
                let listener = Listener {
                    set,
                    profile: profile_id()?,
                    owner: "measure".to_owned(),
                    door: door.clone(),
                    window: window.clone(),
                    clock: Arc::clone(&clock),
                };
                tasks.spawn(listener.run(std::future::pending()));
            }
        }
        let forge = Arc::new(Runners::new(GitHub::new(&options, &instance)?, sets));
        door.tell(started(source, clock.now())?).await;
        tasks.spawn(controller.run());
        self.hands(&mut tasks, source, (forge, clock), (door, window), orders)?;
        Ok(tasks)
    }

    fn hands(
        &self,
        tasks: &mut JoinSet<()>,
        source: Source,
        (forge, clock): (Arc<Runners>, Arc<Hasty>),
        (door, window): (Door, Window),
        orders: mpsc::UnboundedReceiver<flint::daemon::dispatch::Batch>,
    ) -> Result<()> {
        let (tell, mut told) = mpsc::channel(64);
        let layout = Layout::new(self.folder);
        let options = host::Options { id: HostId(0), layout, uid_base: 100_000 };
        let outside = || self.outside.clone();
        let (vmm, net, images) = (FakeVmm(outside()), FakeNet(outside()), FakeImages(outside()));
        let host = Arc::new(Host::new(options, vmm, net, images, tell));
        let recipes = Recipes(BTreeMap::from([(profile_id()?, recipe(source))]));
        let hands = Hands { forge, host, clock };
        let dispatcher = Dispatcher::new(hands, Arc::new(recipes), (door.clone(), window));
        tasks.spawn(dispatcher.run(orders));
        tasks.spawn(async move {
            while let Some(host::Told { event, kept }) = told.recv().await {
                door.keep(event, kept).await;
            }
        });
        Ok(())
    }

    fn options(&self) -> Options {
        let current = Secret::new(SECRET.to_owned());
        Options {
            api_url: self.github.url().to_owned(),
            scope: Scope::Organization("flint-demo".to_owned()),
            app: "123456".to_owned(),
            private_key: Secret::new(self.pem.clone()),
            webhook: WebhookAuth::Secrets { current, other: None },
            runner_group: RunnerGroup::Number(1),
        }
    }

    fn scale_set(&self, options: &Options) -> Result<scale_set::ProfileSet> {
        let sets = scale_set::ScaleSets::new(&scale_set::Options {
            api_url: options.api_url.clone(),
            place: options.scope.clone().into(),
            app: options.app.clone(),
            private_key: options.private_key.clone(),
        })?;
        let (name, group) = ("flint".to_owned(), RunnerGroup::Number(1));
        let labels = [name.clone()].into();
        Ok(scale_set::ProfileSet::new(Arc::new(sets), scale_set::Wanted { name, group, labels }))
    }
}

/// Takes deliveries in as the front does, and answers when they are on disk.
fn take_webhooks(tasks: &mut JoinSet<()>, options: &Options, hook: TcpListener, door: Door) {
    let (inlet, mut deliveries) = webhook::Door::new(64);
    let proofs = Hook { auth: options.webhook.clone(), scope: options.scope.clone() };
    let routes = webhook::router(&proofs, inlet, Arc::new(webhook::Counters::default()));
    let limits = (server::Limits::WEBHOOK, Tls::default());
    tasks.spawn(server::serve(hook, routes, limits, std::future::pending()));
    tasks.spawn(async move {
        while let Some(webhook::Delivery { guid, event, done }) = deliveries.recv().await {
            let door = door.clone();
            tokio::spawn(async move {
                let taken = door.deliver(guid, Event::Forge(event)).await;
                let unavailable = || webhook::Unavailable { why: "the store".to_owned() };
                let answer = taken.map(|taken| match taken {
                    Taken::Committed => webhook::Committed::New,
                    Taken::Known => webhook::Committed::Known,
                });
                // Whoever asked may have gone.
                drop(done.send(answer.map_err(|_| unavailable())));
            });
        }
    });
}

fn profile_id() -> Result<ProfileId> {
    Ok(ProfileId::new("flint")?)
}

fn profile(source: Source) -> Profile {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let (boot, register, idle, job) = (minutes(2), minutes(2), minutes(4), minutes(360));
    Profile {
        source: match source {
            Source::Webhook => flint_core::scale_set::Source::Webhook,
            Source::ScaleSet => flint_core::scale_set::Source::ScaleSet,
        },
        labels: ["flint".to_owned()].into(),
        shape: SHAPE,
        warm: 0,
        max: u32::from(SLOTS),
        priority: 0,
        admits: Admits::default(),
        timeouts: Timeouts { boot, register, idle, job },
        sizes: None,
        made_of: None,
    }
}

fn recipe(source: Source) -> Recipe {
    let files = images::Source { kernel: "/k/vmlinux".into(), image: "/i/rootfs.ext4".into() };
    Recipe {
        profile: profile(source),
        source: files,
        images: BTreeMap::new(),
        egress: Egress::internet(),
        disk_rate: DiskRate::default(),
    }
}

fn started(source: Source, now: Timestamp) -> Result<Event> {
    let all = u32::from(SLOTS);
    let capacity =
        Resources { vcpus: all, memory: MiB(1_024 * u64::from(all)), disk: MiB(1 << 20) };
    let host =
        flint_core::host::Host { capacity, slots: SLOTS, draining: false, seen: now, scan_at: now };
    Ok(Event::Started {
        profiles: BTreeMap::from([(profile_id()?, profile(source))]),
        hosts: BTreeMap::from([(HostId(0), host)]),
        limits: Limits::default(),
    })
}
