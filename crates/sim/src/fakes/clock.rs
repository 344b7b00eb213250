//! A clock that follows tokio's, which a test may pause.

use flint::daemon::clock::Clock;
use flint_core::units::Timestamp;
use std::time::Duration;
use tokio::time::Instant;

/// Starts at a fixed moment: 2026-11-23 12:00 UTC.
const START: Timestamp = Timestamp(1_795_435_200_000);

/// Under `start_paused` it jumps to the next deadline as soon as nobody has anything to do.
#[derive(Clone, Copy, Debug)]
pub struct FakeClock(Instant);

impl FakeClock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        FakeClock(Instant::now())
    }
}

impl Clock for FakeClock {
    fn now(&self) -> Timestamp {
        START.after(self.0.elapsed())
    }

    async fn sleep_until(&self, at: Timestamp) {
        tokio::time::sleep(at.since(self.now()).max(Duration::from_millis(1))).await;
    }
}
