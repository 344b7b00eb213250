//! A fake GitHub: REST, signed webhooks, and the runner protocol, as one honest server.
//!
//! Honest: proofs are verified, names are unique, busy runners cannot be deleted, a runner gets one job, an offer that
//! nobody fetches goes back to the queue. The vices (lost, doubled, late) are asked for by [`Fault`] and [`HookFault`].
//! GitHub's own runner should work with it unchanged; this was not tried in development, for want of that runner.

mod actions;
mod admin;
mod apps;
mod broken;
mod broker;
mod calls;
mod clock;
mod conditional;
mod deliveries;
mod faults;
mod gate;
mod hooks;
mod jit;
mod key;
mod limits;
mod log;
mod meddle;
mod org;
mod page;
mod payload;
mod reply;
mod rest;
mod scale_sets;
mod server;
mod software;
mod state;
mod workflow;

pub use apps::AppView;
pub use clock::Clock;

pub use faults::{Fault, FaultKind};
pub use hooks::{HookFault, HookRates};
pub use key::generate_pem;
pub use limits::{Counters, Limit, Limits};
pub use log::{HookView, Planted};
pub use scale_sets::SetView;
pub use server::{Config, Webhook};
pub use software::RunnerRelease;
pub use state::{JobView, RunnerView, Tally};

use anyhow::Context as _;
use faults::Faults;
use org::Kind;
use server::Shared;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A running server; ends when dropped.
pub struct FakeGithub {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

impl FakeGithub {
    /// Starts it on a listener that is bound already.
    ///
    /// # Errors
    /// When `openssl` is missing, or the App's key is none.
    pub async fn start(listener: TcpListener, config: Config) -> anyhow::Result<Self> {
        let (shared, tasks) = server::start(listener, config).await?;
        Ok(FakeGithub { shared, tasks })
    }

    /// The base of its REST API.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.shared.config.public_url
    }

    /// Queues every job of a workflow text in the first repository. Gives their ids.
    ///
    /// # Errors
    /// When the text uses what this server does not do; the message says where.
    pub fn queue(&self, yaml: &str) -> anyhow::Result<Vec<u64>> {
        self.shared.queue(&self.shared.config.repository, yaml, false)
    }

    /// The same in any repository.
    ///
    /// # Errors
    /// As [`Self::queue`], and when there is no such repository.
    pub fn queue_in(&self, repository: &str, yaml: &str) -> anyhow::Result<Vec<u64>> {
        self.shared.queue(repository, yaml, false)
    }

    /// The same by a pull request from a fork.
    ///
    /// # Errors
    /// As [`Self::queue_in`].
    pub fn queue_from_fork(&self, repository: &str, yaml: &str) -> anyhow::Result<Vec<u64>> {
        self.shared.queue(repository, yaml, true)
    }

    /// Adds a private repository without forks to the organization, unless it is there.
    pub fn add_repository(&self, name: &str) {
        self.shared.change(|state, now| state.org.add_repository(name, Kind::Private, now));
    }

    /// Adds a private repository with a fork, unless it is there.
    pub fn add_forked_repository(&self, name: &str) {
        self.shared.change(|state, now| state.org.add_repository(name, Kind::Forked, now));
    }

    /// Adds a public repository, unless it is there.
    pub fn add_public_repository(&self, name: &str) {
        self.shared.change(|state, now| state.org.add_repository(name, Kind::Public, now));
    }

    /// Adds a runner group that admits only these repositories. Gives its id.
    #[must_use]
    pub fn add_group(&self, name: &str, repositories: &[&str]) -> u64 {
        self.shared.change(|state, _| state.org.add_group(name, repositories))
    }

    /// Changes which repositories a runner group admits (none given: all). False: there is no such group.
    #[must_use]
    pub fn admit(&self, group: u64, repositories: Option<&[&str]>) -> bool {
        self.shared.change(|state, _| state.org.admit(group, repositories))
    }

