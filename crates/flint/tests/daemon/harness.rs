//! One daemon over one made-up outside, started and killed as often as a test wants.

use flint::daemon::clock::Clock;
use flint::daemon::controller::{Controller, Ends};
use flint::daemon::dispatch::{Dispatcher, Hands, Recipe, Recipes};
use flint::daemon::door::{Door, View, Window};
use flint::host::{self, Host, Layout, Options};
use flint::images::Source;
use flint::net::Egress;
use flint::store::{self, Change, History, Query, Sqlite, Store};
use flint::vmm::DiskRate;
use flint_core::audit::audit;
use flint_core::event::Event;
use flint_core::id::{HostId, InstallationId, JobKey, ProfileId, ScopeId, VmId};
use flint_core::job::JobRequest;
use flint_core::limits::Limits;
use flint_core::policy::{Admits, Origin};
use flint_core::profile::{Profile, Timeouts};
use flint_core::units::{MiB, Resources};
use flint_core::vm::Phase;
use flint_core::world::World;
use flint_sim::fakes::{FakeClock, FakeForge, FakeImages, FakeNet, FakeVmm, Outside, Told};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub(super) const HOST: HostId = HostId(0);

/// The longest that any sentence may take to become true: a breaker twice, and some.
const PATIENCE: Duration = Duration::from_secs(20 * 60);

/// The paused clock jumps to the next timer even while bytes wait in a socket. With a timer as near as this, no
/// deadline passes by that.
const BEAT: Duration = Duration::from_millis(10);

/// How long until a delivery that was not taken is told again.
const REDELIVERY: Duration = Duration::from_secs(1);

/// The host of these tests.
pub(super) type FakeHost = Host<FakeVmm, FakeNet, FakeImages>;

/// What outlives a daemon: its directory, the outside, and the webhooks on their way.
pub(super) struct Bench {
    pub(super) dir: tempfile::TempDir,
    pub(super) outside: Outside,
    pub(super) clock: Arc<FakeClock>,
    pub(super) profiles: BTreeMap<ProfileId, Profile>,
    pub(super) capacity: Resources,
    pub(super) slots: u16,
    pub(super) limits: Limits,
    pub(super) books: Arc<Books>,
    webhooks: Arc<tokio::sync::Mutex<Webhooks>>,
}

/// GitHub's deliveries on their way.
struct Webhooks {
    told: mpsc::UnboundedReceiver<Told>,
    /// The one that nobody has taken yet.
    pending: Option<Told>,
}

/// A running daemon.
pub(super) struct Daemon {
    pub(super) door: Door,
    pub(super) window: Window,
    pub(super) host: Arc<FakeHost>,
    pub(super) clock: Arc<FakeClock>,
    pub(super) outside: Outside,
    pub(super) books: Arc<Books>,
    pub(super) tasks: JoinSet<()>,
}

/// What the store was asked, and when it refuses.
#[derive(Default)]
pub(super) struct Books(Mutex<Page>);

/// Whether a commit with these facts fails.
type Refusal = Box<dyn FnMut(&[Event]) -> bool + Send>;

#[derive(Default)]
pub(super) struct Page {
    pub(super) commits: u64,
    pub(super) refused: u64,
    refuses: Option<Refusal>,
    wrong: Vec<String>,
}

impl Books {
    pub(super) fn open(&self) -> MutexGuard<'_, Page> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Commits with such facts fail from now on.
    pub(super) fn refuse(&self, which: impl FnMut(&[Event]) -> bool + Send + 'static) {
        self.open().refuses = Some(Box::new(which));
    }

    /// All commits succeed from now on.
    pub(super) fn accept(&self) {
        self.open().refuses = None;
    }
}

/// The real store, which a test can make fail. Audits what it is given.
struct Watched(Sqlite, Arc<Books>);

impl Store for Watched {
    fn load(&mut self) -> Result<World, store::Error> {
        self.0.load()
    }

    fn commit(
        &mut self,
        before: &World,
        after: &World,
        change: Change<'_>,
    ) -> Result<(), store::Error> {
        let mut page = self.1.open();
        if page.refuses.as_mut().is_some_and(|refuses| refuses(change.events)) {
            page.refused += 1;
            let source = std::io::Error::other("the test wants it so");
            return Err(store::Error::Random { source });
        }
        page.commits += 1;
        let notes = audit(after).into_iter().map(|note| format!("{note}: {:?}", change.events));
        page.wrong.extend(notes);
        self.0.commit(before, after, change)
    }

    fn knows(&mut self, delivery: &str) -> Result<bool, store::Error> {
        self.0.knows(delivery)
    }

    fn history(&mut self, query: &Query) -> Result<History, store::Error> {
        self.0.history(query)
    }
}

