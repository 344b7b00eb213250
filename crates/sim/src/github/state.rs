//! What the fake GitHub knows, and the rules by which it changes. No I/O; the time is told.

use super::apps::Apps;
use super::org::{Organization, Repo, Run};
use super::scale_sets::Sets;
use super::software::RunnerRelease;
use super::workflow::JobSpec;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// Milliseconds since 1970.
pub(super) type Millis = u64;

/// A job as seen from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobView {
    /// `workflow_job.id`.
    pub id: u64,
    /// `workflow_job.run_id`.
    pub run: u64,
    /// `workflow_job.run_attempt`.
    pub attempt: u32,
    /// Its repository's name, without the owner.
    pub repository: String,
    /// Display name.
    pub name: String,
    /// `runs-on`.
    pub labels: Vec<String>,
    /// `waiting`, `queued`, `in_progress`, `completed`.
    pub status: String,
    /// Once completed.
    pub conclusion: Option<String>,
    /// Who ran it.
    pub runner: Option<String>,
    /// Milliseconds since 1970.
    pub queued_ms: u64,
    /// When a runner took it.
    pub started_ms: Option<u64>,
    /// When it ended.
    pub completed_ms: Option<u64>,
}

/// A registration as seen from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerView {
    /// GitHub's number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Whether it has a job.
    pub busy: bool,
    /// Whether its listener is connected.
    pub online: bool,
}

/// How many jobs stand where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Held back.
    pub waiting: usize,
    /// For a runner; one that was offered and not fetched counts here.
    pub queued: usize,
    /// With a runner.
    pub in_progress: usize,
    /// Ended, however.
    pub completed: usize,
}

#[derive(Clone)]
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) run_id: u64,
    pub(super) attempt: u32,
    pub(super) repo: Repo,
    pub(super) spec: Arc<JobSpec>,
    pub(super) stage: Stage,
    pub(super) runner: Option<Taker>,
    pub(super) conclusion: Option<String>,
    pub(super) queued: Millis,
    pub(super) started: Option<Millis>,
    pub(super) completed: Option<Millis>,
    pub(super) cancel_asked: bool,
}

/// The runner of a job, which may be gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Taker {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) group: u64,
    pub(super) group_name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Held back: no runner can have it.
    Waiting,
    Queued,
    /// Offered to a runner that has not fetched it yet.
    Offered {
        at: Millis,
    },
    InProgress {
        renewed: Millis,
    },
    Completed,
}

pub(super) struct Runner {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) labels: Vec<String>,
    pub(super) group: u64,
    pub(super) scope: String,
    /// The scale set that it was made for: it gets that set's jobs and no others.
    pub(super) set: Option<u64>,
    pub(super) client_id: String,
    pub(super) session: Option<String>,
    /// Since when it is connected without a job.
    pub(super) idle: Option<Millis>,
    pub(super) job: Option<u64>,
    pub(super) messages: VecDeque<Message>,
    /// It had its one job: the registration is gone, only the goodbye is still answered.
    pub(super) spent: bool,
}

#[derive(Clone)]
pub(super) enum Message {
    Job(u64),
    Cancel(u64),
}

/// A webhook to send.
pub(super) struct Told {
    pub(super) action: &'static str,
    pub(super) job: Job,
}

/// After how long the server does something by itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) pickup: Millis,
    pub(super) lock: Millis,
    pub(super) idle: Option<Millis>,
}

#[derive(Default)]
pub(super) struct State {
    next: u64,
    pub(super) org: Organization,
    pub(super) sets: Sets,
    pub(super) apps: Apps,
    pub(super) jobs: BTreeMap<u64, Job>,
    /// The jobs that stand in a stage, oldest first: nothing looks at all jobs to find a few.
    pub(super) waiting: BTreeSet<u64>,
    pub(super) queued: BTreeSet<u64>,
    offered: BTreeSet<u64>,
    running: BTreeSet<u64>,
    pub(super) logs: BTreeMap<u64, Vec<String>>,
    pub(super) runners: BTreeMap<u64, Runner>,
    /// Installation tokens and when they end.
    pub(super) tokens: BTreeMap<String, Millis>,
    /// Access tokens of runners.
    pub(super) access: BTreeMap<String, u64>,
    /// What was ever handed out to a daemon.
    pub(super) secrets: Vec<String>,
    pub(super) outbox: Vec<Told>,
    /// Releases of the runner, in their order.
    pub(super) software: Vec<RunnerRelease>,
}

