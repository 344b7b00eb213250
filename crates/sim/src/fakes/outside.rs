//! What the fakes share: GitHub's queue and runners, the host's microVMs, disks and networks, and what goes wrong.

use super::FakeClock;
use super::guest::{Guest, SECRET};
use super::ledger::Ledger;
use super::post::Post;
use crate::github::FakeGithub;
use flint::daemon::clock::Clock as _;
use flint_core::event::{Event, ForgeEvent};
use flint_core::id::{JobKey, RunnerName, ScopeId, Slot, VmId};
use flint_core::job::{Conclusion, JobRequest};
use flint_core::policy::Origin;
use flint_core::units::Timestamp;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// The outside of one test. Clones share it.
#[derive(Clone)]
pub struct Outside {
    state: Arc<Mutex<State>>,
    told: mpsc::UnboundedSender<Told>,
    /// Changes whenever a waiting runner should look again.
    changed: Arc<watch::Sender<u64>>,
    clock: FakeClock,
}

/// Where jobs come from that name no repository.
const REPOSITORY: &str = "flint-demo/widgets";
/// Whose it is.
const OWNER: &str = "flint-demo";

/// GitHub's numbers are large and not ours to choose.
const FIRST_RUNNER: u64 = 4_711;

/// What GitHub would send as a webhook, with its GUID.
pub type Told = (String, Event);

/// How unkind the outside is; a test may change it at any time.
#[derive(Clone, Debug)]
pub struct Faults {
    /// The next registrations are answered with these HTTP statuses.
    pub register: VecDeque<u16>,
    /// So are the next questions.
    pub ask: VecDeque<u16>,
    /// The next registrations are really made, but their answer is lost.
    pub register_answer_lost: u32,
    /// The next registrations never end: their task panics.
    pub register_panics: u32,
    /// How long a registration is on the wire before GitHub makes it.
    pub register_takes: Duration,
    /// The next removals are refused: the runner has just been given a job.
    pub deregister_busy: u32,
    /// The next kills fail.
    pub kill: u32,
    /// How long a boot takes: GitHub usually answers before it is over.
    pub boot_takes: Duration,
    /// The next boots fail.
    pub boot: u32,
    /// Guests booted from now on never answer.
    pub guest_silent: bool,
    /// Runners started from now on end at once with this code.
    pub runner_exits: Option<i32>,
    /// Guests lose power this long after their job began.
    pub power_lost_after: Option<Duration>,
    /// Scratch disks find no room.
    pub disk_full: bool,
    /// The next network set-ups fail.
    pub net: u32,
    /// How long a job runs.
    pub job_takes: Duration,
    /// So many webhooks in a thousand fail, and are listed as failed.
    pub webhooks_dropped: u64,
    /// So many in a thousand are lost without a trace.
    pub webhooks_vanish: u64,
    /// So many in a thousand are sent twice.
    pub webhooks_twice: u64,
    /// So many in a thousand come late, and are overtaken.
    pub webhooks_reordered: u64,
}

/// The state behind the lock; never held across an await.
pub(super) struct State {
    pub(super) faults: Faults,
    pub(super) queue: VecDeque<(JobKey, JobRequest)>,
    /// The jobs that have ended.
    pub(super) ended: BTreeMap<JobKey, Ended>,
    /// Where runs come from, of which a webhook did not tell all.
    pub(super) origins: BTreeMap<u64, Origin>,
    /// When each repository was last pushed to.
    pub(super) pushed: BTreeMap<String, Timestamp>,
    /// How many jobs of each repository a runner took.
    begun: BTreeMap<String, usize>,
    /// The version of the runner in the image, as guests tell it.
    image_runner: Option<String>,
    /// The versions of it that GitHub tells of.
    pub(super) releases: flint_core::runner_version::Releases,
    /// Registered runners.
    pub(super) runners: BTreeMap<RunnerName, Runner>,
    pub(super) next_runner: u64,
    /// The calls that were made, as GitHub counts them.
    pub(super) ledger: Ledger,
    pub(super) finished: Vec<(JobKey, VmId)>,
    /// Running microVMs.
    pub(super) machines: BTreeMap<VmId, Machine>,
    /// The most that ran at one time.
    pub(super) most_at_once: usize,
    /// The microVMs whose guest was handed a secret.
    pub(super) armed: Vec<VmId>,
    pub(super) jails: BTreeSet<VmId>,
    pub(super) disks: BTreeSet<VmId>,
    pub(super) networks: BTreeSet<Slot>,
    pub(super) launches: u64,
    pub(super) post: Post,
    /// Who has the jobs and the runners, if not this.
    employer: Option<Arc<FakeGithub>>,
    /// What the employer gave to whom.
    given: BTreeMap<RunnerName, u64>,
}