/// A profile that serves its own name: one vCPU, 1 GiB of memory, 10 GiB of disk.
pub(super) fn profile(name: &str) -> (ProfileId, Profile) {
    let profile = Profile {
        scope: None,
        labels: BTreeSet::from([name.to_owned()]),
        shape: Resources { vcpus: 1, memory: MiB(1024), disk: MiB(10_240) },
        warm: 0,
        max: 10,
        priority: 0,
        admits: Admits::default(),
        repositories: flint_core::policy::Repositories::default(),
        sizes: None,
        made_of: None,
        source: flint_core::scale_set::Source::Webhook,
        timeouts: Timeouts {
            boot: Duration::from_secs(60),
            register: Duration::from_secs(60),
            idle: Duration::from_secs(5 * 60),
            job: Duration::from_secs(3_600),
        },
    };
    (ProfileId::new(name).expect("a test's profile name is right"), profile)
}

/// A microVM's phase in a word; `gone` without a row.
pub(super) fn phase_of(view: &View, vm: VmId) -> &'static str {
    view.world.vms.get(&vm).map_or("gone", |vm| flint::daemon::metrics::phase_word(&vm.phase))
}

/// What a job says of itself.
pub(super) fn request(label: &str) -> JobRequest {
    JobRequest {
        repository: "flint-demo/widgets".to_owned(),
        workflow: "CI".to_owned(),
        name: "told by hand".to_owned(),
        labels: vec![label.to_owned()],
        run_id: 1,
        url: "https://github.com/flint-demo/widgets/actions/runs/1".to_owned(),
        scale_set: None,
        origin: Origin::PRIVATE,
    }
}

impl Bench {
    /// A roomy host that serves these labels.
    pub(super) fn new(labels: &[&str]) -> Self {
        let (outside, webhooks) = Outside::new();
        Bench {
            dir: tempfile::tempdir().expect("a test may make a directory"),
            outside,
            clock: Arc::new(FakeClock::start()),
            profiles: labels.iter().map(|label| profile(label)).collect(),
            capacity: Resources { vcpus: 16, memory: MiB(65_536), disk: MiB(1_048_576) },
            slots: 16,
            limits: Limits::default(),
            books: Arc::default(),
            webhooks: Arc::new(tokio::sync::Mutex::new(Webhooks { told: webhooks, pending: None })),
        }
    }

    /// Changes the profile of this name.
    pub(super) fn with(mut self, name: &str, change: impl FnOnce(&mut Profile)) -> Self {
        change(self.profiles.get_mut(&profile(name).0).expect("the test has this profile"));
        self
    }

    /// Starts a daemon on this directory, as `daemon::serve` does.
    pub(super) async fn start(&self) -> Daemon {
        let sqlite = Sqlite::open(self.dir.path()).expect("the store is free");
        let store = Watched(sqlite, Arc::clone(&self.books));
        let (door, inside) = Door::new();
        let clock = Arc::clone(&self.clock);
        let controller = Controller::new(store, Arc::clone(&clock), inside);
        let (controller, Ends { orders, window }) = controller.expect("the store can be read");
        let world = Arc::clone(&window.borrow().world);
        let forge = Arc::new(FakeForge::new(self.outside.clone(), &world.instance));
        let (tell, mut told) = mpsc::channel(64);
        let host = Arc::new(self.host(tell));
        door.tell(self.started()).await;
        adopt(&host, &world);

        let ends = (door.clone(), window.clone());
        let recipes = Arc::new(self.recipes());
        let (host_, clock_) = (Arc::clone(&host), Arc::clone(&clock));
        let hands = Hands { forge, host: host_, clock: clock_ };
        let hands = Dispatcher::new(hands, recipes, ends);
        let mut tasks = JoinSet::new();
        tasks.spawn(controller.run());
        tasks.spawn(hands.run(orders));
        let facts = door.clone();
        tasks.spawn(async move {
            while let Some(host::Told { event, kept }) = told.recv().await {
                facts.keep(event, kept).await;
            }
        });
        tasks.spawn(carry(Arc::clone(&self.webhooks), door.clone(), Arc::clone(&clock)));
        tasks.spawn(beat(Arc::clone(&clock)));
        let (outside, books) = (self.outside.clone(), Arc::clone(&self.books));
        let mut daemon = Daemon { door, window, host, clock, outside, books, tasks };
        daemon.until("it has its configuration", |view, _| !view.world.hosts.is_empty()).await;
        daemon
    }

    /// Lets virtual time pass while no daemon is there.
    pub(super) async fn away(&self, time: Duration) {
        let until = self.clock.now().after(time);
        while self.clock.now() < until {
            self.clock.sleep_until(self.clock.now().after(BEAT)).await;
        }
    }

    /// All bytes of the store's files and of all logs.
    pub(super) fn written(&self) -> String {
        let mut all = String::new();
        read_all(self.dir.path(), &mut all);
        all
    }

    pub(super) fn host(&self, tell: mpsc::Sender<host::Told>) -> FakeHost {
        let options = Options { id: HOST, layout: Layout::new(self.dir.path()), uid_base: 100_000 };
        let outside = || self.outside.clone();
        let (vmm, net, images) = (FakeVmm(outside()), FakeNet(outside()), FakeImages(outside()));
        Host::new(options, vmm, net, images, tell)
    }

