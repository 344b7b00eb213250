//! One life: the agenda, the clock, and the four acts.

use super::Failed;
use super::daemon::Daemon;
use super::faults::Faults;
use super::outside::{Happening, MINUTE, Outside, RealHost, SECOND, request};
use super::rules::Memory;
use super::script::Script;
use super::setup::Setup;
use super::strangers;
use crate::rng::Rng;
use flint_core::event::{Event, OperatorEvent};
use flint_core::id::ProfileId;
use flint_core::job::JobRequest;
use flint_core::policy::Origin;
use flint_core::units::Timestamp;
use std::collections::BTreeMap;

/// When a life begins, in milliseconds.
const FIRST: u64 = 1_000;

/// All must have settled this long after the storm.
const PATIENCE: u64 = 24 * 60 * MINUTE;

/// How a life went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lived {
    /// Things that happened.
    pub steps: u64,
    /// Jobs that completed.
    pub jobs: u64,
    /// MicroVMs that were launched.
    pub vms: u64,
    /// Simulated time in milliseconds.
    pub simulated_ms: u64,
}

/// A life while it lasts.
pub struct Life {
    pub(super) setup: Setup,
    pub(super) rng: Rng,
    /// Those of the setup, until the storm is over.
    pub(super) faults: Faults,
    /// Milliseconds.
    pub(super) now: u64,
    /// How much the daemon's clock is behind.
    behind: u64,
    sequence: u64,
    agenda: BTreeMap<(u64, u64), Happening>,
    pub(super) outside: Outside,
    pub(super) daemon: Daemon,
    jobs_left: u64,
    next_job: u64,
    assign_due: bool,
    pub(super) calm: bool,
    steps: u64,
    /// What a checker found first.
    pub(super) fate: Option<String>,
    /// What the rules remember of what happened.
    pub(super) memory: Memory,
    /// What was told and ordered, if it is wanted.
    pub(super) script: Option<Script>,
    pub(super) trace: bool,
}

impl Life {
    /// The life that a setup leads to.
    #[must_use]
    pub fn new(setup: Setup, trace: bool) -> Self {
        let mut outside = Outside::default();
        for id in setup.hosts.keys() {
            outside.hosts.insert(*id, RealHost { up: true, ..RealHost::default() });
        }
        let mut life = Life {
            rng: Rng::fork(setup.seed),
            faults: setup.faults.clone(),
            // Longer after the epoch than anything looks back.
            now: FIRST,
            behind: 0,
            sequence: 0,
            agenda: BTreeMap::new(),
            outside,
            daemon: Daemon::new(),
            jobs_left: setup.jobs,
            next_job: 1,
            assign_due: false,
            calm: false,
            steps: 0,
            fate: None,
            memory: Memory::default(),
            script: None,
            trace,
            setup,
        };
        life.later(0, Happening::DaemonStarts);
        for set in life.setup.sets() {
            life.later(2, Happening::SetIsCounted(set));
        }
        life.later(5, Happening::JobArrives);
        life.later(MINUTE, Happening::Misfortune);
        life
    }

    /// The same, and what is told and ordered in it is written down.
    #[must_use]
    pub(super) fn written(setup: Setup) -> Self {
        let script = Some(Script::default());
        Life { script, ..Life::new(setup, false) }
    }

    /// Lives it to its end.
    ///
    /// # Errors
    /// [`Failed`] when a checker found something that should never be.
    pub fn run(mut self) -> Result<Lived, Failed> {
        self.live()
    }

    pub(super) fn live(&mut self) -> Result<Lived, Failed> {
        while self.jobs_left > 0 || self.now < FIRST + self.setup.storm {
            self.step()?;
        }
        self.calm_down();
        let mut encores = self.setup.encores();
        let deadline = self.now + PATIENCE;
        while self.now < deadline {
            if self.steps.is_multiple_of(16) && self.pending().is_none() {
                let Some((profile, repository)) = encores.pop() else { return Ok(self.lived()) };
                let (labels, private) = (vec![profile.to_string()], Origin::PRIVATE);
                self.arrive(labels, repository, (private, private));
            }
            self.step()?;
        }
        let why = self.pending().unwrap_or_else(|| "no time was left for the encores".to_owned());
        Err(self.failed(why))
    }

    fn lived(&self) -> Lived {
        let (steps, jobs, simulated_ms) = (self.steps, self.next_job - 1, self.now - FIRST);
        Lived { steps, jobs, vms: self.daemon.stored.next_vm, simulated_ms }
    }

    fn failed(&self, why: String) -> Failed {
        Failed { seed: self.setup.seed, at_ms: self.at().0, why }
    }

    /// The faults end, whoever was away comes back, and what was drained takes work again.
    fn calm_down(&mut self) {
        self.say("the storm is over");
        self.calm = true;
        self.faults = Faults::none();
        for id in self.setup.hosts.keys().copied().collect::<Vec<_>>() {
            self.host_returns(id);
            self.later(5 * MINUTE, Happening::Undrain(id));
        }
    }

    fn step(&mut self) -> Result<(), Failed> {
        let Some(((at, _), happening)) = self.agenda.pop_first() else {
            return Err(self.failed("nothing will ever happen again".to_owned()));
        };
        // The clock may have jumped over it.
        self.now = self.now.max(at);
        self.steps += 1;
        self.happen(happening);
        self.check();
        match self.fate.take() {
            Some(why) => Err(self.failed(why)),
            None => Ok(()),
        }
    }

    pub(super) fn later(&mut self, after: u64, happening: Happening) {
        self.sequence += 1;
        self.agenda.insert((self.now + after, self.sequence), happening);
    }