/// A job that has ended.
pub(super) struct Ended {
    pub(super) request: JobRequest,
    pub(super) runner: Option<RunnerName>,
    pub(super) conclusion: Conclusion,
}

/// A registration.
pub(super) struct Runner {
    pub(super) labels: BTreeSet<String>,
    /// Where it is registered.
    pub(super) scope: ScopeId,
    /// The job it was given.
    pub(super) job: Option<(JobKey, JobRequest)>,
}

/// The process of one microVM.
pub(super) struct Machine {
    /// Says "your power is off".
    pub(super) power: watch::Sender<bool>,
    pub(super) guest: Guest,
}

impl Default for Faults {
    fn default() -> Self {
        Faults {
            register: VecDeque::new(),
            ask: VecDeque::new(),
            register_answer_lost: 0,
            register_panics: 0,
            register_takes: Duration::ZERO,
            deregister_busy: 0,
            kill: 0,
            boot_takes: Duration::from_millis(500),
            boot: 0,
            guest_silent: false,
            runner_exits: None,
            power_lost_after: None,
            disk_full: false,
            net: 0,
            job_takes: Duration::from_secs(30),
            webhooks_dropped: 0,
            webhooks_vanish: 0,
            webhooks_twice: 0,
            webhooks_reordered: 0,
        }
    }
}

impl Outside {
    /// A kind outside, and the stream of the webhooks it sends.
    #[must_use]
    pub fn new() -> (Self, mpsc::UnboundedReceiver<Told>) {
        let (told, webhooks) = mpsc::unbounded_channel();
        let state = State {
            faults: Faults::default(),
            queue: VecDeque::new(),
            ended: BTreeMap::new(),
            origins: BTreeMap::new(),
            image_runner: None,
            releases: Default::default(),
            pushed: BTreeMap::new(),
            begun: BTreeMap::new(),
            runners: BTreeMap::new(),
            next_runner: FIRST_RUNNER,
            ledger: Ledger::default(),
            finished: Vec::new(),
            machines: BTreeMap::new(),
            most_at_once: 0,
            armed: Vec::new(),
            jails: BTreeSet::new(),
            disks: BTreeSet::new(),
            networks: BTreeSet::new(),
            launches: 0,
            post: Post::default(),
            employer: None,
            given: BTreeMap::new(),
        };
        let changed = Arc::new(watch::Sender::new(0));
        let (state, clock) = (Arc::new(Mutex::new(state)), FakeClock::start());
        (Outside { state, told, changed, clock }, webhooks)
    }

