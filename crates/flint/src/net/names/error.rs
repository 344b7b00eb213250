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