impl State {
    /// Numbers begin above what a test might write by hand.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        1000 + self.next
    }

    /// Starts a run of these jobs. None: there is no such repository.
    pub(super) fn queue(
        &mut self,
        (repository, from_fork): (&str, bool),
        specs: Vec<JobSpec>,
        now: Millis,
    ) -> Option<Vec<u64>> {
        let repo = self.org.repository(repository)?.repo.clone();
        let workflow = specs.first().map(|spec| spec.workflow.clone()).unwrap_or_default();
        let id = self.number();
        let run = Run { id, repo, workflow, created: now, attempts: Vec::new(), from_fork };
        self.org.runs.insert(id, run);
        let repository = self.org.repositories.get_mut(&repository.to_ascii_lowercase())?;
        repository.runs.insert(id);
        repository.pushed = now;
        self.attempt(id, specs.into_iter().map(Arc::new).collect(), now)
    }

    /// Runs all jobs of a run again, under new ids, as GitHub does. None: it has not ended, or there is none.
    pub(super) fn rerun(&mut self, run: u64, now: Millis) -> Option<Vec<u64>> {
        let last = self.org.runs.get(&run)?.attempts.last()?;
        let jobs: Vec<&Job> = last.iter().filter_map(|id| self.jobs.get(id)).collect();
        if jobs.iter().any(|job| job.stage != Stage::Completed) {
            return None;
        }
        let specs = jobs.iter().map(|job| Arc::clone(&job.spec)).collect();
        self.attempt(run, specs, now)
    }

    fn attempt(&mut self, run: u64, specs: Vec<Arc<JobSpec>>, now: Millis) -> Option<Vec<u64>> {
        let of = self.org.runs.get(&run)?;
        let repo = of.repo.clone();
        let attempt = u32::try_from(of.attempt() + 1).unwrap_or(u32::MAX);
        let mut ids = Vec::with_capacity(specs.len());
        for spec in specs {
            let job = Job {
                id: self.number(),
                run_id: run,
                attempt,
                repo: repo.clone(),
                spec,
                stage: Stage::Queued,
                runner: None,
                conclusion: None,
                queued: now,
                started: None,
                completed: None,
                cancel_asked: false,
            };
            let id = job.id;
            self.jobs.insert(id, job);
            self.queued.insert(id);
            self.tell("queued", id);
            ids.push(id);
        }
        self.org.runs.get_mut(&run)?.attempts.push(ids.clone());
        Some(ids)
    }

    /// Forgets a run and its jobs, as somebody who deletes it does: no webhook tells of it. False: there is none, or a
    /// runner has one of its jobs.
    pub(super) fn delete_run(&mut self, run: u64) -> bool {
        let taken = |id: &u64| self.offered.contains(id) || self.running.contains(id);
        let found = self.org.runs.get(&run);
        if found.is_none_or(|run| run.attempts.iter().flatten().any(taken)) {
            return false;
        }
        let Some(run) = self.org.runs.remove(&run) else {
            return false;
        };
        for repository in self.org.repositories.values_mut() {
            repository.runs.remove(&run.id);
        }
        for id in run.attempts.into_iter().flatten() {
            self.enter(id, Stage::Completed);
            self.jobs.remove(&id);
            self.logs.remove(&id);
        }
        true
    }

    /// Holds a queued job back, as an environment's protection does. False: it is not queued.
    pub(super) fn hold(&mut self, job: u64) -> bool {
        let held = self.queued.contains(&job);
        if held {
            self.enter(job, Stage::Waiting);
            self.tell("waiting", job);
        }
        held
    }

    /// Lets a job go that was held back. False: it was not.
    pub(super) fn release(&mut self, job: u64) -> bool {
        let held = self.waiting.contains(&job);
        if held {
            self.enter(job, Stage::Queued);
            self.tell("queued", job);
        }
        held
    }

    /// The only way from a stage to another: the indices follow.
    fn enter(&mut self, id: u64, stage: Stage) {
        let Some(job) = self.jobs.get_mut(&id) else {
            return;
        };
        job.stage = stage;
        for set in [&mut self.waiting, &mut self.queued, &mut self.offered, &mut self.running] {
            set.remove(&id);
        }
        match stage {
            Stage::Waiting => self.waiting.insert(id),
            Stage::Queued => self.queued.insert(id),
            Stage::Offered { .. } => self.offered.insert(id),
            Stage::InProgress { .. } => self.running.insert(id),
            Stage::Completed => false,
        };
    }

    pub(super) fn tally(&self) -> Tally {
        let (waiting, in_progress) = (self.waiting.len(), self.running.len());
        let queued = self.queued.len() + self.offered.len();
        Tally {
            waiting,
            queued,
            in_progress,
            completed: self.jobs.len() - waiting - queued - in_progress,
        }
    }

    /// Whether time alone can change something.
    pub(super) fn is_moving(&self, times: &Times) -> bool {
        let idle = || self.runners.values().any(|runner| runner.idle.is_some());
        !self.offered.is_empty() || !self.running.is_empty() || (times.idle.is_some() && idle())
    }

    /// Whether this runner may have this job.
    fn fits(&self, runner: &Runner, job: &Job) -> bool {
        match (runner.set, self.sets.holder(job.id)) {
            (None, None) => {
                self.reaches(&runner.scope, runner.group, job)
                    && covers(&runner.labels, &job.spec.labels)
            }
            (Some(set), Some(holder)) => set == holder,
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    /// Whether jobs of this one's repository come to runners of a scope and a group.
    pub(super) fn reaches(&self, scope: &str, group: u64, job: &Job) -> bool {
        match super::rest::repository(scope) {
            Some(name) => name.eq_ignore_ascii_case(&job.repo.name),
            None => self.org.admits(group, job.repo.id),
        }
    }

    /// Offers the oldest queued job that fits to this runner, if it is free.
    pub(super) fn offer(&mut self, runner: u64, now: Millis) {
        let free = |r: &&Runner| r.job.is_none() && !r.spent;
        let Some(taker) = self.runners.get(&runner).filter(free) else {
            return;
        };
        let mut queued = self.queued.iter().filter_map(|id| self.jobs.get(id));
        let Some(id) = queued.find(|job| self.fits(taker, job)).map(|job| job.id) else {
            return;
        };
        let group = self.org.groups.get(&taker.group);
        let taken_by = Taker {
            id: runner,
            name: taker.name.clone(),
            group: taker.group,
            group_name: group.map(|group| group.name.clone()).unwrap_or_default(),
        };
        self.enter(id, Stage::Offered { at: now });
        if let (Some(job), Some(taker)) = (self.jobs.get_mut(&id), self.runners.get_mut(&runner)) {
            job.runner = Some(taken_by);
            taker.job = Some(id);
            taker.idle = None;
            taker.messages.push_back(Message::Job(id));
        }
    }

    /// The runner fetches what it was offered. False: it is no longer its job.
    pub(super) fn acquire(&mut self, runner: u64, job: u64, now: Millis) -> bool {
        let mine = |j: &&mut Job| {
            matches!(j.stage, Stage::Offered { .. })
                && j.runner.as_ref().is_some_and(|taker| taker.id == runner)
        };
        let Some(found) = self.jobs.get_mut(&job).filter(mine) else {
            return false;
        };
        found.started = Some(now);
        self.enter(job, Stage::InProgress { renewed: now });
        self.tell("in_progress", job);
        true
    }

    /// The runner says that it still has it. False: it is not its job.
    pub(super) fn renew(&mut self, runner: u64, job: u64, now: Millis) -> bool {
        let holder = self.jobs.get(&job).filter(|_| self.running.contains(&job));
        let mine = holder.and_then(|job| job.runner.as_ref()).is_some_and(|of| of.id == runner);
        if mine {
            self.enter(job, Stage::InProgress { renewed: now });
        }
        mine
    }

    /// The end of a job, with its one-job registration.
    pub(super) fn complete(&mut self, id: u64, conclusion: &str, now: Millis) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| job.stage != Stage::Completed) else {
            return;
        };
        let ran = matches!(job.stage, Stage::InProgress { .. });
        job.conclusion = Some(conclusion.to_owned());
        job.completed = Some(now);
        let runner = job.runner.as_ref().map(|taker| taker.id);
        if !ran {
            job.runner = None;
        }
        self.enter(id, Stage::Completed);
        if let Some(runner) = runner.and_then(|id| self.runners.get_mut(&id)) {
            runner.lose_job(now);
            runner.messages.retain(|message| !matches!(message, Message::Job(of) if *of == id));
            runner.spent = ran;
        }
        self.tell("completed", id);
    }

    pub(super) fn cancel(&mut self, job: u64, now: Millis) -> bool {
        let Some(found) = self.jobs.get_mut(&job) else {
            return false;
        };
        match found.stage {
            Stage::Completed => return false,
            Stage::Waiting | Stage::Queued | Stage::Offered { .. } => {
                self.complete(job, "cancelled", now);
            }
            Stage::InProgress { .. } if found.cancel_asked => {}
            Stage::InProgress { .. } => {
                found.cancel_asked = true;
                let runner = found.runner.as_ref().map(|taker| taker.id);
                if let Some(runner) = runner.and_then(|id| self.runners.get_mut(&id)) {
                    runner.messages.push_back(Message::Cancel(job));
                }
            }
        }
        true
    }

    /// What time alone changes: offers nobody fetched, jobs nobody renews, jobs that run too long, idle runners.
    pub(super) fn pass(&mut self, now: Millis, times: &Times) {
        let stage = |id: &u64| self.jobs.get(id).map(|job| (*id, job.stage));
        for (id, stage) in self.offered.iter().filter_map(stage).collect::<Vec<_>>() {
            if matches!(stage, Stage::Offered { at } if at + times.pickup <= now) {
                self.offer_again(id, now);
            }
        }
        let mut lost = Vec::new();
        let mut late = Vec::new();
        for job in self.running.iter().filter_map(|id| self.jobs.get(id)) {
            let limit = job.spec.timeout_minutes.saturating_mul(60_000);
            if matches!(job.stage, Stage::InProgress { renewed } if renewed + times.lock <= now) {
                lost.push(job.id);
            } else if job.started.is_some_and(|at| at.saturating_add(limit) <= now) {
                late.push(job.id);
            }
        }
        lost.into_iter().for_each(|job| self.complete(job, "failure", now));
        for job in late {
            let _ = self.cancel(job, now);
        }
        if let Some(idle) = times.idle {
            self.runners.retain(|_, r| r.idle.is_none_or(|since| since + idle > now));
        }
    }

    fn offer_again(&mut self, id: u64, now: Millis) {
        self.enter(id, Stage::Queued);
        let runner = self.jobs.get_mut(&id).and_then(|job| job.runner.take());
        if let Some(runner) = runner.and_then(|taker| self.runners.get_mut(&taker.id)) {
            runner.lose_job(now);
            runner.messages.clear();
        }
    }

    fn tell(&mut self, action: &'static str, job: u64) {
        if let Some(job) = self.jobs.get(&job) {
            self.sets.hear(action, job);
            self.outbox.push(Told { action, job: job.clone() });
        }
    }
}