    /// Makes the outside unkind, or kind again.
    pub fn faults(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.lock().faults);
    }

    /// From now on jobs and runners are those of this GitHub, which the daemon asks over the wire; whoever moves its clock
    /// calls [`Self::wake`].
    pub fn work_for(&self, employer: Arc<FakeGithub>) {
        self.lock().employer = Some(employer);
    }

    /// The runner that a registration is for.
    pub(super) fn runner_of(&self, jit_config: &str) -> RunnerName {
        let theirs = self.lock().employer.is_some();
        let named = if theirs { crate::runner::runner_name(jit_config) } else { None };
        let made_up = || jit_config.strip_prefix(SECRET).unwrap_or_default().to_owned();
        RunnerName::told(&named.unwrap_or_else(made_up))
    }

    /// Chooses the course of everything that is left to chance.
    pub fn seed(&self, seed: u64) {
        self.lock().post.seed(seed);
    }

    /// Queues a job at GitHub, which tells so.
    pub fn queue(&self, id: u64, labels: &[&str]) -> JobKey {
        self.queue_in(REPOSITORY, id, labels)
    }

    /// Queues a job that comes from somewhere, of which its webhook tells only this.
    pub fn queue_from(&self, origin: Origin, told: Origin, id: u64, labels: &[&str]) -> JobKey {
        self.lock().origins.insert(id, origin);
        self.queue_as(REPOSITORY, told, id, labels)
    }

    /// Queues a job of this repository (`owner/name`), each by a push of its own.
    pub fn queue_in(&self, repository: &str, id: u64, labels: &[&str]) -> JobKey {
        self.queue_as(repository, Origin::PRIVATE, id, labels)
    }

    fn queue_as(&self, repository: &str, origin: Origin, id: u64, labels: &[&str]) -> JobKey {
        let job = JobKey { id, attempt: 1 };
        let request = JobRequest {
            repository: repository.to_owned(),
            workflow: "CI".to_owned(),
            name: format!("job {id}"),
            labels: labels.iter().map(|label| (*label).to_owned()).collect(),
            run_id: id,
            url: format!("https://github.com/{repository}/actions/runs/{id}"),
            scale_set: None,
            origin,
        };
        let mut state = self.lock();
        state.queue.push_back((job, request.clone()));
        state.pushed.insert(repository.to_owned(), self.clock.now());
        drop(state);
        self.webhook(ForgeEvent::JobQueued { job, request });
        self.wake();
        job
    }

    /// Cancels a job that is still queued, which GitHub tells as completed.
    pub fn cancel(&self, job: JobKey) {
        let mut state = self.lock();
        let Some(at) = state.queue.iter().position(|(key, _)| *key == job) else { return };
        let Some((_, request)) = state.queue.remove(at) else { return };
        drop(state);
        self.completed(job, Ended { request, runner: None, conclusion: word("cancelled") });
    }

    /// GitHub forgets a job, as it does when somebody deletes its run. It tells nobody.
    pub fn delete_run(&self, job: JobKey) {
        let mut state = self.lock();
        state.queue.retain(|(key, _)| *key != job);
        state.ended.remove(&job);
    }

    /// GitHub removes an idle runner, as it does after minutes. It tells nobody.
    pub fn unregister(&self, name: &RunnerName) {
        let mut state = self.lock();
        if state.runners.get(name).is_some_and(|runner| runner.job.is_none()) {
            state.runners.remove(name);
        }
    }

    /// How many jobs of each repository a runner took so far.
    #[must_use]
    pub fn begun(&self) -> BTreeMap<String, usize> {
        self.lock().begun.clone()
    }

    /// How many jobs of this repository wait for a runner.
    #[must_use]
    pub fn waiting(&self, repository: &str) -> usize {
        self.lock().queue.iter().filter(|(_, job)| job.repository == repository).count()
    }

    /// The jobs that ran to their end, each with its microVM.
    #[must_use]
    pub fn finished(&self) -> Vec<(JobKey, VmId)> {
        self.lock().finished.clone()
    }

    /// How many microVMs were ever booted.
    #[must_use]
    pub fn launches(&self) -> u64 {
        self.lock().launches
    }

    /// The most microVMs that ever ran at one time.
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        self.lock().most_at_once
    }

    /// How many calls GitHub refused because there were too many.
    #[must_use]
    pub fn refused(&self) -> u32 {
        self.lock().ledger.refused
    }

    /// How many registrations GitHub ever made.
    #[must_use]
    pub fn registrations(&self) -> u64 {
        self.lock().next_runner - FIRST_RUNNER
    }

    /// The microVMs whose guest was handed a secret, in that order.
    #[must_use]
    pub fn armed(&self) -> Vec<VmId> {
        self.lock().armed.clone()
    }

    /// The microVMs whose process runs.
    #[must_use]
    pub fn running(&self) -> Vec<VmId> {
        self.lock().machines.keys().copied().collect()
    }

    /// The names of all registered runners.
    #[must_use]
    pub fn runners(&self) -> Vec<RunnerName> {
        self.lock().runners.keys().cloned().collect()
    }

    /// Puts a runner of this version into the image, and tells of these as released.
    pub fn release_runners(&self, image: &str, releases: &[(&str, Timestamp)]) {
        let mut state = self.lock();
        state.image_runner = Some(image.to_owned());
        for (version, at) in releases {
            let version = version.parse().expect("a test's versions are some");
            state.releases.learn(version, flint_core::runner_version::Since::Released(*at));
        }
    }

    pub(super) fn image_runner(&self) -> Option<String> {
        self.lock().image_runner.clone()
    }

    /// A runner that was registered by nobody knows whom.
    pub fn register_stray(&self, name: &str) {
        let (labels, scope) = (BTreeSet::new(), ScopeId::organization(OWNER));
        let runner = Runner { labels, scope, job: None };
        self.lock().runners.insert(RunnerName::told(name), runner);
    }

    /// What a daemon with another store left behind: a jail, a disk and a network.
    pub fn leave_behind(&self, vm: VmId, slot: Slot) {
        let mut state = self.lock();
        state.jails.insert(vm);
        state.disks.insert(vm);
        state.networks.insert(slot);
    }

    /// Everything that is left outside, in words; empty when nothing is.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        let state = self.lock();
        let runners = state.runners.keys().map(|name| format!("runner {name}"));
        let jails = state.jails.iter().map(|vm| format!("jail of {vm}"));
        let disks = state.disks.iter().map(|vm| format!("disk of {vm}"));
        let networks = state.networks.iter().map(|slot| format!("network of slot {slot}"));
        let powered = state.machines.keys().map(|vm| format!("process of {vm}"));
        runners.chain(jails).chain(disks).chain(networks).chain(powered).collect()
    }

    /// Takes the power from a microVM, as a crash would.
    pub fn cut_power(&self, vm: VmId) {
        if let Some(machine) = self.lock().machines.remove(&vm) {
            machine.power.send_replace(false);
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no fake panics while it holds the lock")
    }

    /// Lets every waiting runner look again.
    pub fn wake(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn webhook(&self, event: ForgeEvent) {
        let mut state = self.lock();
        let faults = state.faults.clone();
        let (guid, delays) = state.post.send(&faults, &event, self.clock.now());
        drop(state);
        let word = (guid, Event::Forge(event));
        for delay in delays {
            let (told, word) = (self.told.clone(), word.clone());
            if delay.is_zero() {
                // A test that no longer listens has seen enough.
                drop(told.send(word));
                continue;
            }
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                drop(told.send(word));
            });
        }
    }

    fn completed(&self, job: JobKey, ended: Ended) {
        let Ended { request, runner, conclusion } = &ended;
        let (request, runner, conclusion) = (request.clone(), runner.clone(), conclusion.clone());
        self.lock().ended.insert(job, ended);
        self.webhook(ForgeEvent::JobCompleted { job, request, runner, conclusion });
    }

    /// Gives a registered, free runner the oldest queued job that fits it.
    pub(super) fn take_job(&self, name: &RunnerName) -> Option<(JobKey, JobRequest)> {
        let employer = self.lock().employer.clone();
        if let Some(github) = employer {
            return self.take_over_the_wire(&github, name);
        }
        let mut state = self.lock();
        let runner = state.runners.get(name).filter(|runner| runner.job.is_none())?;
        let fits = |request: &JobRequest| {
            let here = runner.scope.covers(&request.repository);
            here && request.labels.iter().all(|label| runner.labels.contains(label))
        };
        let at = state.queue.iter().position(|(_, request)| fits(request))?;
        let (job, request) = state.queue.remove(at)?;
        state.runners.get_mut(name)?.job = Some((job, request.clone()));
        *state.begun.entry(request.repository.clone()).or_default() += 1;
        drop(state);
        let (runner, told) = (Some(name.clone()), request.clone());
        self.webhook(ForgeEvent::JobStarted { job, request: told, runner });
        Some((job, request))
    }

    fn take_over_the_wire(
        &self,
        github: &FakeGithub,
        name: &RunnerName,
    ) -> Option<(JobKey, JobRequest)> {
        let id = github.begin_job(name.as_str())?;
        self.lock().given.insert(name.clone(), id);
        let request = JobRequest {
            repository: REPOSITORY.to_owned(),
            workflow: String::new(),
            name: format!("job {id}"),
            labels: Vec::new(),
            run_id: 0,
            url: String::new(),
            scale_set: None,
            origin: Origin::PRIVATE,
        };
        Some((JobKey { id, attempt: 1 }, request))
    }

    /// Whether GitHub holds this runner for busy.
    pub(super) fn has_job(&self, name: &RunnerName) -> bool {
        let given = self.lock().given.contains_key(name);
        given || self.lock().runners.get(name).is_some_and(|runner| runner.job.is_some())
    }

    /// A runner reports its job's end; GitHub removes the one-job registration by itself.
    pub(super) fn end_job(&self, name: &RunnerName, vm: VmId, conclusion: &str) {
        let mut state = self.lock();
        if let (Some(github), Some(job)) = (state.employer.clone(), state.given.remove(name)) {
            drop(state);
            return github.end_job(job, conclusion);
        }
        let Some((job, request)) = state.runners.remove(name).and_then(|runner| runner.job) else {
            return;
        };
        if conclusion == "success" {
            state.finished.push((job, vm));
        }
        drop(state);
        let (runner, conclusion) = (Some(name.clone()), word(conclusion));
        self.completed(job, Ended { request, runner, conclusion });
    }
}

fn word(conclusion: &str) -> Conclusion {
    Conclusion(conclusion.to_owned())
}
