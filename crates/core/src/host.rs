//! A host as the core sees it: what it can give, and whether it may be given more.

use crate::units::{Resources, Timestamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A host not heard from for this long gets no new microVMs.
pub const HOST_LEASE: Duration = Duration::from_secs(60);

/// How often a host is scanned: a quarter of its lease.
pub(crate) const SCAN_EVERY: Duration = Duration::from_secs(15);

/// A machine that runs microVMs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// What it may hand out in all.
    pub capacity: Resources,
    /// How many microVMs at most.
    pub slots: u16,
    /// Takes no new microVMs; the running ones end by themselves.
    pub draining: bool,
    /// When its last inventory arrived.
    pub seen: Timestamp,
    /// When it is scanned next.
    #[serde(default)]
    pub scan_at: Timestamp,
}

impl Host {
    /// When it counts as lost if it says nothing more.
    #[must_use]
    pub fn lease_ends(&self) -> Timestamp {
        self.seen.after(HOST_LEASE)
    }
}
