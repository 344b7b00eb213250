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

    /// This moment less `duration`; the epoch at the earliest.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Timestamp(self.0.saturating_sub(millis))
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

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC, to the second: `2026-11-23T15:04:05Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1_000;
        let (days, second) = (seconds / 86_400, seconds % 86_400);
        // Years begin in March here, so that a leap day is the last day of its year.
        let day = days + 719_468;
        let (era, day) = (day / 146_097, day % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let (day, month) =
            (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
        let year = era * 400 + year + u64::from(month <= 2);
        let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl fmt::Display for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} vCPUs, {} memory, {} disk", self.vcpus, self.memory, self.disk)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_prints_as_rfc_3339() {
        let at = |seconds: u64| Timestamp(seconds * 1_000).to_string();
        assert_eq!(at(0), "1970-01-01T00:00:00Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(at(1_795_446_245), "2026-11-23T15:04:05Z");
        assert_eq!(at(4_107_542_399), "2100-02-28T23:59:59Z");
        assert_eq!(at(4_107_542_400), "2100-03-01T00:00:00Z");
    }

    #[test]
    fn time_neither_overflows_nor_goes_below_zero() {
        assert_eq!(Timestamp(u64::MAX - 1).after(Duration::from_secs(5)), Timestamp(u64::MAX));
        assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
        assert_eq!(Timestamp(9).since(Timestamp(5)), Duration::from_millis(4));
    }

    #[test]
    fn sizes_print_in_the_unit_people_use() {
        let shape = Resources { vcpus: 2, memory: MiB(4_096), disk: MiB(500) };
        assert_eq!(shape.to_string(), "2 vCPUs, 4 GiB memory, 500 MiB disk");
    }

    #[test]
    fn what_is_left_is_never_below_zero() {
        let little = Resources { vcpus: 1, memory: MiB(1), disk: MiB(1) };
        let much = Resources { vcpus: 2, memory: MiB(2), disk: MiB(2) };
        assert_eq!(little - much, Resources::default());
        assert!(much.fits(&little) && !little.fits(&much));
    }
}
