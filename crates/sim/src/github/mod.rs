//! A fake GitHub: REST, signed webhooks, and the runner protocol, as one honest server.
//!
//! Honest: proofs are verified, names are unique, busy runners cannot be deleted, a runner gets one job, an offer that
//! nobody fetches goes back to the queue. The vices (lost, doubled, late) are asked for by [`Fault`] and [`HookFault`].
//! GitHub's own runner should work with it unchanged; this was not tried in development, for want of that runner.

mod admin;
mod broker;
mod faults;
mod hooks;
mod jit;
mod key;
mod rest;
mod server;
mod state;
mod workflow;

pub use faults::{Fault, FaultKind};
pub use hooks::{HookFault, HookView};
pub use key::generate_pem;
pub use server::{Config, Webhook};
pub use state::{JobView, RunnerView};

use server::Shared;
use std::sync::Arc;
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

    /// Queues every job of a workflow text. Gives their ids.
    ///
    /// # Errors
    /// When the text uses what this server does not do; the message says where.
    pub fn queue(&self, yaml: &str) -> anyhow::Result<Vec<u64>> {
        let specs = workflow::parse(yaml)?;
        Ok(self.shared.change(|state, now| state.queue(specs, now)))
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

    /// The log as far as the fake runner sent it.
    #[must_use]
    pub fn log(&self, job: u64) -> Vec<String> {
        self.shared
            .look(|state| state.jobs.get(&job).map(|job| job.log.clone()).unwrap_or_default())
    }

    /// All registrations.
    #[must_use]
    pub fn runners(&self) -> Vec<RunnerView> {
        self.shared.look(|state| {
            state.runners.values().filter(|r| !r.spent).map(state::Runner::view).collect()
        })
    }

    /// All webhooks sent so far, oldest first.
    #[must_use]
    pub fn deliveries(&self) -> Vec<HookView> {
        self.shared.hooks.sent()
    }

    /// Everything that was handed out and proves who somebody is: registrations and installation tokens.
    #[must_use]
    pub fn secrets(&self) -> Vec<String> {
        self.shared.look(|state| state.secrets.clone())
    }

    /// Sends a delivery again, as the button in the App's settings does. False: there is none of this number.
    #[must_use]
    pub fn redeliver(&self, delivery: u64) -> bool {
        let sent = self.shared.hooks.sent().into_iter().find(|sent| sent.id == delivery);
        sent.map(|sent| self.shared.send(hooks::Outgoing::again(&sent))).is_some()
    }

    /// Makes calls go wrong from now on.
    pub fn fault(&self, route: &str, times: u32, kind: FaultKind) {
        self.shared.add_fault(Fault { route: route.to_owned(), times, kind });
    }

    /// Makes the next webhooks go wrong.
    pub fn hook_fault(&self, kind: HookFault, times: u32) {
        self.shared.hooks.fault(kind, times);
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
        let mut changes = self.shared.changes();
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
