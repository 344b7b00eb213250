//! A fake of GitHub's registrations and lists: refuses, times out, and makes runners whose answer is lost.

use super::guest::SECRET;
use super::ledger::Call;
use super::outside::{Outside, Runner, State};
use flint::forge::lack::Lack;
use flint::forge::{Answer, Error, Forge, Registered, Removal, Request, Scope, Told};
use flint_core::ask::{Found, Question};
use flint_core::event::ForgeEvent;
use flint_core::id::{JobKey, RunnerId, RunnerName, ScopeId, VmId};
use flint_core::job::JobRequest;
use flint_core::runner_version::Rule;
use flint_core::units::Timestamp;
use flint_wire::Secret;
use std::time::Duration;

/// What was pushed to longer ago is not active.
const LATELY: Duration = Duration::from_secs(24 * 3_600);

/// The registrations of an [`Outside`].
pub struct FakeForge {
    outside: Outside,
    instance: String,
}

impl FakeForge {
    /// For the daemon with this instance.
    #[must_use]
    pub fn new(outside: Outside, instance: &str) -> Self {
        FakeForge { outside, instance: instance.to_owned() }
    }

    /// What the real one says of this status.
    fn answered(status: u16, call: String) -> Error {
        let said = "as the test wants it".to_owned();
        match status {
            401 => Error::Unauthorized { call, said, skew: None },
            403 => {
                let scope = Scope::Organization("flint-demo".to_owned());
                let page = "https://github.com/organizations/flint-demo/settings/installations";
                Error::Forbidden {
                    call,
                    said,
                    lacks: Some((Lack::at(true, &scope), page.to_owned())),
                }
            }
            404 => Error::NotFound { call, said, pathless: None },
            409 => Error::Conflict { call, said },
            422 => Error::Invalid { call, said },
            429 => Error::RateLimited { call, until: Timestamp(0), wait_s: 0, pot: None },
            500.. => Error::Server { call, status, said },
            _ => Error::Unexpected { call, status, said },
        }
    }
}

/// GitHub has had enough.
fn limited() -> Error {
    Error::RateLimited { call: "call".to_owned(), until: Timestamp(0), wait_s: 60, pot: None }
}

/// What a question costs: a list, and one more for each thing that is looked at singly.
fn spend(state: &mut State, question: &Question) -> Result<(), Error> {
    let reads = match question {
        // The App's own budget is another.
        Question::Deliveries { .. } => 0,
        Question::Runners { .. }
        | Question::RunnerReleases { .. }
        | Question::Repositories { .. }
        | Question::Job { .. }
        | Question::Run { .. } => 1,
        // Two lists of runs, and the jobs of each run: here a run is a job.
        Question::Jobs { repository } => {
            let open = state.queue.iter().filter(|(_, job)| job.repository == *repository).count();
            2 + open + state.runners.values().filter(|runner| runner.job.is_some()).count()
        }
    };
    (0..reads).try_for_each(|_| state.ledger.take(Call::Read)).map_err(|()| limited())
}

impl Forge for FakeForge {
    async fn register(&self, request: Request) -> Result<Registered, Error> {
        let takes = self.outside.lock().faults.register_takes;
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        let mut state = self.outside.lock();
        if state.faults.register_panics > 0 {
            state.faults.register_panics -= 1;
            drop(state);
            panic!("the fake forge was told to panic");
        }
        let call = format!("register `{}`", request.name);
        state.ledger.take(Call::Make).map_err(|()| limited())?;
        if let Some(status) = state.faults.register.pop_front() {
            return Err(FakeForge::answered(status, call));
        }
        if state.runners.contains_key(&request.name) {
            return Err(FakeForge::answered(409, call));
        }
        let Request { labels, scope, .. } = request;
        state.runners.insert(request.name.clone(), Runner { labels, scope, job: None });
        state.next_runner += 1;
        let runner = RunnerId(state.next_runner);
        if state.faults.register_answer_lost > 0 {
            state.faults.register_answer_lost -= 1;
            return Err(FakeForge::answered(504, call));
        }
        // The fake guest finds its runner by this text.
        let jit_config = Secret::new(format!("{SECRET}{}", request.name));
        Ok(Registered { runner, jit_config, ca_certificates: None })
    }

