//! Why the daemon cannot start or go on.

use std::io;
use std::path::PathBuf;

/// A daemon that could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The store.
    #[error("cannot use the store")]
    Store {
        /// Why not.
        source: crate::store::Error,
    },
    /// GitHub's side.
    #[error("cannot prepare GitHub's side")]
    Forge {
        /// Why not.
        source: crate::forge::Error,
    },
    /// Scale sets.
    #[error("cannot prepare GitHub's scale sets")]
    ScaleSets {
        /// Why not.
        source: crate::forge::scale_set::Error,
    },
    /// The half that faces the network.
    #[error("cannot take webhooks")]
    Front {
        /// Why not.
        source: crate::front::Error,
    },
    /// The network.
    #[error("cannot prepare the network of microVMs")]
    Net {
        /// Why not.
        source: crate::net::Error,
    },
    /// Disks.
    #[error("cannot prepare the disks of profile `{profile}`")]
    Images {
        /// Whose.
        profile: String,
        /// Why not.
        source: crate::images::Error,
    },
    /// The VMM.
    #[error("cannot prepare a VMM")]
    Vmm {
        /// Why not.
        source: crate::vmm::Error,
    },
    /// A microVM that was asked for by hand.
    #[error("cannot run a microVM by hand")]
    Host {
        /// Why not.
        source: crate::host::Error,
    },
    /// The API socket.
    #[error("cannot serve the API on `{path}`")]
    Socket {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A directory of its own.
    #[error("cannot make `{path}`")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Signals.
    #[error("cannot listen to signals")]
    Signals {
        /// Why not.
        source: io::Error,
    },
    /// Another process has the slots of this prefix.
    #[error("another Flint on this host names its slots after `{prefix}`{}", process(*pid))]
    PrefixTaken {
        /// As configured.
        prefix: String,
        /// Its number, if known.
        pid: Option<u32>,
    },
    /// A profile that is not configured.
    #[error("no profile is called `{profile}`")]
    NoProfile {
        /// What was asked for.
        profile: String,
    },
    /// A configuration for local use.
    #[error("cannot serve without GitHub")]
    NoGithub,
    /// The controller ended by itself, which only a bug does.
    #[error("the controller has ended; please report this")]
    Broken,
}

fn process(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

impl Error {
    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Error::Store { source } => source.help(),
            Error::Forge { source } => source.help(),
            Error::ScaleSets { source } => source.help(),
            Error::Front { source } => source.help(),
            Error::Net { source } => source.help().map(str::to_owned),
            Error::Images { source, .. } => source.help(),
            Error::Vmm { source } => source.help(),
            Error::Host { source } => source.help(),
            Error::Socket { .. } => Some("is another daemon using this run directory?".to_owned()),
            Error::Directory { .. } => {
                Some("Flint runs as root; `--state-dir` and `--run-dir` choose others".to_owned())
            }
            Error::NoGithub => {
                Some("set `--organization` or `--repository`, and the App".to_owned())
            }
            Error::PrefixTaken { .. } => Some(
                "end it first, or give this one a prefix, a state and a run directory of its own: `--netns-prefix`, \
                 `--state-dir`, `--run-dir`"
                    .to_owned(),
            ),
            Error::NoProfile { .. } => Some("`flint status` lists the profiles".to_owned()),
            Error::Signals { .. } | Error::Broken => None,
        }
    }
}
