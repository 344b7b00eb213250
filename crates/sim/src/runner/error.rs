//! What can end the fake runner early, and the exit code that the real one gives for it.

use std::io;
use std::path::PathBuf;

/// Why it could not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Neither the variable nor the argument is there.
    #[error("no registration is given: set ACTIONS_RUNNER_INPUT_JITCONFIG")]
    NoConfig,
    /// The registration cannot be read.
    #[error("cannot read the registration: {problem}")]
    BadConfig {
        /// What is wrong with it.
        problem: String,
    },
    /// A file cannot be written or read.
    #[error("cannot use `{path}`")]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The server cannot be reached.
    #[error("cannot reach `{url}`")]
    Network {
        /// Where.
        url: String,
        /// Why not.
        source: io::Error,
    },
    /// The URL is none that this client speaks.
    #[error("cannot use `{url}`: the fake runner speaks plain http only")]
    Url {
        /// Which.
        url: String,
    },
    /// The server refused.
    #[error("the server answered {status} to {call}: {said}")]
    Refused {
        /// What was asked.
        call: &'static str,
        /// With what status.
        status: u16,
        /// Its words.
        said: String,
    },
    /// The answer has not the documented shape.
    #[error("the server's answer to {call} is not understood")]
    Answer {
        /// What was asked.
        call: &'static str,
    },
    /// The registration is no longer known.
    #[error("the registration has been deleted from the server, please re-configure")]
    Gone,
    /// Another listener uses this registration.
    #[error("a session for this runner already exists")]
    SessionConflict,
    /// The server takes no runner of this version.
    #[error("runner version v{version} is deprecated and cannot receive messages", version = super::VERSION)]
    TooOld,
}

impl Error {
    /// As in the real runner: 1 ended, 2 retryable, 5 session conflict, 7 version too old (only when asked for).
    pub(super) fn exit_code(&self) -> u8 {
        let seven = || {
            std::env::var("ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE")
                .is_ok_and(|v| v == "1")
        };
        match self {
            Error::Network { .. } => 2,
            Error::Refused { status: 500.., .. } => 2,
            Error::SessionConflict => 5,
            Error::TooOld if seven() => 7,
            _ => 1,
        }
    }
}
