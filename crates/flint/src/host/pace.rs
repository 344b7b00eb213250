//! How fast a guest is read: bursts pass, floods are slowed down to what a daemon bears.

use std::time::Duration;
use tokio::time::Instant;

/// A guest may say this much at once, and this much per second after it; then it is read slower, and its agent
/// drops log lines on its own side.
const BURST: u64 = 4 << 20;
const PER_SECOND: u64 = 1 << 20;

/// How fast a guest is read.
pub(super) struct Pace {
    since: Instant,
    spent: u64,
    acked: u64,
}

impl Pace {
    pub(super) fn new() -> Self {
        Pace { since: Instant::now(), spent: 0, acked: 0 }
    }

    pub(super) async fn spend(&mut self, bytes: u64) {
        self.spent += bytes;
        let seconds = self.since.elapsed().as_secs();
        if self.spent > BURST + seconds * PER_SECOND {
            tokio::time::sleep(Duration::from_secs(1)).await;
        } else if self.spent < seconds * PER_SECOND {
            // Saved-up silence is worth one burst, no more.
            *self = Pace { acked: self.acked, ..Pace::new() };
        }
    }

    /// Whether `seq` is to be acknowledged: then it is taken to be.
    pub(super) fn owes_ack(&mut self, seq: u64) -> bool {
        let owes = seq > self.acked;
        self.acked = self.acked.max(seq);
        owes
    }

    /// On a new connection nothing has been acknowledged.
    pub(super) fn forget_acks(&mut self) {
        self.acked = 0;
    }
}
