//! What can go wrong between a person and the daemon.

use crate::error::{Exit, Problem};
use std::io;
use std::path::PathBuf;

/// A command that could not be carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody answers on the API socket.
    #[error("cannot reach the daemon at `{path}`")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The connection broke.
    #[error("cannot finish the call `{call}` to the daemon")]
    Call {
        /// Method and path.
        call: String,
        /// Why.
        source: hyper::Error,
    },
    /// The answer is not what it should be: the daemon may be of another version.
    #[error("cannot read the daemon's answer to `{call}`")]
    Answer {
        /// Method and path.
        call: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The answer is larger than any should be.
    #[error("cannot take the daemon's answer to `{call}`: it is over {limit} bytes")]
    TooLong {
        /// Method and path.
        call: String,
        /// The most that is taken.
        limit: usize,
    },
    /// The daemon said no.
    #[error("{error}")]
    Refused {
        /// In the daemon's words.
        error: String,
        /// The daemon's advice.
        help: Option<String>,
    },
    /// No profile has that name.
    #[error("no profile is called `{name}`; there are: {known}")]
    NoProfile {
        /// What was asked for.
        name: String,
        /// All names.
        known: String,
    },
    /// The asynchronous runtime did not start.
    #[error("cannot start the program's threads")]
    Runtime {
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write `{path}`")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that was named cannot be read.
    #[error("cannot read `{path}`")]
    Input {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The answer cannot be written out.
    #[error("cannot write to the terminal")]
    Output {
        /// Why.
        source: io::Error,
    },
}

impl Error {
    fn help(&self) -> Option<String> {
        match self {
            Error::Socket { source, .. } => Some(match source.kind() {
                io::ErrorKind::PermissionDenied => "the socket is the daemon's user's alone: try as root".to_owned(),
                _ => "does the daemon run? `systemctl status flint`; another place: --socket or --config".to_owned(),
            }),
            Error::Answer { .. } => Some("is the daemon of another version? `flint version`".to_owned()),
            Error::Refused { help, .. } => help.clone(),
            _ => None,
        }
    }

    fn exit(&self) -> Exit {
        match self {
            Error::Refused { .. } => Exit::Refused,
            Error::NoProfile { .. } => Exit::Usage,
            _ => Exit::Failed,
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let (exit, help) = (error.exit(), error.help());
        Problem::new(exit, error).help(help)
    }
}
