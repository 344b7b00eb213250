//! One point: three jobs come, the daemon dies at its label, is started again, and all is looked at.

use super::Aim;
use super::secrets::Secrets;
use crate::demo::daemon::{Daemon, How, profiles};
use crate::demo::leftovers::Search;
use crate::demo::places::Places;
use crate::demo::{Github, Options, SECRET};
use crate::github::{FakeGithub, HookView, JobView};
use anyhow::{Context, Result, ensure};
use flint::api::{Jobs, Vms};
use flint::steps::Step;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

const WORKFLOW: &str = include_str!("workflow.yml");

/// A job that is not awaited.
const IDLE: &str = "name: idle
on: push
jobs:
  idle:
    runs-on: [self-hosted, linux, small]
    steps:
      - run: 'true'
";

/// How often the daemon is asked what is there.
const GLANCE: Duration = Duration::from_millis(100);

/// Two generations of three microVMs boot and work within a minute, on two slow cores; a hang should not last.
const PATIENCE: Duration = Duration::from_mins(4);

/// What one point came to.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Where the daemon was killed.
    pub label: String,
    /// How many jobs were in flight.
    pub jobs: usize,
    /// Jobs that did not run, failed, or ran twice.
    pub lost: usize,
    /// Jobs that a microVM had at the kill, and that the same one did not end.
    pub killed: usize,
    /// What is left, secrets included.
    pub leftovers: usize,
    /// How many jobs a microVM had at the kill.
    pub held: usize,
    /// All that is wrong, in words.
    pub wrong: Vec<String>,
    /// How long it took.
    pub took: Duration,
}

impl Row {
    /// Stands above the rows.
    pub const HEAD: &str = "killed at                    jobs  held  lost  killed  left   took";
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Row { label, jobs, lost, killed, leftovers, held, wrong, took } = self;
        let took = took.as_secs();
        write!(
            f,
            "{label:<28} {jobs:>4}  {held:>4}  {lost:>4}  {killed:>6}  {leftovers:>4}  {took:>3} s"
        )?;
        wrong.iter().try_for_each(|wrong| write!(f, "\n  WRONG: {wrong}"))
    }
}

/// What is looked at during a point.
struct Scene<'a> {
    daemon: Daemon,
    github: &'a FakeGithub,
    search: Search<'a>,
    jobs: Vec<u64>,
    row: Row,
}

pub(super) fn run(options: &Options, aim: &Aim, pem: &str) -> Result<Row> {
    let began = Instant::now();
    let folder = tempfile::Builder::new().prefix("kill-").tempdir_in(&options.scratch)?;
    let places = Places::make(&options.name)?;
    let github = Github::start(&places, pem.to_owned())?;
    let text = aim.text();
    let adjust = if needs_an_idle_one(&text) { impatient } else { |_: &mut toml::Table| {} };
    let daemon = Daemon::start(
        options,
        &places,
        folder.path(),
        How { aim: Some(&text), adjust, ..How::plain(pem) },
    )?;
    let state_dir = daemon.state_dir();
    let search = Search { prefix: &options.name, state_dir: &state_dir, uplink: places.host() };
    let row = Row { label: text, ..Row::default() };
    let mut scene = Scene { daemon, github: &github.0, search, jobs: Vec::new(), row };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let lived = runtime.block_on(scene.live());
    let stopped = scene.daemon.stop();
    lived.with_context(|| scene.daemon.last_words())?;
    if let Err(error) = stopped {
        scene.row.wrong.push(format!("{error:#}"));
    }
    scene.look_for_leftovers(pem);
    scene.row.took = began.elapsed();
    Ok(scene.row)
}

/// The runners of jobs that end are used up, and nobody removes them.
fn needs_an_idle_one(label: &str) -> bool {
    label.contains(Step::Deregister.name())
}

/// A runner that waits for nothing goes while the others are still at work.
fn impatient(config: &mut toml::Table) {
    for profile in profiles(config) {
        let idle = toml::toml! { idle = "2s" };
        profile.insert("timeouts".to_owned(), idle.into());
    }
}