impl Job {
    pub(super) fn status(&self) -> &'static str {
        match self.stage {
            Stage::Waiting => "waiting",
            Stage::Queued | Stage::Offered { .. } => "queued",
            Stage::InProgress { .. } => "in_progress",
            Stage::Completed => "completed",
        }
    }

    pub(super) fn view(&self) -> JobView {
        JobView {
            id: self.id,
            run: self.run_id,
            attempt: self.attempt,
            repository: self.repo.name.to_string(),
            name: self.spec.name.clone(),
            labels: self.spec.labels.clone(),
            status: self.status().to_owned(),
            conclusion: self.conclusion.clone(),
            runner: self.runner.as_ref().map(|taker| taker.name.clone()),
            queued_ms: self.queued,
            started_ms: self.started,
            completed_ms: self.completed,
        }
    }
}

impl Runner {
    fn lose_job(&mut self, now: Millis) {
        self.job = None;
        self.idle = self.session.is_some().then_some(now);
    }

    pub(super) fn view(&self) -> RunnerView {
        RunnerView {
            id: self.id,
            name: self.name.clone(),
            busy: self.job.is_some(),
            online: self.session.is_some(),
        }
    }
}

/// Every label asked for is on the runner; case does not matter.
pub(super) fn covers(runner: &[String], asked: &[String]) -> bool {
    asked.iter().all(|label| runner.iter().any(|own| own.eq_ignore_ascii_case(label)))
}
