//! What can keep the daemon from starting or going on.

/// The daemon could not.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Placeholder until the room is filled.
    #[error("cannot {what}: the daemon is not part of this build")]
    Absent {
        /// The command.
        what: &'static str,
    },
}

impl Error {
    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        None
    }
}
