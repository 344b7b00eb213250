//! What all guests together were refused of the network.

use crate::net::Refusals;
use std::sync::atomic::{AtomicU64, Ordering};

/// Packets of connections that guests were refused since this daemon started, counted at each guest's end.
#[derive(Debug, Default)]
pub struct Refused {
    refused: AtomicU64,
    noted: AtomicU64,
}

impl Refused {
    pub(super) fn add(&self, refusals: &Refusals) {
        self.refused.fetch_add(refusals.refused.attempts, Ordering::Relaxed);
        self.noted.fetch_add(refusals.noted.attempts, Ordering::Relaxed);
    }

    /// Those that did not go out, and those that an audit let through.
    #[must_use]
    pub fn so_far(&self) -> (u64, u64) {
        (self.refused.load(Ordering::Relaxed), self.noted.load(Ordering::Relaxed))
    }
}
