//! Where a story is played: a made-up GitHub and the real daemon, in a directory and in namespaces of their own.

use super::daemon::{Daemon, How};
use super::places::Places;
use super::{Github, Options};
use crate::github::{Config, FakeGithub, generate_pem};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;

/// How often something is looked at that cannot be waited for.
pub(super) const GLANCE: Duration = Duration::from_millis(100);

/// Everything of it is removed with it; GitHub ends before its namespace goes.
pub(super) struct Stage<'a> {
    options: &'a Options,
    github: Github,
    pem: String,
    pub(super) places: Places,
    folder: TempDir,
}

impl<'a> Stage<'a> {
    /// One whose GitHub tells of its jobs by signed webhooks.
    ///
    /// # Errors
    /// When something it needs is missing.
    pub(super) fn set(options: &'a Options, name: &str) -> Result<Self> {
        let tell = |places: &Places, pem: &str| Github::start(places, pem.to_owned());
        Stage::with(options, name, tell)
    }

    /// One whose GitHub has an App that is nobody's here: no webhook goes to it.
    ///
    /// # Errors
    /// When something it needs is missing.
    pub(super) fn without_app(options: &'a Options, name: &str) -> Result<Self> {
        let tell = |places: &Places, pem: &str| Github::with(places, Config::new(pem.to_owned()));
        Stage::with(options, name, tell)
    }

    fn with(
        options: &'a Options,
        name: &str,
        github: impl FnOnce(&Places, &str) -> Result<Github>,
    ) -> Result<Self> {
        fs::create_dir_all(&options.scratch)?;
        let mut folder = tempfile::Builder::new();
        let folder = folder.prefix(&format!("{name}-")).tempdir_in(&options.scratch);
        let folder = folder.context("cannot make a directory for the demo's state")?;
        let places = Places::make(&options.name)?;
        let pem = generate_pem()?;
        let github = github(&places, &pem)?;
        Ok(Stage { options, github, pem, places, folder })
    }

    /// Where the daemon's files are.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The made-up GitHub.
    pub(super) fn github(&self) -> &FakeGithub {
        &self.github.0
    }

    /// The key of GitHub's App.
    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// How a daemon starts here, with its configuration changed.
    pub(super) fn adjusted(&self, adjust: fn(&mut toml::Table)) -> How<'_> {
        How { adjust, ..How::plain(&self.pem) }
    }

    /// Starts the daemon, tells the story once it serves, and stops it. What ends in time and well is what the story gave.
    ///
    /// # Errors
    /// When the daemon does not start or end, or the story fails or takes longer than `patience`; then with the last of the
    /// daemon's log.
    pub(super) fn play<T>(
        &self,
        how: How<'_>,
        patience: Duration,
        story: impl AsyncFnOnce(&mut Daemon, &FakeGithub) -> Result<T>,
    ) -> Result<T> {
        let mut daemon = Daemon::start(self.options, &self.places, self.folder(), how)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let told = runtime.block_on(async {
            daemon.ready().await?;
            match tokio::time::timeout(patience, story(&mut daemon, self.github())).await {
                Ok(told) => told,
                Err(_) => bail!("this has not ended after {} s", patience.as_secs()),
            }
        });
        let stopped = daemon.stop();
        let told = told.with_context(|| daemon.last_words())?;
        stopped.map(|()| told)
    }
}