    /// Restricts a runner group to the workflows of others, or no longer. False: there is no such group.
    #[must_use]
    pub fn restrict(&self, group: u64, restricted: bool) -> bool {
        self.shared.change(|state, _| state.org.restrict(group, restricted))
    }

    /// Runs all jobs of a run that has ended again, under new ids. Gives them.
    ///
    /// # Errors
    /// When the run has not ended, or there is none.
    pub fn rerun(&self, run: u64) -> anyhow::Result<Vec<u64>> {
        let ids = self.shared.change(|state, now| state.rerun(run, now));
        ids.with_context(|| format!("run {run} has not ended, or there is no such run"))
    }

    /// Deletes a run with its jobs, of which no webhook tells. False: there is none, or a runner has one of its jobs.
    #[must_use]
    pub fn delete_run(&self, run: u64) -> bool {
        self.shared.change(|state, _| state.delete_run(run))
    }

    /// Holds a queued job back, as the protection of an environment does. False: it is not queued.
    #[must_use]
    pub fn hold(&self, job: u64) -> bool {
        self.shared.change(|state, _| state.hold(job))
    }

    /// Lets a job go that was held back. False: it was not.
    #[must_use]
    pub fn release(&self, job: u64) -> bool {
        self.shared.change(|state, _| state.release(job))
    }

    /// Cancels a job. False: it had ended.
    #[must_use]
    pub fn cancel(&self, job: u64) -> bool {
        self.shared.change(|state, now| state.cancel(job, now))
    }

    /// A job as it is now.
    #[must_use]
    pub fn job(&self, job: u64) -> Option<JobView> {
        self.shared.look(|state| state.jobs.get(&job).map(state::Job::view))
    }

    /// All jobs, oldest first.
    #[must_use]
    pub fn jobs(&self) -> Vec<JobView> {
        self.shared.look(|state| state.jobs.values().map(state::Job::view).collect())
    }

