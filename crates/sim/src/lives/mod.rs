//! Runs the real core against a made-up GitHub and made-up hosts. One seed is one whole life.
//!
//! A life has four acts. *Storm*: jobs arrive, and everything goes wrong at rates that the seed itself draws.
//! *Calm*: the faults end. *Settled*: all jobs have completed and nothing is left but the warm pools.
//! *Encore*: each profile gets one more job, because a full queue hides a starving late comer.
//!
//! Webhooks are lost for good: what the daemon does not ask for, it never learns.

mod answers;
mod check;
mod daemon;
mod dispatch;
mod fair;
mod faults;
mod forge;
mod guest;
mod hooks;
mod host;
mod life;
mod many;
mod outside;
mod places;
#[cfg(feature = "planted")]
mod planted;
mod rules;
mod scopes;
mod script;
mod sets;
mod setup;
mod shrink;
mod sizes;
mod strangers;

pub use life::{Life, Lived};
pub use many::{Sum, many};
#[cfg(feature = "planted")]
pub use planted::{Hunt, hunt, shrink_planted};
pub use setup::Setup;
pub use shrink::{Shrunk, shrink};

/// A life that went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("life {seed} failed at {at_ms} ms: {why} (again: cargo xtask lives --seed-trace {seed})")]
pub struct Failed {
    /// Draws the same life again.
    pub seed: u64,
    /// The daemon's clock.
    pub at_ms: u64,
    /// What a checker found.
    pub why: String,
}

/// Lives one life to its end.
///
/// # Errors
/// [`Failed`] when a checker found something that should never be.
pub fn live(seed: u64, trace: bool) -> Result<Lived, Failed> {
    Life::new(Setup::draw(seed), trace).run()
}
