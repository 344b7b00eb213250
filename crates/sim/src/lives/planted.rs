//! Wakes the core's planted faults, one at a time, and counts the lives that it takes to find each.

use super::{Shrunk, many, shrink};
use flint_core::planted::{Fault, wake};
use std::ops::Range;

/// How the hunt for one fault went.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// Which.
    pub fault: Fault,
    /// The first life that found it, if one did: its seed, and what a checker said.
    pub found: Option<(u64, String)>,
}

/// Hunts one fault through the lives of these seeds.
#[must_use]
pub fn hunt(fault: Fault, seeds: Range<u64>) -> Hunt {
    wake(Some(fault));
    let sum = many(seeds, 1);
    wake(None);
    let found = sum.failed.into_iter().next().map(|failed| (failed.seed, failed.why));
    Hunt { fault, found }
}

/// Makes a life that finds the fault simpler, as long as it does.
#[must_use]
pub fn shrink_planted(fault: Fault, seed: u64) -> Option<Shrunk> {
    wake(Some(fault));
    let shrunk = shrink(seed);
    wake(None);
    shrunk
}