    pub(super) fn recipes(&self) -> Recipes {
        let source = Source { kernel: "/k/vmlinux".into(), image: "/i/rootfs.ext4".into() };
        let recipe = |(id, profile): (&ProfileId, &Profile)| {
            (
                id.clone(),
                Recipe {
                    profile: profile.clone(),
                    source: source.clone(),
                    images: BTreeMap::new(),
                    egress: Egress::internet(),
                    disk_rate: DiskRate::default(),
                },
            )
        };
        Recipes(self.profiles.iter().map(recipe).collect())
    }

    fn started(&self) -> Event {
        let host = flint_core::host::Host {
            capacity: self.capacity,
            slots: self.slots,
            draining: false,
            seen: self.clock.now(),
            scan_at: self.clock.now(),
        };
        let hosts = BTreeMap::from([(HOST, host)]);
        let owners = ["acme", "flint-demo"];
        let scopes = owners.map(|owner| (ScopeId::organization(owner), InstallationId::new(owner)));
        let scopes = BTreeMap::from(scopes);
        Event::Started {
            profiles: self.profiles.clone(),
            hosts,
            limits: self.limits.clone(),
            readers: scopes.values().take(1).cloned().collect(),
            scopes,
        }
    }
}

impl Daemon {
    /// Waits until a sentence about the daemon's view and the outside is true.
    pub(super) async fn until(
        &mut self,
        sentence: &str,
        mut is_true: impl FnMut(&View, &Outside) -> bool,
    ) {
        let limit = tokio::time::Instant::now() + PATIENCE;
        loop {
            let view = self.window.borrow().clone();
            let wrong = self.books.open().wrong.clone();
            assert!(wrong.is_empty(), "the audit found: {wrong:#?}");
            if is_true(&view, &self.outside) {
                return;
            }
            if let Some(ended) = self.tasks.try_join_next() {
                panic!("a task of the daemon ended while waiting until {sentence}: {ended:?}");
            }
            let now = tokio::time::Instant::now();
            assert!(now < limit, "never became true: {sentence}\n{}", self.told());
            self.clock.sleep_until(self.clock.now().after(BEAT)).await;
        }
    }

    /// Waits until no job is open and nothing is left of any microVM, neither here nor outside.
    pub(super) async fn until_quiet(&mut self) {
        let quiet = |view: &View, outside: &Outside| {
            let world = &view.world;
            world.jobs.is_empty() && world.vms.is_empty() && outside.leftovers().is_empty()
        };
        self.until("nothing is left", quiet).await;
    }

    /// Lets this much virtual time pass.
    pub(super) async fn pass(&mut self, time: Duration) {
        let until = self.clock.now().after(time);
        let clock = Arc::clone(&self.clock);
        self.until("time has passed", |_, _| clock.now() >= until).await;
    }

    /// The word and the sentence for why a job stands where it stands.
    pub(super) fn why(&self, job: JobKey) -> String {
        let view = self.window.borrow().clone();
        let answer = flint::daemon::rows::why_open(&view, job).expect("the job is open");
        format!("{}: {}", answer.because.unwrap_or(answer.state), answer.sentence)
    }

    /// Ends the daemon as `kill -9` does: no task of it takes another step.
    pub(super) async fn kill(mut self) {
        self.tasks.shutdown().await;
    }

    fn told(&self) -> String {
        let view = self.window.borrow().clone();
        let left = self.outside.leftovers();
        format!("{view:#?}\noutside: {left:#?}\nfinished: {:?}", self.outside.finished())
    }
}

/// As `daemon::serve` does it.
fn adopt(host: &FakeHost, world: &World) {
    for (id, vm) in world.vms.iter() {
        if !matches!(vm.phase, Phase::Launching | Phase::Stopping { .. }) {
            host.adopt(*id, vm.slot);
        }
    }
}

/// Carries deliveries to the door. One that is not taken is told again, by the next daemon if need be.
async fn carry(webhooks: Arc<tokio::sync::Mutex<Webhooks>>, door: Door, clock: Arc<FakeClock>) {
    let mut webhooks = webhooks.lock().await;
    loop {
        if webhooks.pending.is_none() {
            webhooks.pending = webhooks.told.recv().await;
        }
        let Some((guid, event)) = webhooks.pending.clone() else { return };
        match door.deliver(guid, event).await {
            Ok(_) => webhooks.pending = None,
            Err(_) => clock.sleep_until(clock.now().after(REDELIVERY)).await,
        }
    }
}

async fn beat(clock: Arc<FakeClock>) {
    loop {
        clock.sleep_until(clock.now().after(BEAT)).await;
    }
}

fn read_all(dir: &Path, all: &mut String) {
    for entry in std::fs::read_dir(dir).expect("a test's directory can be read") {
        let path = entry.expect("a test's directory can be read").path();
        if path.is_dir() {
            read_all(&path, all);
        } else {
            let bytes = std::fs::read(&path).expect("a listed file can be read");
            all.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
}
