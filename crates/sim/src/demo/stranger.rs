//! A job of a public repository that GitHub gives to a runner which was started for another job.

use super::daemon::{Daemon, How};
use super::places::Places;
use super::{Github, Options};
use crate::github::{FakeGithub, JobView, generate_pem};
use anyhow::{Context, Result};
use flint::api::{Jobs, Vms};
use std::fs;
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

/// How often something is looked at that cannot be waited for.
const GLANCE: Duration = Duration::from_millis(100);

/// Two microVMs on a slow machine.
const PATIENCE: Duration = Duration::from_mins(4);

/// What became of the two.
#[derive(Clone, Debug)]
pub struct Stranger {
    /// The job of the public repository, as GitHub has it.
    pub public: JobView,
    /// Its log there.
    pub public_log: Vec<String>,
    /// The private repository's.
    pub private: JobView,
    /// Its log there.
    pub private_log: Vec<String>,
}

/// Queues a public repository's job and then a private one's, and waits until both have ended.
///
/// # Errors
/// When something it needs is missing, or the jobs do not end in time. Everything it made is removed then too.
pub fn stranger(options: &Options) -> Result<Stranger> {
    fs::create_dir_all(&options.scratch)?;
    let folder = tempfile::Builder::new().prefix("stranger-").tempdir_in(&options.scratch)?;
    let places = Places::make(&options.name)?;
    let pem = generate_pem()?;
    let github = Github::start(&places, pem.clone())?;
    let mut daemon = Daemon::start(options, &places, folder.path(), How::plain(&pem))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ran = runtime.block_on(async {
        let story = story(&mut daemon, &github.0);
        tokio::time::timeout(PATIENCE, story).await.context("the jobs have not ended in time")?
    });
    let stopped = daemon.stop();
    let ran = ran.with_context(|| daemon.last_words())?;
    stopped?;
    Ok(ran)
}

async fn story(daemon: &mut Daemon, github: &FakeGithub) -> Result<Stranger> {
    daemon.ready().await?;
    github.add_public_repository("open");
    let public = github.queue_in("open", WORKFLOW)?;
    let private = github.queue(WORKFLOW)?;
    let job = |ids: &[u64]| ids.first().and_then(|id| github.job(*id)).context("it is queued");
    loop {
        let client = daemon.client();
        let vms: Vms = client.get("/v1/vms").await?;
        let jobs: Jobs = client.get("/v1/jobs").await?;
        let (public, private) = (job(&public)?, job(&private)?);
        let over = [&public, &private].iter().all(|job| job.status == "completed");
        if over && vms.vms.is_empty() && jobs.jobs.is_empty() {
            let (public_log, private_log) = (github.log(public.id), github.log(private.id));
            return Ok(Stranger { public, public_log, private, private_log });
        }
        tokio::time::sleep(GLANCE).await;
    }
}
