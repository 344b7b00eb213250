//! Units, so that no bare number crosses a room.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// A moment: milliseconds since the UNIX epoch. The core is told the time, it never asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

/// Mebibytes (2^20 bytes) of memory or disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MiB(pub u64);

/// What a microVM takes from its host, and what a host has to give.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Virtual CPUs; for a host, what may be handed out after overcommit.
    pub vcpus: u32,
    /// Guest memory.
    pub memory: MiB,
    /// Scratch disk, counted at its full size although files are sparse.
    pub disk: MiB,
}

impl Timestamp {
    /// This moment plus `duration`, at millisecond precision; saturates.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Timestamp(self.0.saturating_add(millis))
    }

    /// The time from `earlier` to this moment; zero when `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Resources {
    /// Whether `wanted` fits into what is left here.
    #[must_use]
    pub fn fits(&self, wanted: &Resources) -> bool {
        wanted.vcpus <= self.vcpus && wanted.memory <= self.memory && wanted.disk <= self.disk
    }
}

impl Add for Resources {
    type Output = Resources;

    fn add(self, other: Resources) -> Resources {
        Resources {
            vcpus: self.vcpus.saturating_add(other.vcpus),
            memory: MiB(self.memory.0.saturating_add(other.memory.0)),
            disk: MiB(self.disk.0.saturating_add(other.disk.0)),
        }
    }
}

impl AddAssign for Resources {
    fn add_assign(&mut self, other: Resources) {
        *self = *self + other;
    }
}

impl Sub for Resources {
    type Output = Resources;

    /// What is left; never below zero.
    fn sub(self, other: Resources) -> Resources {
        Resources {
            vcpus: self.vcpus.saturating_sub(other.vcpus),
            memory: MiB(self.memory.0.saturating_sub(other.memory.0)),
            disk: MiB(self.disk.0.saturating_sub(other.disk.0)),
        }
    }
}

impl fmt::Display for MiB {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n >= 1024 && n.is_multiple_of(1024) => write!(f, "{} GiB", n / 1024),
            n => write!(f, "{n} MiB"),
        }
    }
}
