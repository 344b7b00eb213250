//! One life: the agenda, the clock, and the four acts.

use super::Failed;
use super::daemon::Daemon;
use super::faults::Faults;
use super::outside::{
    Happening, MINUTE, Outside, RealHost, SECOND, draw_hosts, draw_profiles, key, request,
};
use super::rng::Rng;
use flint_core::event::{Event, ForgeEvent, OperatorEvent};
use flint_core::id::ProfileId;
use flint_core::units::Timestamp;
use std::collections::BTreeMap;

/// The storm lasts at least this long.
const STORM: u64 = 60 * MINUTE;

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
    pub(super) seed: u64,
    pub(super) rng: Rng,
    pub(super) faults: Faults,
    /// Milliseconds.
    pub(super) now: u64,
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
    pub(super) trace: bool,
}

impl Life {
    /// Draws a life.
    #[must_use]
    pub fn new(seed: u64, trace: bool) -> Self {
        let mut rng = Rng::new(seed);
        let faults = Faults::draw(&mut rng);
        let daemon = Daemon::new(draw_profiles(&mut rng), draw_hosts(&mut rng));
        let mut outside = Outside::default();
        for id in daemon.hosts.keys() {
            outside.hosts.insert(*id, RealHost { up: true, ..RealHost::default() });
        }
        let jobs_left = rng.between(5, 40);
        let mut life = Life {
            seed,
            rng,
            faults,
            now: 1_000,
            sequence: 0,
            agenda: BTreeMap::new(),
            outside,
            daemon,
            jobs_left,
            next_job: 1,
            assign_due: false,
            calm: false,
            steps: 0,
            fate: None,
            trace,
        };
        life.later(0, Happening::DaemonStarts);
        life.later(5, Happening::JobArrives);
        life.later(MINUTE, Happening::Misfortune);
        life
    }

    /// Lives it to its end.
    ///
    /// # Errors
    /// [`Failed`] when a checker found something that should never be.
    pub fn run(mut self) -> Result<Lived, Failed> {
        while self.jobs_left > 0 || self.now < STORM {
            self.step()?;
        }
        self.calm_down();
        let mut encores: Vec<ProfileId> = self.daemon.profiles.keys().cloned().collect();
        let deadline = self.now + PATIENCE;
        while self.now < deadline {
            if self.steps.is_multiple_of(16) && self.pending().is_none() {
                let Some(profile) = encores.pop() else { return Ok(self.lived()) };
                self.arrive(vec![profile.to_string()]);
            }
            self.step()?;
        }
        let why = self.pending().unwrap_or_else(|| "no time was left for the encores".to_owned());
        Err(self.failed(why))
    }

    fn lived(&self) -> Lived {
        let (steps, jobs, simulated_ms) = (self.steps, self.next_job - 1, self.now);
        Lived { steps, jobs, vms: self.daemon.stored.next_vm, simulated_ms }
    }

    fn failed(&self, why: String) -> Failed {
        Failed { seed: self.seed, at_ms: self.now, why }
    }

    /// The faults end, whoever was away comes back, and what was drained takes work again.
    fn calm_down(&mut self) {
        self.say("the storm is over");
        self.calm = true;
        self.faults = Faults::none();
        for id in self.daemon.hosts.keys().copied().collect::<Vec<_>>() {
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

    pub(super) fn jump(&mut self, by: u64) {
        self.say(&format!("the clock jumps by {} s", by / SECOND));
        self.now += by;
        for guest in self.outside.guests.values_mut() {
            guest.excused = true;
        }
    }

    pub(super) fn at(&self) -> Timestamp {
        Timestamp(self.now)
    }

    pub(super) fn find(&mut self, fault: String) {
        self.fate.get_or_insert(fault);
    }

    #[expect(clippy::print_stderr, reason = "a trace is for the eyes of who asked for it")]
    pub(super) fn say(&self, text: &str) {
        if self.trace {
            eprintln!("{:>10} {text}", self.now);
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::JobArrives => self.job_arrives(),
            Happening::JobCancelled(job) => self.job_cancelled(job),
            Happening::Assign => {
                self.assign_due = false;
                self.assign();
            }
            Happening::StepsEnd(job) => self.steps_end(job),
            Happening::JobEnds(job) => self.job_ends(job),
            Happening::RunnerLost(job) => self.runner_lost(job),
            Happening::IdleRemoved(name) => self.idle_removed(&name),
            Happening::Webhook(event) => self.webhook_arrives(event),
            Happening::GuestReady(vm) => self.guest_ready(vm),
            Happening::RunnerStarts(vm) => self.runner_starts(vm),
            Happening::PowersOff(vm) => self.guest_ends(vm),
            Happening::Said(vm, said) => self.said(vm, said),
            Happening::Answer(life, event) => self.answer(life, event),
            Happening::LaunchStep(life, action, step) => self.launch_step(life, action, step),
            Happening::Registers(life, action) => self.registers(life, &action),
            Happening::Removes(life, action) => self.removes(life, &action),
            Happening::Destroys(life, action) => self.destroys(life, &action),
            Happening::HostLists(life, host, asked) => self.host_lists(life, host, asked),
            Happening::Asked(life, question, asked) => self.asked(life, question, asked),
            Happening::Wake => self.wake(),
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
        let profiles: Vec<ProfileId> = self.daemon.profiles.keys().cloned().collect();
        let own = self.rng.pick(&profiles).map(|id| id.to_string());
        let labels = match self.rng.below(20) {
            // Any profile serves it.
            0 | 1 => vec!["linux".to_owned()],
            // Not ours.
            2 => vec!["ubuntu-latest".to_owned()],
            _ => own.into_iter().collect(),
        };
        self.arrive(labels);
        let gap = if self.rng.chance(500) { 10 } else { 3 * MINUTE };
        let after = self.rng.below(gap);
        self.later(after, Happening::JobArrives);
    }

    fn arrive(&mut self, labels: Vec<String>) {
        let id = self.next_job;
        self.next_job += 1;
        self.say(&format!("job {id} is queued for {labels:?}"));
        let request = request(id, labels);
        self.new_job(id, request.clone());
        let job = key(id);
        self.webhook(Event::Forge(ForgeEvent::JobQueued { job, request }));
        if self.rng.chance(self.faults.job_cancelled) {
            let after = self.rng.below(3 * MINUTE);
            self.later(after, Happening::JobCancelled(id));
        }
        self.assign_soon();
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