    /// After as long as things take on a wire.
    pub(super) fn soon(&mut self, happening: Happening) {
        let after = 1 + self.rng.below(self.faults.delay_ms);
        self.later(after, happening);
    }

    /// The machine sleeps for a while, or its clock is set back a little, or is set right again.
    pub(super) fn jump(&mut self) {
        if self.rng.chance(500) {
            let by = self.rng.between(SECOND, 90 * MINUTE);
            self.say(&format!("the machine sleeps for {} s", by / SECOND));
            self.now += by;
        } else {
            let behind = if self.behind == 0 { self.rng.between(SECOND, 2 * MINUTE) } else { 0 };
            self.behind = behind.min(self.now - FIRST);
            self.say(&format!("the clock is {behind} ms behind"));
        }
        self.memory.clock_jumped(self.now);
        for guest in self.outside.guests.values_mut() {
            guest.excused = true;
        }
    }

    /// By the daemon's clock.
    pub(super) fn at(&self) -> Timestamp {
        Timestamp(self.now - self.behind)
    }

    pub(super) fn find(&mut self, fault: String) {
        self.fate.get_or_insert(fault);
    }

    #[expect(clippy::print_stderr, reason = "a trace is for the eyes of who asked for it")]
    pub(super) fn say(&self, text: &str) {
        if self.trace {
            eprintln!("{:>10} {text}", self.at().0);
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::JobArrives => self.job_arrives(),
            Happening::JobCancelled(job) => self.job_cancelled(job),
            Happening::JobHeld(job) => self.job_held(job),
            Happening::Released(job) => self.released(job),
            Happening::Assign => {
                self.assign_due = false;
                self.assign();
            }
            Happening::StepsEnd(job) => self.steps_end(job),
            Happening::JobEnds(job) => self.job_ends(job),
            Happening::RunnerLost(job) => self.runner_lost(job),
            Happening::IdleRemoved(name) => self.idle_removed(&name),
            Happening::Webhook(event) => self.webhook_arrives(event),
            Happening::SetSpeaks(set) => self.set_speaks(set),
            Happening::SetIsCounted(set) => self.set_is_counted(set),
            Happening::GuestReady(vm) => self.guest_ready(vm),
            Happening::RunnerStarts(vm) => self.runner_starts(vm),
            Happening::PowersOff(vm) => self.guest_ends(vm),
            Happening::Said(vm, said) => self.said(vm, said),
            Happening::Answer(life, event) => self.answer(life, event),
            Happening::Answers(life, events) => self.answers(life, events),
            Happening::Command(event) => self.operator(event),
            Happening::LaunchStep(life, action, step) => self.launch_step(life, action, step),
            Happening::Registers(life, action) => self.registers(life, &action),
            Happening::Removes(life, action) => self.removes(life, &action),
            Happening::Destroys(life, action) => self.destroys(life, &action),
            Happening::HostLists(life, host, asked) => self.host_lists(life, host, asked),
            Happening::Asked(life, question, asked) => self.asked(life, &question, asked),
            Happening::Wake(at) => self.wake(at),
            Happening::DaemonStarts => self.daemon_starts(),
            Happening::HostReturns(host) => self.host_returns(host),
            Happening::Undrain(host) => {
                let undrain = OperatorEvent::Drain { host, draining: false };
                self.operator(Event::Operator(undrain));
            }
            Happening::Misfortune => self.misfortune(),
        }
    }

    fn job_arrives(&mut self) {
        if self.jobs_left == 0 {
            return;
        }
        self.jobs_left -= 1;
        let profiles: Vec<ProfileId> = self.setup.profiles.keys().cloned().collect();
        let own = self.rng.pick(&profiles).map(|id| id.to_string());
        let hooked = self.setup.sets().len() < self.setup.profiles.len();
        let labels = match self.rng.below(20) {
            // Any profile serves it that hears by webhooks.
            0 | 1 if hooked => vec!["linux".to_owned()],
            // Not ours.
            2 => vec!["ubuntu-latest".to_owned()],
            _ => own.into_iter().map(|own| self.sized(own)).collect(),
        };
        let private = (Origin::PRIVATE, Origin::PRIVATE);
        let origin = if self.setup.strangers { strangers::draw(&mut self.rng) } else { private };
        // One repository has most of the jobs.
        let repositories = self.setup.repositories_of(self.set_for(&labels).as_ref());
        let (first, any) = (repositories.first().cloned(), self.rng.pick(&repositories));
        let repository = if self.rng.chance(500) { first } else { any }.unwrap_or_default();
        self.arrive(labels, repository, origin);
        let together = self.setup.crowd || self.rng.chance(500);
        let gap = if together { 10 } else { 3 * MINUTE };
        let after = self.rng.below(gap);
        self.later(after, Happening::JobArrives);
    }

    fn arrive(
        &mut self,
        labels: Vec<String>,
        repository: String,
        (origin, told): (Origin, Origin),
    ) {
        let id = self.next_job;
        self.next_job += 1;
        self.say(&format!("job {id} of {repository} is queued for {labels:?}"));
        let scale_set = self.set_for(&labels);
        let request = JobRequest { origin: told, scale_set, ..request(id, labels, repository) };
        self.new_job(id, request, origin);
    }

    /// GitHub looks for a match shortly after anything changed.
    pub(super) fn assign_soon(&mut self) {
        if !self.assign_due {
            self.assign_due = true;
            let after = self.rng.between(1, 4 * SECOND);
            self.later(after, Happening::Assign);
        }
    }
}
