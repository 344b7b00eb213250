//! Brings a newer runner of GitHub's into images, for `flint image update-runner`: forge and images, one after the other.

use super::github::of_entry;
use crate::config::GithubOptions;
use crate::forge::{self, download};
use crate::images::runner::{self, Updated, Workshop};
use flint_core::runner_version::RunnerVersion;
use std::path::{Path, PathBuf};

/// What should be done.
#[derive(Clone, Debug, Default)]
pub struct RunnerUpdate {
    /// The images.
    pub images: Vec<PathBuf>,
    /// An archive that is here already, instead of a download.
    pub from: Option<PathBuf>,
    /// The version to download, instead of the newest.
    pub version: Option<RunnerVersion>,
    /// What the archive's SHA-256 must be, instead of what GitHub says.
    pub sha256: Option<String>,
}

/// What became of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunnerState {
    /// It has another runner.
    Updated(Updated),
    /// It has that version already, and was left alone.
    Current {
        /// Which image.
        image: PathBuf,
        /// Which version.
        version: String,
    },
}

/// An update that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunnerError {
    /// The image or the archive.
    #[error("cannot update the runner in an image")]
    Image {
        /// Why.
        source: runner::Error,
    },
    /// GitHub did not say where the archive is.
    #[error("cannot learn from GitHub where its runner is")]
    Github {
        /// Why.
        source: forge::Error,
    },
    /// The archive did not come.
    #[error("cannot get GitHub's runner")]
    Download {
        /// Why.
        source: download::Error,
    },
    /// A download whose sum nobody knows is not used.
    #[error("cannot check version {version} of the runner: GitHub tells no SHA-256 of it")]
    NoSum {
        /// Which version.
        version: RunnerVersion,
    },
    /// Nobody to ask.
    #[error("cannot ask GitHub for its runner: no GitHub is configured")]
    NoGithub,
}

impl RunnerError {
    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            RunnerError::Image { source } => source.help(),
            RunnerError::Github { source: forge::Error::NotFound { .. } } => Some(
                "there is no such version, or this GitHub lists none (an Enterprise Server): download the archive elsewhere, \
                 and give it with --from"
                    .to_owned(),
            ),
            RunnerError::Github { source } => source.help(),
            RunnerError::Download { source } => source.help(),
            RunnerError::NoSum { .. } => {
                Some("give the one that stands in its release's notes: --sha256".to_owned())
            }
            RunnerError::NoGithub => Some(
                "configure it (`flint init`), or give an archive that you downloaded with --from".to_owned(),
            ),
        }
    }
}

/// Updates the images, one after the other; the first failure ends it. `say` hears what is being done.
///
/// # Errors
/// [`RunnerError`]; the image in question is as it was then.
pub async fn update_runner(
    wish: &RunnerUpdate,
    github: Option<&GithubOptions>,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Vec<RunnerState>, RunnerError> {
    let mut shops = Vec::new();
    for image in &wish.images {
        shops.push(Workshop::beside(image).map_err(|source| RunnerError::Image { source })?);
    }
    let mut done = Vec::new();
    let Some(first) = shops.first() else { return Ok(done) };
    let (archive, sha256, version) = match &wish.from {
        Some(from) => (from.clone(), wish.sha256.clone(), wish.version),
        None => {
            let mut listed = listed(wish, github, say).await?;
            listed.sha256 = wish.sha256.clone().or(listed.sha256);
            let version = listed.version;
            let is_current = |shop: &Workshop| shop.found().version == Some(version.to_string());
            if shops.iter().all(is_current) {
                return Ok(shops.iter().map(|shop| current(shop, version)).collect());
            }
            let to = first.place("runner.tar.gz");
            let sha256 = fetch(&listed, &to, say).await?;
            (to, Some(sha256), Some(version))
        }
    };
    for shop in &shops {
        done.push(match version.filter(|v| shop.found().version == Some(v.to_string())) {
            // What somebody gives by hand is put in, even if it calls itself the same.
            Some(version) if wish.from.is_none() => current(shop, version),
            _ => one(shop, &archive, (sha256.as_deref(), version), say)?,
        });
    }
    Ok(done)
}

fn current(shop: &Workshop, version: RunnerVersion) -> RunnerState {
    RunnerState::Current { image: shop.image().to_owned(), version: version.to_string() }
}

async fn listed(
    wish: &RunnerUpdate,
    options: Option<&GithubOptions>,
    say: &(dyn Fn(&str) + Sync),
) -> Result<download::Archive, RunnerError> {
    let failed = |source| RunnerError::Github { source };
    say("asking GitHub for its runner");
    let client = of_entry(options.ok_or(RunnerError::NoGithub)?).map_err(failed)?;
    let listed = match wish.version {
        None => client.newest_runner().await,
        Some(version) => client.released_runner(version).await,
    };
    listed.map_err(failed)
}

/// Gives the sum that it must have.
async fn fetch(
    listed: &download::Archive,
    to: &Path,
    say: &(dyn Fn(&str) + Sync),
) -> Result<String, RunnerError> {
    let version = listed.version;
    let sha256 = listed.sha256.clone().ok_or(RunnerError::NoSum { version })?;
    let heard = |came: u64, of: Option<u64>| {
        let of = of.map_or(String::new(), |of| format!(" of {}", of >> 20));
        say(&format!("downloading version {version}: {}{of} MiB", came >> 20));
    };
    let downloaded = listed.download(to, &heard).await;
    downloaded.map_err(|source| RunnerError::Download { source })?;
    Ok(sha256)
}

fn one(
    shop: &Workshop,
    archive: &Path,
    (sha256, version): (Option<&str>, Option<RunnerVersion>),
    say: &(dyn Fn(&str) + Sync),
) -> Result<RunnerState, RunnerError> {
    let name = shop.image().display();
    let say = |step: &str| say(&format!("{name}: {step}"));
    let updated = shop.update(archive, sha256, version, &say);
    updated.map(RunnerState::Updated).map_err(|source| RunnerError::Image { source })
}
