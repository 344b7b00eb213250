//! The fake GitHub's clock: the machine's, or one that stands still until a test moves it.

use super::state::Millis;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// Tells the time of everything that GitHub counts, keeps or waits for.
#[derive(Clone, Default)]
pub struct Clock(Option<Arc<watch::Sender<Millis>>>);

impl Clock {
    /// The machine's.
    #[must_use]
    pub fn system() -> Self {
        Clock(None)
    }

    /// Stands at the machine's time of now, until [`super::FakeGithub::advance`] moves it.
    #[must_use]
    pub fn manual() -> Self {
        Clock(Some(Arc::new(watch::Sender::new(machine()))))
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn now(&self) -> Millis {
        self.0.as_ref().map_or_else(machine, |moved| *moved.borrow())
    }

    pub(super) fn is_manual(&self) -> bool {
        self.0.is_some()
    }

    /// Moves a clock that stands still; the machine's goes by itself.
    pub(super) fn advance(&self, by: Duration) {
        if let Some(moved) = &self.0 {
            moved.send_modify(|now| *now += millis(by));
        }
    }

    /// Waits until it shows at least this.
    pub(super) async fn until(&self, at: Millis) {
        match &self.0 {
            None => {
                tokio::time::sleep(Duration::from_millis(at.saturating_sub(machine()))).await;
            }
            // The sender lives as long as this clock.
            Some(moved) => drop(moved.subscribe().wait_for(|now| *now >= at).await),
        }
    }
}

pub(super) fn millis(duration: Duration) -> Millis {
    // Half of the range, so that a sum with a time cannot overflow.
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).min(u64::MAX / 2)
}

fn machine() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    millis(since)
}
