//! Jobs that ask for their own size, and one that asks for too much.

use super::Options;
use super::daemon::{Daemon, profiles};
use super::stage::{GLANCE, Stage};
use crate::github::{FakeGithub, JobView};
use anyhow::{Context, Result};
use flint::api::{Jobs, WhyAnswer};
use std::time::Duration;

/// Each says what it finds: processors, MiB of memory, GiB of its writable disk.
const WORKFLOW: &str = "name: sizes
on: push
jobs:
  a-small:
    runs-on: flint-2cpu-4gb
    steps:
      - run: &look |
          nproc
          awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo
          cat /sys/block/vdb/size
  b-large:
    runs-on: flint-4cpu-8gb-disk50gb
    steps:
      - run: *look
  c-wrong:
    runs-on: flint-64cpu-4gb
    steps:
      - run: *look
";

/// Two microVMs on a slow machine.
const PATIENCE: Duration = Duration::from_mins(6);

/// What became of the three.
#[derive(Clone, Debug)]
pub struct Sized {
    /// The two that run, as GitHub has them, each with its log.
    pub ran: Vec<(JobView, Vec<String>)>,
    /// What `why` says of the third.
    pub why: WhyAnswer,
}

/// Runs the three, and waits until nothing moves any more.
///
/// # Errors
/// When something it needs is missing, or the jobs do not end in time. Everything it made is removed then too.
pub fn sizes(options: &Options) -> Result<Sized> {
    let stage = Stage::set(options, "sizes")?;
    stage.play(stage.adjusted(offer), PATIENCE, story)
}

/// The first profile offers sizes, on a host that has room for two of them.
fn offer(config: &mut toml::Table) {
    let room = toml::toml! {
        vcpus = 8
        memory = "13 GiB"
        disk = "80 GiB"
    };
    if let Some(host) = config.get_mut("host").and_then(toml::Value::as_table_mut) {
        host.extend(room);
    }
    let offered = toml::toml! {
        prefix = "flint"
        vcpus = 8
    };
    profiles(config).next().map(|profile| profile.insert("sizes".to_owned(), offered.into()));
}

async fn story(daemon: &mut Daemon, github: &FakeGithub) -> Result<Sized> {
    let ids = github.queue(WORKFLOW)?;
    let [small, large, wrong] = ids.as_slice() else { anyhow::bail!("three jobs are queued") };
    let client = daemon.client();
    loop {
        let Jobs { jobs } = client.get("/v1/jobs").await?;
        let open = |id: &u64| jobs.iter().any(|job| job.id == *id);
        if open(wrong) && !open(small) && !open(large) {
            break;
        }
        tokio::time::sleep(GLANCE).await;
    }
    let why = client.get(&format!("/v1/why/{wrong}")).await?;
    let job = |id: &u64| {
        let job = github.job(*id).context("GitHub knows it")?;
        anyhow::Ok((job, github.log(*id)))
    };
    Ok(Sized { ran: vec![job(small)?, job(large)?], why })
}