impl Scene<'_> {
    async fn live(&mut self) -> Result<()> {
        self.daemon.ready().await?;
        self.jobs = self.github.queue(WORKFLOW)?;
        self.row.jobs = self.jobs.len();
        if needs_an_idle_one(&self.row.label) {
            let idle = tokio::time::timeout(PATIENCE, self.leave_one_idle());
            idle.await.context("nothing is registered")??;
        }
        if !self.dies().await? {
            self.row.wrong.push("the daemon did not come to this point".to_owned());
            return Ok(());
        }
        let held = self.held();
        self.row.held = held.len();
        self.look_for_secrets_in_processes();
        self.daemon.come_back().await?;
        self.look_for_secrets_in_processes();
        if tokio::time::timeout(PATIENCE, self.settled()).await.is_err() {
            self.row.wrong.push(format!("not settled after {} s", PATIENCE.as_secs()));
            self.row.wrong.push(self.daemon.last_words());
        }
        self.judge(&held);
        Ok(())
    }

    /// Takes a fourth job away when its runner is registered, which then waits for nothing.
    async fn leave_one_idle(&self) -> Result<()> {
        let idle = self.github.queue(IDLE)?;
        while self.github.runners().len() < self.jobs.len() + idle.len() {
            tokio::time::sleep(GLANCE).await;
        }
        for job in idle {
            ensure!(self.github.cancel(job), "job {job} has begun");
        }
        Ok(())
    }

    /// Waits until the daemon has been killed. False: it lived on through all of its jobs.
    async fn dies(&mut self) -> Result<bool> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            match self.daemon.ended()? {
                Some(end) if end.signal() == Some(9) => return Ok(true),
                Some(end) => anyhow::bail!("it was not killed, it ended: {end}"),
                None => tokio::time::sleep(GLANCE).await,
            }
        }
        Ok(false)
    }

    /// The jobs that a runner has, and which.
    fn held(&self) -> BTreeMap<u64, String> {
        let mine = self.views().into_iter().filter_map(|job| Some((job.id, job.runner?)));
        mine.collect()
    }

    fn views(&self) -> Vec<JobView> {
        self.jobs.iter().filter_map(|id| self.github.job(*id)).collect()
    }

    /// Returns when all jobs have ended, and the daemon knows of nothing any more.
    async fn settled(&self) {
        loop {
            let client = self.daemon.client();
            let vms = client.get::<Vms>("/v1/vms").await.map(|vms| vms.vms.len());
            let jobs = client.get::<Jobs>("/v1/jobs").await.map(|jobs| jobs.jobs.len());
            let ended = self.views().iter().all(|job| job.conclusion.is_some());
            if ended && matches!((vms, jobs), (Ok(0), Ok(0))) {
                return;
            }
            tokio::time::sleep(GLANCE).await;
        }
    }

    fn judge(&mut self, held: &BTreeMap<u64, String>) {
        let starts = starts(&self.github.deliveries());
        let mut kernels = BTreeSet::new();
        for job in self.views() {
            let log = self.github.log(job.id);
            let began: Vec<&String> = log.iter().filter(|line| began(line)).collect();
            let counted = log.iter().filter(|line| line.starts_with("count ")).count();
            let once = began.len() == 1 && starts.get(&job.id) == Some(&1);
            let own = began.first().is_some_and(|kernel| kernels.insert((*kernel).clone()));
            if job.conclusion.as_deref() != Some("success") || !once || !own || counted != 20 {
                self.row.lost += 1;
                self.row.wrong.push(format!(
                    "job {} is lost: {job:?}, began {began:?}, counted {counted}",
                    job.id
                ));
            }
            let same = held.get(&job.id).is_none_or(|had| job.runner.as_ref() == Some(had));
            if !same || (held.contains_key(&job.id) && job.conclusion.as_deref() != Some("success"))
            {
                self.row.killed += 1;
                self.row.wrong.push(format!(
                    "job {} was taken from {:?}: {job:?}",
                    job.id,
                    held.get(&job.id)
                ));
            }
        }
    }

    fn look_for_secrets_in_processes(&mut self) {
        let found = secrets(self.github, &[SECRET]).in_processes(&self.search.pids());
        self.leave(found);
    }

    fn look_for_leftovers(&mut self, pem: &str) {
        let key: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        let secrets = secrets(self.github, &[SECRET, &key]);
        let mut found = self.search.leftovers();
        let runners = self.github.runners();
        found.extend(runners.iter().map(|runner| format!("registration {}", runner.name)));
        found.extend(secrets.in_files(self.search.state_dir));
        if secrets.in_file(self.daemon.log()) {
            found.push("a secret in the daemon's log".to_owned());
        }
        self.leave(found);
    }

    fn leave(&mut self, found: Vec<String>) {
        self.row.leftovers += found.len();
        self.row.wrong.extend(found.into_iter().map(|left| format!("left: {left}")));
    }
}

/// All that was handed out, and what the daemon was given.
fn secrets(github: &FakeGithub, given: &[&str]) -> Secrets {
    let handed_out = github.secrets();
    Secrets::of(handed_out.iter().map(String::as_str).chain(given.iter().copied()))
}

/// How many times each job began, by GitHub's own word.
fn starts(deliveries: &[HookView]) -> BTreeMap<u64, usize> {
    let mut guids: BTreeMap<u64, BTreeSet<&str>> = BTreeMap::new();
    for sent in deliveries.iter().filter(|sent| sent.action.as_deref() == Some("in_progress")) {
        let body: Value = serde_json::from_str(&sent.payload).unwrap_or_default();
        if let Some(job) = body["workflow_job"]["id"].as_u64() {
            guids.entry(job).or_default().insert(&sent.guid);
        }
    }
    guids.into_iter().map(|(job, guids)| (job, guids.len())).collect()
}

/// Whether a line is the job's own first word, with the number of its kernel's life.
fn began(line: &str) -> bool {
    line.split_once("began in ").is_some_and(|(_, id)| id.trim().len() == 36 && !id.contains('$'))
}
