//! What can go wrong with disks.

use std::path::PathBuf;

/// A disk that could not be made, found or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Placeholder until the room is filled.
    #[error("cannot make the scratch disk `{path}`")]
    Scratch {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}
