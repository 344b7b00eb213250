//! How many calls of GitHub's REST API a job costs: an hour of jobs through the daemon's own parts, over the wire, against a
//! GitHub that enforces its limits. The hour takes three minutes; the books of the limits run as fast as the daemon's clock.

mod daemon;
mod hooks;
mod profile;

use crate::demo::Source;
use crate::fakes::Outside;
use crate::github::{Config, FakeGithub, Webhook, generate_pem};
use anyhow::{Context, Result};
use daemon::Daemon;
use flint::daemon::clock::Clock;
use flint::front::webhook;
use flint_core::units::Timestamp;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;

/// Jobs of the hour.
const JOBS: u32 = 1_000;
/// How many times as fast as the machine's clock everything runs.
const HURRY: u32 = 20;
/// How long a job runs, by the daemon's clock.
const RUNS: Duration = Duration::from_secs(60);
/// Where the jobs come from, in turns.
const REPOSITORIES: [&str; 4] = ["widgets", "gadgets", "site", "docs"];
/// How often runners look for jobs.
const GLANCE: Duration = Duration::from_millis(5);
/// Between the proofs of webhooks and the daemon; both ends are here.
const SECRET: &str = "the measurement's webhook secret";
/// A machine with two slow cores needs two minutes.
const PATIENCE: Duration = Duration::from_mins(10);

/// What was counted.
#[derive(Clone, Debug, Serialize)]
pub struct Calls {
    /// Jobs that ran to their end.
    pub jobs: u32,
    /// How long they took, by the daemon's clock, in hours.
    pub hours: f64,
    /// Calls of the REST API, by name.
    pub rest: BTreeMap<String, u64>,
    /// Calls that a limit refused.
    pub refused: u64,
    /// The most points of the minute that were used, of 900.
    pub most_points: u32,
}

/// The daemon's clock: ahead of the machine's, and further with each second.
#[derive(Clone, Copy)]
struct Hasty {
    start: Timestamp,
    began: Instant,
}

impl Clock for Hasty {
    fn now(&self) -> Timestamp {
        self.start.after(self.began.elapsed() * HURRY)
    }

    async fn sleep_until(&self, at: Timestamp) {
        tokio::time::sleep((at.since(self.now()) / HURRY).max(Duration::from_millis(1))).await;
    }
}

/// Runs the hour.
///
/// # Errors
/// When something cannot be started, or the jobs do not end.
pub async fn calls(source: Source) -> Result<Calls> {
    let hook = TcpListener::bind("127.0.0.1:0").await?;
    let pem = generate_pem()?;
    let github = Arc::new(github(source, &hook, pem.clone()).await?);
    let (outside, _webhooks) = Outside::new();
    outside.faults(|faults| {
        (faults.boot_takes, faults.job_takes) = (Duration::from_millis(100), RUNS / HURRY);
    });
    outside.work_for(Arc::clone(&github));
    let folder = tempfile::tempdir()?;
    let start = Timestamp(0).after(SystemTime::now().duration_since(UNIX_EPOCH)?);
    let clock = Hasty { start, began: Instant::now() };
    let daemon = Daemon { github: &github, outside: &outside, folder: folder.path(), pem, clock };
    let mut tasks = daemon.start(source, hook).await?;
    let looking = outside.clone();
    tasks.spawn(async move {
        loop {
            tokio::time::sleep(GLANCE).await;
            looking.wake();
        }
    });
    let ran = tokio::time::timeout(PATIENCE, hour(&github)).await;
    tasks.shutdown().await;
    ran.context("the jobs do not end")??;
    Ok(told(&github, clock.now().since(start)))
}

async fn hour(github: &FakeGithub) -> Result<()> {
    let mut beat = tokio::time::interval(Duration::from_secs(3_600) / HURRY / JOBS);
    for job in 0..JOBS {
        beat.tick().await;
        let repository = REPOSITORIES[job as usize % REPOSITORIES.len()];
        github.queue_in(repository, "jobs: {a: {runs-on: flint, steps: []}}")?;
    }
    let ended = |github: &FakeGithub| github.tally().completed >= JOBS as usize;
    github.until(ended).await;
    Ok(())
}

fn told(github: &FakeGithub, took: Duration) -> Calls {
    let counters = github.counters();
    let sets = [
        "find-",
        "get-set",
        "create-set",
        "update-set",
        "session",
        "set-jit",
        "acquire-jobs",
        "queue",
        "message",
    ];
    let rest = |name: &&String| !sets.iter().any(|part| name.contains(part));
    let calls = counters.calls.iter().filter(|(name, _)| rest(name));
    Calls {
        jobs: JOBS,
        hours: took.as_secs_f64() / 3_600.0,
        rest: calls.map(|(name, count)| (name.clone(), *count)).collect(),
        refused: counters.refused.values().sum(),
        most_points: counters.most_points,
    }
}

async fn github(source: Source, hook: &TcpListener, pem: String) -> Result<FakeGithub> {
    let mut config = Config::new(pem);
    config.hurry = HURRY;
    config.poll /= HURRY;
    if source == Source::Webhook {
        let url = format!("http://{}{}", hook.local_addr()?, webhook::PATH);
        config.webhook = Some(Webhook { url, secret: SECRET.to_owned() });
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let github = FakeGithub::start(listener, config).await?;
    REPOSITORIES.iter().skip(1).for_each(|name| github.add_repository(name));
    Ok(github)
}
