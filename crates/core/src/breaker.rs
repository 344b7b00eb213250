//! A breaker: after failures in a row nothing new is started, but for one that is tried now and then.

use crate::planted::{Fault, is};
use crate::units::Timestamp;
use crate::vm::back_off;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// This many failures in a row open a breaker.
pub const BREAKER_FAILURES: u32 = 5;

/// An open breaker lets one microVM be tried after this long.
pub const BREAKER_OPEN: Duration = Duration::from_secs(5 * 60);

/// Failures in a row, and until when nothing new is started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// Failures in a row, without one success.
    pub failures: u32,
    /// Nothing is started before this.
    pub closed_until: Timestamp,
    /// Whether it is open (many failures, or a refusal), not only backing off.
    pub open: bool,
    /// The last failure, for people.
    pub why: String,
}

impl Breaker {
    /// One more failure in a row.
    pub(crate) fn failed(&mut self, now: Timestamp, why: String) {
        self.failures = self.failures.saturating_add(1);
        self.open = self.open || self.failures >= BREAKER_FAILURES;
        let pause = match self.open {
            true if is(Fault::BreakerStays) => BREAKER_OPEN.saturating_mul(1_000_000),
            true => BREAKER_OPEN,
            false => back_off(self.failures),
        };
        self.closed_until = now.after(pause);
        self.why = why;
    }

    /// A failure that no second try will help.
    pub(crate) fn refused(&mut self, now: Timestamp, why: String) {
        self.open = true;
        self.failed(now, why);
    }
}
