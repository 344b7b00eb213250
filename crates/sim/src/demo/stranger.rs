//! A job that is not let in, and that GitHub gives to a runner which was started for another job.

use super::Options;
use super::daemon::{Daemon, profiles};
use super::stage::{GLANCE, Stage};
use crate::github::{FakeGithub, JobView};
use anyhow::{Context, Result};
use flint::api::{Jobs, Vms};
use std::time::Duration;

/// Both ask for the same labels, so GitHub gives either of them to either runner: the older one first.
const WORKFLOW: &str = "name: build
on: push
jobs:
  build:
    runs-on: [self-hosted, linux, small]
    steps:
      - run: echo the code ran
";

/// Two microVMs on a slow machine.
const PATIENCE: Duration = Duration::from_mins(4);

/// Why the first job is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shut {
    /// Its repository is public.
    Public,
    /// It is a fork's pull request to a private repository.
    Fork,
    /// The profile does not serve its repository.
    Unlisted,
}

/// The repository whose job is not let in.
const OTHER: &str = "other";

/// What became of the two.
#[derive(Clone, Debug)]
pub struct Stranger {
    /// The job that is not let in, as GitHub has it.
    pub refused: JobView,
    /// Its log there.
    pub refused_log: Vec<String>,
    /// The one that is.
    pub served: JobView,
    /// Its log there.
    pub served_log: Vec<String>,
}

/// Queues a job that is not let in and then one that is, and waits until both have ended.
///
/// # Errors
/// When something it needs is missing, or the jobs do not end in time. Everything it made is removed then too.
pub fn stranger(options: &Options, shut: Shut) -> Result<Stranger> {
    let stage = Stage::set(options, "stranger")?;
    let adjust = match shut {
        Shut::Public | Shut::Fork => |_: &mut toml::Table| {},
        Shut::Unlisted => except,
    };
    let story = async |daemon: &mut Daemon, github: &FakeGithub| story(daemon, github, shut).await;
    stage.play(stage.adjusted(adjust), PATIENCE, story)
}

/// What is written differently: the profile does not serve the other repository.
fn except(config: &mut toml::Table) {
    for profile in profiles(config) {
        let other = toml::Value::from(format!("flint-demo/{OTHER}"));
        profile.insert("repositories_except".to_owned(), vec![other].into());
    }
}

async fn story(daemon: &mut Daemon, github: &FakeGithub, shut: Shut) -> Result<Stranger> {
    match shut {
        Shut::Public => github.add_public_repository(OTHER),
        Shut::Fork => github.add_forked_repository(OTHER),
        Shut::Unlisted => github.add_repository(OTHER),
    }
    let refused = match shut {
        Shut::Fork => github.queue_from_fork(OTHER, WORKFLOW)?,
        Shut::Public | Shut::Unlisted => github.queue_in(OTHER, WORKFLOW)?,
    };
    let served = github.queue(WORKFLOW)?;
    let job = |ids: &[u64]| ids.first().and_then(|id| github.job(*id)).context("it is queued");
    loop {
        let client = daemon.client();
        let vms: Vms = client.get("/v1/vms").await?;
        let jobs: Jobs = client.get("/v1/jobs").await?;
        let (refused, served) = (job(&refused)?, job(&served)?);
        let over = [&refused, &served].iter().all(|job| job.status == "completed");
        if over && vms.vms.is_empty() && jobs.jobs.is_empty() {
            let (refused_log, served_log) = (github.log(refused.id), github.log(served.id));
            return Ok(Stranger { refused, refused_log, served, served_log });
        }
        tokio::time::sleep(GLANCE).await;
    }
}
