//! Two repositories of one App, and an organization whose GitHub does not answer: one daemon, one pool.

use super::Options;
use super::daemon::{Daemon, profiles};
use super::places::GITHUB;
use super::stage::{GLANCE, Stage};
use crate::github::{FakeGithub, JobView};
use anyhow::{Context, Result};
use flint::api::Status;
use std::time::Duration;

const WORKFLOW: &str = "name: where
on: push
jobs:
  where:
    runs-on: [self-hosted, linux, small]
    steps:
      - run: echo \"ran for $GITHUB_REPOSITORY\"
";

/// Beside the first repository of the fake GitHub.
const OTHER: &str = "gadgets";

/// Two microVMs on a slow machine.
const PATIENCE: Duration = Duration::from_mins(6);

/// What became of the two jobs.
#[derive(Clone, Debug)]
pub struct Scoped {
    /// As GitHub has them, each with its log: of the first repository, then of the other.
    pub ran: Vec<(JobView, Vec<String>)>,
    /// How the daemon stood then.
    pub status: Status,
}

/// Runs a job in each repository, and waits until they have ended.
///
/// # Errors
/// When something it needs is missing, or the jobs do not end in time. Everything it made is removed then too.
pub fn scopes(options: &Options) -> Result<Scoped> {
    let stage = Stage::set(options, "scopes")?;
    stage.github().add_repository(OTHER);
    stage.play(stage.adjusted(split), PATIENCE, story)
}

/// Two entries: the organization's repositories one by one, and an organization where nobody listens.
fn split(config: &mut toml::Table) {
    let Some(toml::Value::Table(mut first)) = config.remove("github") else { return };
    first.remove("organization");
    let named = [format!("flint-demo/{OTHER}"), "flint-demo/widgets".to_owned()];
    first.insert("repository".to_owned(), named.map(toml::Value::from).to_vec().into());
    let mut second = first.clone();
    second.remove("repository");
    second.insert("organization".to_owned(), "elsewhere".into());
    second.insert("url".to_owned(), format!("http://{GITHUB}:81").into());
    second.insert("webhook_secret".to_owned(), "another secret".into());
    let entries: Vec<toml::Value> = vec![first.into(), second.into()];
    config.insert("github".to_owned(), entries.into());
    profiles(config).next().map(|profile| profile.insert("warm".to_owned(), 1.into()));
}

async fn story(daemon: &mut Daemon, github: &FakeGithub) -> Result<Scoped> {
    let mut ids = github.queue(WORKFLOW)?;
    ids.extend(github.queue_in(OTHER, WORKFLOW)?);
    let job = |id: &u64| github.job(*id).context("GitHub knows it");
    loop {
        let jobs: Vec<JobView> = ids.iter().map(job).collect::<Result<_>>()?;
        if jobs.iter().all(|job| job.status == "completed") {
            let status = daemon.client().get("/v1/status").await?;
            let ran = jobs.into_iter().map(|job| (job.clone(), github.log(job.id)));
            return Ok(Scoped { ran: ran.collect(), status });
        }
        tokio::time::sleep(GLANCE).await;
    }
}
