//! What can go wrong at GitHub.

use flint_core::event::RegisterFailure;

/// A call to GitHub that did not give what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Placeholder until the room is filled.
    #[error("github answered {status} to {call}")]
    Status {
        /// The call, without secrets.
        call: String,
        /// The HTTP status.
        status: u16,
    },
}

impl Error {
    /// What it means for the next try of a registration.
    #[must_use]
    pub fn failure(&self) -> RegisterFailure {
        match self {
            Error::Status { status: 409, .. } => RegisterFailure::NameTaken,
            Error::Status { status: 401 | 403 | 404 | 422, .. } => RegisterFailure::Refused,
            Error::Status { .. } => RegisterFailure::Transient,
        }
    }
}
