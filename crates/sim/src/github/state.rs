//! What the fake GitHub knows, and the rules by which it changes. No I/O; the time is told.

use super::workflow::JobSpec;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Milliseconds since 1970.
pub(super) type Millis = u64;

/// A job as seen from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobView {
    /// `workflow_job.id`.
    pub id: u64,
    /// Display name.
    pub name: String,
    /// `runs-on`.
    pub labels: Vec<String>,
    /// `queued`, `in_progress`, `completed`.
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

#[derive(Clone)]
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) run_id: u64,
    pub(super) spec: JobSpec,
    pub(super) stage: Stage,
    pub(super) runner: Option<(u64, String)>,
    pub(super) conclusion: Option<String>,
    pub(super) queued: Millis,
    pub(super) started: Option<Millis>,
    pub(super) completed: Option<Millis>,
    pub(super) log: Vec<String>,
    pub(super) cancel_asked: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
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
    pub(super) client_id: String,
    pub(super) session: Option<String>,
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

#[derive(Default)]
pub(super) struct State {
    next: u64,
    pub(super) jobs: BTreeMap<u64, Job>,
    pub(super) runners: BTreeMap<u64, Runner>,
    /// Installation tokens and when they end.
    pub(super) tokens: BTreeMap<String, Millis>,
    /// Access tokens of runners.
    pub(super) access: BTreeMap<String, u64>,
    /// What was ever handed out to a daemon.
    pub(super) secrets: Vec<String>,
    pub(super) outbox: Vec<Told>,
}

impl State {
    /// Numbers begin above what a test might write by hand.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        1000 + self.next
    }

    pub(super) fn queue(&mut self, specs: Vec<JobSpec>, now: Millis) -> Vec<u64> {
        let run_id = self.number();
        let queue = |spec: JobSpec| {
            let id = self.number();
            let job = Job {
                id,
                run_id,
                spec,
                stage: Stage::Queued,
                runner: None,
                conclusion: None,
                queued: now,
                started: None,
                completed: None,
                log: Vec::new(),
                cancel_asked: false,
            };
            self.jobs.insert(id, job);
            self.tell("queued", id);
            id
        };
        specs.into_iter().map(queue).collect()
    }

    /// Offers the oldest queued job that fits to this runner, if it is free.
    pub(super) fn offer(&mut self, runner: u64, now: Millis) {
        let Some(taker) = self.runners.get_mut(&runner).filter(|r| r.job.is_none() && !r.spent)
        else {
            return;
        };
        let fits =
            |job: &&mut Job| job.stage == Stage::Queued && covers(&taker.labels, &job.spec.labels);
        if let Some(job) = self.jobs.values_mut().find(fits) {
            job.stage = Stage::Offered { at: now };
            job.runner = Some((runner, taker.name.clone()));
            taker.job = Some(job.id);
            taker.messages.push_back(Message::Job(job.id));
        }
    }

    /// The runner fetches what it was offered. False: it is no longer its job.
    pub(super) fn acquire(&mut self, runner: u64, job: u64, now: Millis) -> bool {
        let mine = |j: &&mut Job| {
            matches!(j.stage, Stage::Offered { .. })
                && j.runner.as_ref().is_some_and(|(r, _)| *r == runner)
        };
        let Some(job) = self.jobs.get_mut(&job).filter(mine) else {
            return false;
        };
        job.stage = Stage::InProgress { renewed: now };
        job.started = Some(now);
        let id = job.id;
        self.tell("in_progress", id);
        true
    }

    /// The end of a job, with its one-job registration.
    pub(super) fn complete(&mut self, job: u64, conclusion: &str, now: Millis) {
        let Some(job) = self.jobs.get_mut(&job).filter(|job| job.stage != Stage::Completed) else {
            return;
        };
        let ran = matches!(job.stage, Stage::InProgress { .. });
        job.stage = Stage::Completed;
        job.conclusion = Some(conclusion.to_owned());
        job.completed = Some(now);
        let (id, runner) = (job.id, job.runner.as_ref().map(|(id, _)| *id));
        if !ran {
            job.runner = None;
        }
        if let Some(runner) = runner.and_then(|id| self.runners.get_mut(&id)) {
            runner.job = None;
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
            Stage::Queued | Stage::Offered { .. } => self.complete(job, "cancelled", now),
            Stage::InProgress { .. } if found.cancel_asked => {}
            Stage::InProgress { .. } => {
                found.cancel_asked = true;
                let runner = found.runner.as_ref().map(|(id, _)| *id);
                if let Some(runner) = runner.and_then(|id| self.runners.get_mut(&id)) {
                    runner.messages.push_back(Message::Cancel(job));
                }
            }
        }
        true
    }

    /// What time alone changes: offers nobody fetched, jobs nobody renews, jobs that run too long.
    pub(super) fn pass(&mut self, now: Millis, pickup: Millis, lock: Millis) {
        let mut lost = Vec::new();
        let mut late = Vec::new();
        for job in self.jobs.values_mut() {
            match job.stage {
                Stage::Offered { at } if at + pickup <= now => {
                    job.stage = Stage::Queued;
                    let runner = job.runner.take().and_then(|(id, _)| self.runners.get_mut(&id));
                    if let Some(runner) = runner {
                        runner.job = None;
                        runner.messages.clear();
                    }
                }
                Stage::InProgress { renewed } if renewed + lock <= now => lost.push(job.id),
                Stage::InProgress { .. } => {
                    let limit = job.spec.timeout_minutes.saturating_mul(60_000);
                    if job.started.is_some_and(|at| at.saturating_add(limit) <= now) {
                        late.push(job.id);
                    }
                }
                Stage::Queued | Stage::Offered { .. } | Stage::Completed => {}
            }
        }
        lost.into_iter().for_each(|job| self.complete(job, "failure", now));
        for job in late {
            let _ = self.cancel(job, now);
        }
    }

    fn tell(&mut self, action: &'static str, job: u64) {
        if let Some(job) = self.jobs.get(&job) {
            self.outbox.push(Told { action, job: job.clone() });
        }
    }
}

impl Job {
    pub(super) fn view(&self) -> JobView {
        let status = match self.stage {
            Stage::Queued | Stage::Offered { .. } => "queued",
            Stage::InProgress { .. } => "in_progress",
            Stage::Completed => "completed",
        };
        JobView {
            id: self.id,
            name: self.spec.name.clone(),
            labels: self.spec.labels.clone(),
            status: status.to_owned(),
            conclusion: self.conclusion.clone(),
            runner: self.runner.as_ref().map(|(_, name)| name.clone()),
            queued_ms: self.queued,
            started_ms: self.started,
            completed_ms: self.completed,
        }
    }
}

impl Runner {
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
fn covers(runner: &[String], asked: &[String]) -> bool {
    asked.iter().all(|label| runner.iter().any(|own| own.eq_ignore_ascii_case(label)))
}
