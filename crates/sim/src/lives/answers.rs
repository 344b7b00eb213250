//! What GitHub answers when it is asked: true at some time since, late, in part, not at all, or "too many calls".

use super::life::Life;
use super::outside::{Calls, Happening, JobIs, MINUTE, SECOND, key};
use super::scopes::covers;
use super::setup::Answers;
use flint_core::ask::{AskFailure, Budget, Found, Question, Quota};
use flint_core::event::{Event, ForgeEvent};
use flint_core::id::{InstallationId, JobKey, ScopeId};
use flint_core::runner_version::{Releases, Rule};
use flint_core::units::Timestamp;
use std::collections::{BTreeSet, VecDeque};

const HOUR: u64 = 60 * MINUTE;

impl Life {
    /// One more call about a scope.
    pub(super) fn call_in(&mut self, scope: &ScopeId) -> Result<(), Timestamp> {
        let installation = self.setup.installation(scope).cloned();
        installation.map_or(Ok(()), |installation| self.call(&installation, Budget::Installation))
    }

    /// One more call: `Err` when GitHub does not take it, with the time from which on it does.
    fn call(&mut self, installation: &InstallationId, budget: Budget) -> Result<(), Timestamp> {
        let limited = self.outside.limited_until.entry(installation.clone()).or_default();
        if self.rng.chance(self.faults.limited) {
            let wait = self.rng.between(30 * SECOND, 10 * MINUTE);
            *limited = (*limited).max(self.now + wait);
        }
        if self.now < *limited {
            return Err(Timestamp(*limited));
        }
        let (now, limit) = (self.now, self.setup.quota);
        let calls = self.outside.calls.entry((installation.clone(), budget)).or_default();
        if calls.resets <= now {
            *calls = Calls { left: limit, resets: now + HOUR };
        }
        if calls.left == 0 {
            return Err(Timestamp(calls.resets));
        }
        calls.left -= 1;
        Ok(())
    }

    /// What the headers of an answer say.
    fn quota_left(&mut self, installation: InstallationId, budget: Budget) -> Option<Event> {
        if !self.rng.chance(250) {
            return None;
        }
        let Calls { left, resets } = *self.outside.calls.get(&(installation.clone(), budget))?;
        let (limit, resets) = (self.setup.quota, Timestamp(resets));
        let quota = Quota { budget, limit, remaining: left, resets };
        Some(Event::Forge(ForgeEvent::QuotaLeft { installation, quota }))
    }

    /// GitHub has read the question.
    pub(super) fn asked(&mut self, life: u64, question: &Question, asked: Timestamp) {
        let budget = match question {
            Question::Deliveries { .. } => Budget::App,
            _ => Budget::Installation,
        };
        let allowed = match (question, self.setup.answers) {
            (Question::Deliveries { .. }, answers) => answers != Answers::Lists,
            (Question::Runners { .. }, _) => true,
            (_, answers) => answers != Answers::Deliveries,
        };
        let Some(installation) = self.setup.asked_of(question).cloned() else { return };
        let place = self.setup.asked_about(question);
        let allowed = allowed && !place.is_some_and(|scope| self.is_refusing(scope));
        let failure = match self.call(&installation, budget) {
            Err(until) => Some(AskFailure::Limited { until }),
            Ok(()) if !allowed => Some(AskFailure::Refused),
            Ok(()) => None,
        };
        if let Some(failure) = failure {
            let failed = self.ask_failed(question, failure);
            return self.soon(Happening::Answer(life, failed));
        }
        let mut facts: VecDeque<Event> = match question {
            Question::Deliveries { installation, since } => self.failed_since(installation, *since),
            Question::Jobs { repository } => self.jobs_told(repository),
            Question::Job { job, .. } => self.job_told(*job),
            Question::Runners { .. }
            | Question::RunnerReleases { .. }
            | Question::Repositories { .. }
            | Question::Run { .. } => Vec::new(),
        }
        .into();
        if self.rng.chance(self.faults.ask_fails) {
            let told = usize::try_from(self.rng.below(facts.len() as u64 + 1)).unwrap_or(0);
            facts.truncate(told);
            facts.push_back(self.ask_failed(question, AskFailure::Transient));
        } else {
            facts.push_back(Event::Forge(self.last_word(question, asked)));
            facts.extend(self.quota_left(installation, budget));
        }
        // What it saw is then as old as that.
        let slow =
            if self.rng.chance(self.faults.slow) { 2 * MINUTE } else { self.faults.delay_ms };
        let after = 1 + self.rng.below(slow);
        self.later(after, Happening::Answers(life, facts));
    }

    fn ask_failed(&self, question: &Question, failure: AskFailure) -> Event {
        let (question, why) = (question.clone(), format!("{failure:?}"));
        Event::Forge(ForgeEvent::AskFailed { question, failure, why })
    }

