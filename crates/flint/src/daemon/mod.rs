//! The one loop: fold, plan, commit, dispatch.

pub mod error;

pub use error::Error;

use crate::config::Config;
use flint_core::id::ProfileId;

/// One microVM started by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByHand {
    /// Whose shape, image and kernel.
    pub profile: ProfileId,
    /// The program and its arguments, run in the guest; empty gives a login on this terminal.
    pub argv: Vec<String>,
}

/// Serves until it is told to end (SIGTERM, SIGINT).
///
/// # Errors
/// [`Error`] when it cannot start or go on.
#[expect(clippy::unused_async, reason = "the signature that the command line calls")]
pub async fn serve(_config: Config) -> Result<(), Error> {
    Err(Error::Absent { what: "serve" })
}

/// Boots one microVM, runs the command in it, prints its output, and gives its exit code.
///
/// # Errors
/// [`Error`] when the microVM or the command cannot start.
#[expect(clippy::unused_async, reason = "the signature that the command line calls")]
pub async fn run(_config: Config, _by_hand: ByHand) -> Result<i32, Error> {
    Err(Error::Absent { what: "run" })
}
