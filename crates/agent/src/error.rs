//! What can go wrong in a guest, each with the step that the host is told.

use std::io;

/// Why the guest cannot do what it must.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The kernel or a file said no.
    #[error("cannot {step}")]
    Step {
        /// What was tried: `mount /dev/vdb`.
        step: String,
        /// The cause.
        source: io::Error,
    },
    /// The image or the host asks for what cannot be.
    #[error("cannot {step}: {why}")]
    Refused {
        /// What was tried.
        step: String,
        /// Why not.
        why: String,
    },
}

impl Error {
    /// A refusal.
    pub(crate) fn refused(step: impl Into<String>, why: impl Into<String>) -> Self {
        Error::Refused { step: step.into(), why: why.into() }
    }

    /// The step and the cause apart, as the wire wants them.
    pub(crate) fn parts(&self) -> (String, String) {
        match self {
            Error::Step { step, source } => (step.clone(), source.to_string()),
            Error::Refused { step, why } => (step.clone(), why.clone()),
        }
    }
}

/// Names the step of a result.
pub(crate) trait During<T> {
    /// The same result; an error says what was tried.
    fn during(self, step: impl Into<String>) -> Result<T, Error>;
}

impl<T, E: Into<io::Error>> During<T> for Result<T, E> {
    fn during(self, step: impl Into<String>) -> Result<T, Error> {
        self.map_err(|error| Error::Step { step: step.into(), source: error.into() })
    }
}