    async fn deregister(
        &self,
        vm: VmId,
        _: ScopeId,
        names: Vec<RunnerName>,
    ) -> Result<Removal, Error> {
        let mut state = self.outside.lock();
        let looks = names.len().max(1);
        (0..looks).try_for_each(|_| state.ledger.take(Call::Read)).map_err(|()| limited())?;
        if state.faults.deregister_busy > 0 {
            state.faults.deregister_busy -= 1;
            return Ok(Removal::Busy);
        }
        let mine = |name: &RunnerName| match names.as_slice() {
            [] => name.vm(&self.instance) == Some(vm),
            names => names.contains(name),
        };
        let found: Vec<RunnerName> = state.runners.keys().filter(|n| mine(n)).cloned().collect();
        if found.iter().any(|name| state.runners[name].job.is_some()) {
            return Ok(Removal::Busy);
        }
        found.iter().try_for_each(|_| state.ledger.take(Call::Write)).map_err(|()| limited())?;
        state.runners.retain(|name, _| !found.contains(name));
        Ok(Removal::Gone)
    }

    async fn ask(&self, question: Question, asked: Timestamp) -> Result<Answer, Error> {
        let mut state = self.outside.lock();
        spend(&mut state, &question)?;
        if let Some(status) = state.faults.ask.pop_front() {
            return Err(FakeForge::answered(status, format!("ask for {question:?}")));
        }
        let mut told = Vec::new();
        let last = match question {
            Question::Runners { scope } => {
                let ours = state.runners.iter().filter(|(_, runner)| runner.scope == scope);
                let ours = ours.filter_map(|(name, _)| name.vm(&self.instance));
                ForgeEvent::Runners { registered: ours.collect(), scope, asked }
            }
            Question::Deliveries { installation, since } => {
                told.extend(state.post.failed(since).map(|failed| Told {
                    delivery: Some(failed.guid.clone()),
                    event: failed.event.clone(),
                }));
                ForgeEvent::DeliveriesRead { installation, asked }
            }
            Question::RunnerReleases { installation } => {
                let (releases, rule) = (state.releases.clone(), Rule::Enforced);
                ForgeEvent::RunnerReleases { installation, releases, rule }
            }
            Question::Repositories { scope } => {
                let fresh = |(name, at): &(&String, &Timestamp)| {
                    **at >= asked.before(LATELY) && scope.covers(name)
                };
                let active = state.pushed.iter().filter(fresh).map(|(name, _)| name.clone());
                ForgeEvent::RepositoriesListed { active: active.collect(), scope, asked }
            }
            Question::Jobs { repository } => {
                let mine = |job: &&(JobKey, JobRequest)| job.1.repository == repository;
                let queued = || state.queue.iter().filter(mine).cloned();
                told.extend(
                    queued().map(|(job, request)| by_list(ForgeEvent::JobQueued { job, request })),
                );
                told.extend(running(&state).filter(|(job, _)| mine(job)).map(started));
                let queued = queued().map(|(job, _)| job).collect();
                ForgeEvent::JobsListed { repository, queued, asked }
            }
            Question::Job { job, repository: _ } => {
                let (fact, found) = one(&state, job);
                told.extend(fact);
                ForgeEvent::JobAsked { job, found, asked }
            }
            Question::Run { run, repository } => {
                let of_run = |request: &&JobRequest| {
                    request.run_id == run && request.repository == repository
                };
                let found = state.queue.iter().map(|(_, request)| request).find(of_run);
                let known = state.origins.get(&run).copied();
                let origin = found.map(|request| known.unwrap_or(request.origin));
                ForgeEvent::RunAsked { run, repository, origin, over: false, asked }
            }
        };
        told.push(by_list(last));
        Ok(Answer { told, quota: None })
    }
}

/// How one job is, with the fact that says so.
fn one(state: &State, key: JobKey) -> (Option<Told>, Found) {
    if state.queue.iter().any(|(job, _)| *job == key) {
        return (None, Found::Queued { admitted: Some(true) });
    }
    if let Some(found) = running(state).find(|((job, _), _)| *job == key) {
        return (Some(started(found)), Found::Told);
    }
    let Some(ended) = state.ended.get(&key) else { return (None, Found::Gone) };
    let (request, runner) = (ended.request.clone(), ended.runner.clone());
    let conclusion = ended.conclusion.clone();
    (Some(by_list(ForgeEvent::JobCompleted { job: key, request, runner, conclusion })), Found::Told)
}

fn running(state: &State) -> impl Iterator<Item = (&(JobKey, JobRequest), &RunnerName)> {
    state.runners.iter().filter_map(|(name, runner)| Some((runner.job.as_ref()?, name)))
}

fn started(((job, request), runner): (&(JobKey, JobRequest), &RunnerName)) -> Told {
    let (request, runner) = (request.clone(), Some(runner.clone()));
    by_list(ForgeEvent::JobStarted { job: *job, request, runner })
}

/// A fact that came in no delivery.
fn by_list(event: ForgeEvent) -> Told {
    Told { delivery: None, event }
}
