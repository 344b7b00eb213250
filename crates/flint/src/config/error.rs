//! What keeps a configuration from being read at all, or from being used.

use super::report::Report;
use std::io;
use std::path::PathBuf;

/// No configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration `{path}`")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A variable holds something that is no text.
    #[error("cannot read the environment variable `{name}`: it is not UTF-8")]
    Variable {
        /// Which.
        name: String,
    },
    /// It was read, and Flint cannot start with it.
    #[error(transparent)]
    Bad(Box<Report>),
}
