//! Downloads an archive of GitHub's runner: without any credentials, bounded, to a file.

use crate::text;
use flint_core::runner_version::RunnerVersion;
use reqwest::header::CONTENT_LENGTH;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::fs::File;
use tokio::io::AsyncWriteExt as _;
use url::Url;

/// The archive has about 200 MiB.
const LONGEST: u64 = 1 << 30;
const USER_AGENT: &str = concat!("flint/", env!("CARGO_PKG_VERSION"));
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long nothing may come. The whole may take as long as the line needs.
const SILENCE: Duration = Duration::from_secs(60);

/// An archive that can be downloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archive {
    /// What it holds.
    pub version: RunnerVersion,
    /// Where it is.
    pub url: Url,
    /// What its SHA-256 is by GitHub, if it says so; hexadecimal.
    pub sha256: Option<String>,
}

/// A kind of machine that there are archives for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Machine {
    X64,
    Arm64,
}

impl Machine {
    /// Guests are machines like their host.
    pub(super) const HERE: Machine =
        if cfg!(target_arch = "aarch64") { Machine::Arm64 } else { Machine::X64 };

    /// GitHub's name of it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Machine::X64 => "x64",
            Machine::Arm64 => "arm64",
        }
    }

    /// The version of an archive for it, by the archive's name: `actions-runner-linux-x64-2.337.0.tar.gz`.
    pub(super) fn version_in(self, file: &str) -> Option<RunnerVersion> {
        let rest = file.strip_prefix("actions-runner-linux-")?.strip_prefix(self.name())?;
        rest.strip_prefix('-')?.strip_suffix(".tar.gz")?.parse().ok()
    }
}

/// A download that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The HTTP client could not be made.
    #[error("cannot prepare the HTTP client for a download")]
    Client {
        /// Why not.
        source: reqwest::Error,
    },
    /// No answer, or one that broke off.
    #[error("cannot download `{url}`: the connection failed")]
    NoAnswer {
        /// From where.
        url: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The server does not give it.
    #[error("cannot download `{url}`: the server answered {status}")]
    Refused {
        /// From where.
        url: String,
        /// Its status.
        status: u16,
    },
    /// Larger than any archive of the runner's.
    #[error("cannot download `{url}`: it is over {} MiB", LONGEST >> 20)]
    TooLong {
        /// From where.
        url: String,
    },
    /// The file.
    #[error("cannot write `{path}`")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// What a person can do, when a person can.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        let elsewhere =
            "where there is no way to it, download it on another machine and give it with --from";
        match self {
            Error::NoAnswer { .. } => Some(format!(
                "check this host's name resolution, its proxy variables, and that port 443 is open; {elsewhere}"
            )),
            Error::Refused { .. } => Some(elsewhere.to_owned()),
            Error::File { .. } => Some("is the disk full? The image is as it was".to_owned()),
            Error::Client { .. } | Error::TooLong { .. } => None,
        }
    }
}

impl Archive {
    /// Downloads it to a new file. `heard` is told how many bytes came, and of how many if that is known.
    ///
    /// # Errors
    /// [`Error`]; what came of the file stays there.
    pub async fn download(
        &self,
        to: &Path,
        heard: &(dyn Fn(u64, Option<u64>) + Sync),
    ) -> Result<(), Error> {
        // Already set by somebody else is as good: every part of Flint uses the same provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE)
            .build()
            .map_err(|source| Error::Client { source })?;
        // Where it is kept stands in the errors, not where GitHub sends the download on to: that address is a key.
        let url = text::line(self.url.as_str());
        let no_answer = |source: reqwest::Error| Error::NoAnswer {
            url: url.clone(),
            source: source.without_url(),
        };
        let mut response = http.get(self.url.clone()).send().await.map_err(no_answer)?;
        if !response.status().is_success() {
            return Err(Error::Refused { url, status: response.status().as_u16() });
        }
        let told = response.headers().get(CONTENT_LENGTH);
        let told = told.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let failed = |source| Error::File { path: to.to_owned(), source };
        let mut file = File::create_new(to).await.map_err(failed)?;
        let mut came = 0;
        while let Some(chunk) = response.chunk().await.map_err(no_answer)? {
            came += chunk.len() as u64;
            if came > LONGEST || told.is_some_and(|told| told > LONGEST) {
                return Err(Error::TooLong { url });
            }
            file.write_all(&chunk).await.map_err(failed)?;
            heard(came, told);
        }
        file.flush().await.map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archives_name_tells_its_machine_and_version() {
        let version = |file| Machine::X64.version_in(file).map(|version| version.to_string());
        assert_eq!(version("actions-runner-linux-x64-2.337.0.tar.gz").as_deref(), Some("2.337.0"));
        for file in [
            "actions-runner-linux-arm64-2.337.0.tar.gz",
            "actions-runner-win-x64-2.337.0.zip",
            "actions-runner-linux-x64-2.337.0-noexternals.tar.gz",
            "actions-runner-linux-x64.tar.gz",
        ] {
            assert_eq!(version(file), None, "{file}");
        }
    }
}
