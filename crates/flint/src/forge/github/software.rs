//! GitHub's runner as a program: which versions are released, when, and where their archives are.
//!
//! The newest is told by the same GitHub that gives jobs, an Enterprise Server too. Dates, and archives of other
//! versions, stand in the public list of releases, which only github.com has.

use super::{Error, GitHub};
use crate::forge::download::{Archive, Machine};
use flint_core::runner_version::{Releases, Rule, RunnerVersion, Since};
use flint_core::units::Timestamp;
use serde::Deserialize;
use url::Url;

/// Where the runner is developed.
const HOME: [&str; 4] = ["repos", "actions", "runner", "releases"];
/// More than a year of releases; a page of them has some hundred thousand bytes.
const PAGE: &str = "30";

/// One of `runners/downloads`.
#[derive(Deserialize)]
struct Download {
    os: String,
    architecture: String,
    download_url: String,
    filename: String,
    #[serde(default)]
    sha256_checksum: Option<String>,
}

/// One of the list of releases.
#[derive(Deserialize)]
struct Release {
    tag_name: String,
    #[serde(default)]
    draft: bool,
    #[serde(default)]
    prerelease: bool,
    #[serde(default)]
    published_at: Option<jiff::Timestamp>,
    #[serde(default)]
    assets: Vec<Asset>,
}

#[derive(Deserialize)]
struct Asset {
    name: String,
    browser_download_url: String,
    /// `sha256:…`; GitHub has it since 2025.
    #[serde(default)]
    digest: Option<String>,
}

impl GitHub {
    /// How strict this GitHub is about versions.
    #[must_use]
    pub fn runner_rule(&self) -> Rule {
        runner_rule(self.caller.rest.base())
    }

    /// The newest version for machines like this one.
    ///
    /// # Errors
    /// [`Error::Garbage`] when none is named; whatever stands in the way.
    pub async fn newest_runner(&self) -> Result<Archive, Error> {
        let reply = self.on_runners(reqwest::Method::GET, &["downloads"], &[], None).await?;
        let listed: Vec<Download> = reply.json()?;
        let ours = |d: &&Download| d.os == "linux" && d.architecture == Machine::HERE.name();
        let found = listed.iter().find(ours);
        let archive = found.and_then(|found| {
            let version = Machine::HERE.version_in(&found.filename)?;
            let url = self.downloadable(&found.download_url)?;
            Some(Archive { version, url, sha256: found.sha256_checksum.clone().and_then(sum) })
        });
        archive.ok_or_else(|| {
            reply.garbage(format!("it names no archive for Linux on {}", Machine::HERE.name()))
        })
    }

    /// A version of the public list.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such version, or this GitHub has no list.
    pub async fn released_runner(&self, version: RunnerVersion) -> Result<Archive, Error> {
        let tag = format!("v{version}");
        let reply = self.read(&[&HOME[..], &["tags", &tag]].concat(), &[]).await?;
        let release: Release = reply.json()?;
        let ours = |asset: &&Asset| Machine::HERE.version_in(&asset.name) == Some(version);
        let found = release.assets.iter().find(ours);
        let archive = found.and_then(|found| {
            let digest = found.digest.as_deref().and_then(|d| d.strip_prefix("sha256:"));
            let sha256 = digest.map(str::to_owned).and_then(sum);
            Some(Archive { version, url: self.downloadable(&found.browser_download_url)?, sha256 })
        });
        archive.ok_or_else(|| {
            reply.garbage(format!("it names no archive for Linux on {}", Machine::HERE.name()))
        })
    }

    /// All that this GitHub tells of released versions. Without a list of releases it is the newest alone, of which nobody
    /// says since when it is there.
    ///
    /// # Errors
    /// When not even the newest is told.
    pub async fn runner_releases(&self) -> Result<Releases, Error> {
        let mut releases = Releases::default();
        match self.read(&HOME, &[("per_page", PAGE)]).await {
            Ok(reply) => {
                for release in reply.json::<Vec<Release>>()? {
                    if let Some((version, since)) = dated(&release) {
                        releases.learn(version, since);
                    }
                }
            }
            Err(error) => tracing::debug!(%error, "no dates of the runner's releases"),
        }
        match self.newest_runner().await {
            // Who may not ask for it knows the dates all the same.
            Err(error) if releases.newest().is_none() => return Err(error),
            Err(error) => tracing::debug!(%error, "the newest runner by the list of releases"),
            Ok(newest) => releases.learn(newest.version, Since::Unknown),
        }
        Ok(releases)
    }

    /// An address that a download may go to: never less protected than GitHub itself.
    fn downloadable(&self, text: &str) -> Option<Url> {
        let url = Url::parse(text).ok()?;
        let safe = url.scheme() == "https" || url.scheme() == self.caller.rest.base().scheme();
        (safe && matches!(url.scheme(), "http" | "https")).then_some(url)
    }
}

/// How strict the GitHub with this API is about versions of its runner.
#[must_use]
pub fn runner_rule(api: &Url) -> Rule {
    // What GitHub runs itself has its API at the root of a host of its own.
    match api.path().trim_matches('/') {
        "" => Rule::Enforced,
        _ => Rule::Advised,
    }
}

fn dated(release: &Release) -> Option<(RunnerVersion, Since)> {
    let version =
        release.tag_name.parse().ok().filter(|_| !release.draft && !release.prerelease)?;
    let at = u64::try_from(release.published_at?.as_millisecond()).ok()?;
    Some((version, Since::Released(Timestamp(at))))
}

/// Hexadecimal, and nothing else.
fn sum(text: String) -> Option<String> {
    (text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(text)
}
