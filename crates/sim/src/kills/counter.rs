//! One job that counts, and a daemon that is killed again and again while it does.

use crate::demo::daemon::{Daemon, How};
use crate::demo::places::Places;
use crate::demo::{Github, Options};
use crate::github::{FakeGithub, generate_pem};
use anyhow::{Context, Result, bail};
use flint::api::{JobRow, Jobs, Vms};
use std::fs;
use std::io;
use std::time::{Duration, Instant};

/// A number ten times a second, for 20 seconds.
const WORKFLOW: &str = "name: counter
on: push
jobs:
  count:
    runs-on: [self-hosted, linux, small]
    steps:
      - run: for n in $(seq 1 200); do echo \"count $n\"; sleep 0.1; done
";

/// How often something is looked at that cannot be waited for.
const GLANCE: Duration = Duration::from_millis(100);

/// Four times the job, on a slow machine.
const PATIENCE: Duration = Duration::from_mins(4);

/// What is known of the job at its end.
#[derive(Clone, Debug)]
pub struct Counted {
    /// The job, as the last daemon remembers it.
    pub job: JobRow,
    /// The numbers in its log file, in their order.
    pub numbers: Vec<u32>,
    /// The file.
    pub log: String,
    /// What the daemons said last.
    pub said: String,
}

/// Runs the job, and kills the daemon each time that one of these numbers has been counted.
///
/// # Errors
/// When something it needs is missing, or the job does not end in time. Everything it made is removed then too.
pub fn count(options: &Options, kill_at: &[u32]) -> Result<Counted> {
    fs::create_dir_all(&options.scratch)?;
    let folder = tempfile::Builder::new().prefix("count-").tempdir_in(&options.scratch)?;
    let places = Places::make(&options.name)?;
    let pem = generate_pem()?;
    let github = Github::start(&places, pem.clone())?;
    let mut daemon = Daemon::start(options, &places, folder.path(), How::plain(&pem))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ran = runtime.block_on(async {
        let story = story(&mut daemon, &github.0, kill_at);
        tokio::time::timeout(PATIENCE, story).await.context("the job has not ended in time")?
    });
    let stopped = daemon.stop();
    let job = ran.with_context(|| daemon.last_words())?;
    stopped?;
    let vm = job.vm.clone().context("the job ran in no microVM")?;
    let log = fs::read_to_string(daemon.state_dir().join(format!("logs/{vm}.log")))?;
    let numbers = log.lines().filter_map(number).collect();
    Ok(Counted { job, numbers, log, said: daemon.last_words() })
}

async fn story(daemon: &mut Daemon, github: &FakeGithub, kill_at: &[u32]) -> Result<JobRow> {
    daemon.ready().await?;
    let ids = github.queue(WORKFLOW)?;
    for at in kill_at {
        until_counted(daemon, *at).await?;
        daemon.kill()?;
        daemon.come_back().await?;
    }
    loop {
        let client = daemon.client();
        let vms: Vms = client.get("/v1/vms").await?;
        let jobs: Jobs = client.get("/v1/jobs?done=1").await?;
        let job =
            jobs.jobs.into_iter().find(|row| ids.contains(&row.id) && row.completed.is_some());
        if let Some(job) = job.filter(|_| vms.vms.is_empty()) {
            return Ok(job);
        }
        tokio::time::sleep(GLANCE).await;
    }
}

/// Reads the microVM's log, as `flint logs --follow` does, up to this number.
async fn until_counted(daemon: &Daemon, wanted: u32) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        let vms: Vms = daemon.client().get("/v1/vms").await?;
        if let Some(vm) = vms.vms.first() {
            let mut lines = String::new();
            let take = |piece: &[u8]| {
                lines.push_str(&String::from_utf8_lossy(piece));
                let there = lines.contains(&format!("count {wanted}\n"));
                // The only way to stop listening.
                if there { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
            };
            let path = format!("/v1/logs/{}?follow=1", vm.id);
            if matches!(
                daemon.client().stream(&path, take).await,
                Err(flint::cli::error::Error::Output { .. })
            ) {
                return Ok(());
            }
        }
        tokio::time::sleep(GLANCE).await;
    }
    bail!("the job has not counted to {wanted}")
}

/// The number in a line of the file: `1790000000000 17 out count 5`.
fn number(line: &str) -> Option<u32> {
    let (_, text) = line.split_once(" out ")?;
    text.strip_prefix("count ")?.parse().ok()
}