    /// Whether a list overlooks one entry.
    fn lacks(&mut self) -> bool {
        self.rng.chance(self.faults.list_lacks)
    }

    /// The word that says that the question is answered.
    fn last_word(&mut self, question: &Question, asked: Timestamp) -> ForgeEvent {
        match question {
            Question::Deliveries { installation, .. } => {
                ForgeEvent::DeliveriesRead { installation: installation.clone(), asked }
            }
            // No life is long enough for a version to grow old.
            Question::RunnerReleases { installation } => ForgeEvent::RunnerReleases {
                installation: installation.clone(),
                releases: Releases::default(),
                rule: Rule::Enforced,
            },
            Question::Runners { scope } => {
                let here = self.outside.runners.values().filter(|runner| runner.scope == *scope);
                let all: BTreeSet<_> = here.map(|runner| runner.vm).collect();
                let mut registered = all;
                for vm in registered.clone() {
                    if self.lacks() {
                        registered.remove(&vm);
                        let guest = self.outside.guests.get_mut(&vm);
                        guest.into_iter().for_each(|guest| guest.overlooked = true);
                    }
                }
                ForgeEvent::Runners { scope: scope.clone(), registered, asked }
            }
            Question::Repositories { scope } => {
                let jobs = self.outside.jobs.values().filter(|job| !job.deleted);
                let names = jobs.map(|job| job.request.repository.clone());
                let all: BTreeSet<_> = names.filter(|name| covers(scope, name)).collect();
                let active = all.into_iter().filter(|_| !self.lacks()).collect();
                ForgeEvent::RepositoriesListed { scope: scope.clone(), active, asked }
            }
            Question::Jobs { repository } => {
                let queued = self.open_jobs(repository, |state| *state == JobIs::Queued);
                let queued = queued.into_iter().map(key).filter(|_| !self.lacks()).collect();
                ForgeEvent::JobsListed { repository: repository.clone(), queued, asked }
            }
            Question::Job { job, .. } => {
                let known = self.outside.jobs.get(&job.id).filter(|known| !known.deleted);
                let found = match known.map(|known| &known.state) {
                    None => Found::Gone,
                    Some(JobIs::Held) => Found::Held,
                    Some(JobIs::Queued) => Found::Queued { admitted: Some(true) },
                    Some(JobIs::Running(_) | JobIs::Ending(_) | JobIs::Completed) => Found::Told,
                };
                ForgeEvent::JobAsked { job: *job, found, asked }
            }
            // Each job is a run of its own here.
            Question::Run { run, repository } => {
                let known = self.outside.jobs.get(run).filter(|known| !known.deleted);
                let origin = known.map(|known| known.origin);
                let over = known.is_some_and(|known| known.state == JobIs::Completed);
                let repository = repository.clone();
                ForgeEvent::RunAsked { run: *run, repository, origin, over, asked }
            }
        }
    }

    fn open_jobs(&self, repository: &str, is: impl Fn(&JobIs) -> bool) -> Vec<u64> {
        // A scale set tells of its jobs under keys that these lists do not have.
        let listed = |job: &super::outside::Job| !job.deleted && job.request.scale_set.is_none();
        let jobs = self.outside.jobs.iter().filter(|(_, job)| listed(job) && is(&job.state));
        jobs.filter(|(_, job)| job.request.repository == repository).map(|(id, _)| *id).collect()
    }

    fn jobs_told(&mut self, repository: &str) -> Vec<Event> {
        let open = |state: &JobIs| !matches!(state, JobIs::Completed | JobIs::Held);
        let open = self.open_jobs(repository, open);
        let told = open.into_iter().filter(|_| !self.lacks()).collect::<Vec<_>>();
        told.into_iter().filter_map(|id| self.as_it_is(id)).collect()
    }

    fn job_told(&self, job: JobKey) -> Vec<Event> {
        let queued = |job: &super::outside::Job| matches!(job.state, JobIs::Queued | JobIs::Held);
        let told = self.outside.jobs.get(&job.id).filter(|job| !job.deleted && !queued(job));
        told.and_then(|_| self.as_it_is(job.id)).into_iter().collect()
    }

    /// The fact that the job's last webhook was.
    fn as_it_is(&self, id: u64) -> Option<Event> {
        let job = self.outside.jobs.get(&id)?;
        let (request, is) = (job.request.clone(), key(id));
        Some(Event::Forge(match &job.state {
            JobIs::Queued | JobIs::Held => ForgeEvent::JobQueued { job: is, request },
            JobIs::Running(name) | JobIs::Ending(name) => {
                let runner = super::outside::told(name);
                ForgeEvent::JobStarted { job: is, request, runner }
            }
            JobIs::Completed => {
                let (conclusion, runner) = job.ended.clone()?;
                ForgeEvent::JobCompleted { job: is, request, runner, conclusion }
            }
        }))
    }
}
