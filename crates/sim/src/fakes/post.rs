//! How GitHub's words travel: lost with or without a trace, repeated, overtaken. The same for the same seed.

use super::outside::Faults;
use crate::rng::Rng;
use flint_core::event::ForgeEvent;
use flint_core::units::Timestamp;
use std::time::Duration;

/// A word that is overtaken comes within this.
const LATEST: Duration = Duration::from_secs(20);

/// The post office: what it sent so far, and the dice by which it errs.
#[derive(Default)]
pub(super) struct Post {
    sent: u64,
    dice: Rng,
    failed: Vec<Failed>,
}

/// A delivery that nobody took, as GitHub lists it.
pub(super) struct Failed {
    pub(super) guid: String,
    pub(super) event: ForgeEvent,
    pub(super) at: Timestamp,
}

impl Post {
    pub(super) fn seed(&mut self, seed: u64) {
        self.dice = Rng::new(seed);
    }

    /// Gives the word a GUID, and the delays after which it arrives: none, one or two.
    pub(super) fn send(
        &mut self,
        faults: &Faults,
        event: &ForgeEvent,
        now: Timestamp,
    ) -> (String, Vec<Duration>) {
        self.sent += 1;
        let guid = format!("guid-{}", self.sent);
        if self.throw(faults.webhooks_vanish) {
            return (guid, Vec::new());
        }
        let copies = if self.throw(faults.webhooks_twice) { 2 } else { 1 };
        let mut delays = Vec::new();
        for _ in 0..copies {
            if !self.throw(faults.webhooks_dropped) {
                delays.push(self.delay(faults.webhooks_reordered));
            }
        }
        if delays.is_empty() {
            let (guid, event) = (guid.clone(), event.clone());
            self.failed.push(Failed { guid, event, at: now });
        }
        (guid, delays)
    }

    /// The failed deliveries from this moment on.
    pub(super) fn failed(&self, since: Timestamp) -> impl Iterator<Item = &Failed> {
        self.failed.iter().filter(move |failed| failed.at >= since)
    }

    fn delay(&mut self, per_mille: u64) -> Duration {
        if !self.throw(per_mille) {
            return Duration::ZERO;
        }
        let longest = u64::try_from(LATEST.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.dice.below(longest))
    }

    /// True this many times in a thousand.
    fn throw(&mut self, per_mille: u64) -> bool {
        self.dice.chance(per_mille)
    }
}