    /// How many jobs stand where. Costs nothing, however many there are.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.shared.look(state::State::tally)
    }

    /// The log as far as the fake runner sent it.
    #[must_use]
    pub fn log(&self, job: u64) -> Vec<String> {
        self.shared.look(|state| state.logs.get(&job).cloned().unwrap_or_default())
    }

    /// All registrations.
    #[must_use]
    pub fn runners(&self) -> Vec<RunnerView> {
        self.shared.look(|state| {
            state.runners.values().filter(|r| !r.spent).map(state::Runner::view).collect()
        })
    }

    /// Removes a registration, as GitHub does by itself with one that is idle. False: there is none, or it has a job.
    #[must_use]
    pub fn remove_runner(&self, name: &str) -> bool {
        self.shared.change(|state, _| {
            let found = state.runners.values().find(|r| r.name == name && r.job.is_none());
            let id = found.map(|runner| runner.id);
            id.and_then(|id| state.runners.remove(&id)).is_some()
        })
    }

    /// Everything that was handed out and proves who somebody is: registrations and installation tokens.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        self.shared.look(|state| state.secrets.clone())
    }

    /// All attempts to deliver a webhook so far, oldest first.
    #[must_use]
    pub fn deliveries(&self) -> Vec<HookView> {
        self.shared.hooks.log(|log| log.views().cloned().collect())
    }

    /// How many that are.
    #[must_use]
    pub fn delivered(&self) -> usize {
        self.shared.hooks.log(|log| log.len())
    }

    /// Puts a failed delivery of a job's `queued` event into the list that was never sent. Gives its number.
    ///
    /// # Errors
    /// When there is no such job.
    pub fn plant(&self, what: Planted, job: u64) -> anyhow::Result<u64> {
        let job = self.shared.look(|state| state.jobs.get(&job).cloned());
        Ok(log::plant(&self.shared, what, job.context("there is no such job")?))
    }

    /// Makes the next calls of a route go wrong. See [`Fault::route`].
    pub fn fault(&self, route: &str, times: u32, kind: FaultKind) {
        let (route, per_mille) = (route.to_owned(), 1000);
        self.shared.faults(|faults| faults.add(Fault { route, times, per_mille, kind }));
    }

    /// Makes so many in a thousand calls of a route go wrong, until [`Self::no_faults`].
    pub fn fault_rate(&self, route: &str, per_mille: u32, kind: FaultKind) {
        let (route, times) = (route.to_owned(), u32::MAX);
        self.shared.faults(|faults| faults.add(Fault { route, times, per_mille, kind }));
    }

    /// Forgets all faults of calls.
    pub fn no_faults(&self) {
        self.shared.faults(Faults::clear);
    }

    /// What was called and refused so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.shared.ledger(|ledger| ledger.counters.clone())
    }

    /// Changes how many calls are taken, and ends every refusal. What was called before still counts.
    pub fn set_limits(&self, limits: Limits) {
        self.shared.ledger(|ledger| ledger.set_limits(limits));
    }

    /// Moves a [`Clock::manual`] on, and lets the time that passed do its work.
    pub fn advance(&self, by: Duration) {
        self.shared.clock.advance(by);
        self.shared.pass();
        self.shared.wake();
    }

    /// Makes the next webhooks go wrong.
    pub fn hook_fault(&self, kind: HookFault, times: u32) {
        self.shared.hooks.fault(kind, times);
    }

    /// Makes webhooks go wrong by chance from now on.
    pub fn hook_rates(&self, rates: HookRates) {
        self.shared.hooks.set_rates(rates);
    }

    /// Releases a version of the runner, which is the newest from now on unless it is a prerelease.
    pub fn release_runner(&self, release: RunnerRelease) {
        self.shared.change(|state, _| state.software.push(release));
    }

    /// The Apps that were made by a manifest.
    #[must_use]
    pub fn apps(&self) -> Vec<AppView> {
        self.shared.look(|state| state.apps.all.values().map(apps::App::view).collect())
    }

    /// Registers runners in the organization that nobody starts, without a call.
    pub fn add_runners(&self, names: impl IntoIterator<Item = String>) {
        for name in names {
            let (scope, set) = (self.shared.config.organization.clone(), None);
            let new = rest::New { name: &name, labels: Vec::new(), group: 1, scope, set };
            rest::register(&self.shared, new, "_work");
        }
    }

    /// Changes what every App that was made asks for, and what its owner agreed to: a permission's level, or none.
    pub fn permit(&self, permission: &str, level: Option<&str>) {
        self.shared.change(|state, _| {
            for app in state.apps.all.values_mut() {
                app.set(permission, level);
            }
        });
    }

    /// A personal access token of somebody who owns everything here. It ends like the others by [`Self::revoke_tokens`].
    #[must_use]
    pub fn personal_token(&self) -> String {
        let token = format!("{}{}", rest::PERSONAL, server::random_id().replace('-', ""));
        self.shared.change(|state, now| {
            state.secrets.push(token.clone());
            state.tokens.insert(token.clone(), now + 365 * 86_400_000);
        });
        token
    }

    /// Forgets the installation tokens: whoever has one is answered 401.
    pub fn revoke_tokens(&self) {
        self.shared.change(|state, _| state.tokens.clear());
    }

    /// How many installation tokens were made and not revoked.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.shared.look(|state| state.tokens.len())
    }

    /// Waits until this holds. It is looked at after every change, so no time is guessed.
    pub async fn until(&self, holds: impl Fn(&Self) -> bool) {
        let mut changes = self.shared.notices();
        loop {
            changes.borrow_and_update();
            if holds(self) || changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits for a job's end.
    pub async fn completed(&self, job: u64) -> Option<JobView> {
        let ended = |github: &Self| github.job(job).is_none_or(|job| job.status == "completed");
        self.until(ended).await;
        self.job(job)
    }
}

impl Drop for FakeGithub {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
