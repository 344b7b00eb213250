//! Runs the real core against a made-up GitHub and made-up hosts. One seed is one whole life.
//!
//! A life has four acts. *Storm*: jobs arrive, and everything goes wrong at rates that the seed itself draws.
//! *Calm*: the faults end. *Settled*: all jobs have completed and nothing is left but the warm pools.
//! *Encore*: each profile gets one more job, because a full queue hides a starving late comer.
//!
//! Webhooks are never lost for good: the core has no reconciliation yet, so an operator redelivers them.

mod check;
mod daemon;
mod dispatch;
mod faults;
mod forge;
mod guest;
mod host;
mod life;
mod outside;
mod rng;

pub use life::{Life, Lived};

/// A life that went wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("life {seed} failed at {at_ms} ms: {why} (again: lives --from {seed} --count 1 --trace)")]
pub struct Failed {
    /// Draws the same life again.
    pub seed: u64,
    /// The simulated time.
    pub at_ms: u64,
    /// What a checker found.
    pub why: String,
}

/// Lives one life to its end.
///
/// # Errors
/// [`Failed`] when a checker found something that should never be.
pub fn live(seed: u64, trace: bool) -> Result<Lived, Failed> {
    Life::new(seed, trace).run()
}
