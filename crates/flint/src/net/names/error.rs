//! What can go wrong with the resolver.

use flint_core::id::Slot;
use std::io;
use std::path::PathBuf;

/// Why guests' names are not resolved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// What a slot's resolver must be told again after a restart of the daemon.
    #[error("cannot {verb} `{path}`")]
    Kept {
        /// `write`, `read` or `remove`.
        verb: &'static str,
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It has nothing to listen on, or to ask with; or nothing can be opened there.
    #[error("cannot work in `{netns}`")]
    Slot {
        /// Where.
        netns: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A list of names needs a resolver, and none runs.
    #[error("cannot hold slot {slot} to a list of names: the resolver does not run")]
    Absent {
        /// Which.
        slot: Slot,
    },
    /// Its process cannot be started, or its link has broken.
    #[error("cannot start the process that resolves guests' names")]
    Process {
        /// Why.
        source: io::Error,
    },
    /// Its process goes without something that it must have.
    #[error("cannot confine the process that resolves guests' names: it cannot have {lost}")]
    Unconfined {
        /// What.
        lost: String,
    },
    /// Started by hand.
    #[error("cannot run alone: only the daemon starts this process")]
    Alone,
}

impl Error {
    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Error::Kept { .. } => {
                "is the disk of `host.run_dir` full or read-only? A file there that cannot be read may be removed: its \
                 slot's guest then has no names any more"
            }
            Error::Slot { .. } => {
                "end what else listens on port 53 in that namespace, or enters it: `ip netns pids NAME` tells who does"
            }
            Error::Absent { .. } => {
                "it is being started anew, and the log of `flint serve` says why it ended; `egress = \"internet\"` needs \
                 none"
            }
            Error::Process { .. } => {
                "its last words are in the log of `flint serve`; without any, is there memory for a process?"
            }
            Error::Unconfined { .. } => {
                "Flint runs as root with CAP_SYS_ADMIN, SETUID, SETGID and SETPCAP, on Linux 5.9 or newer with seccomp; \
                 `confine = false` in `[server]` goes without what this machine lacks"
            }
            Error::Alone => "`flint serve` starts it by itself",
        }
    }
}
