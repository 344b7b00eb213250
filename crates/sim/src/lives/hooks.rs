//! Webhooks on their way: lost, repeated, late. GitHub does not send one again by itself, but keeps those that failed.

use super::life::Life;
use super::outside::{Delivery, Happening, MINUTE};
use flint_core::event::{Event, ForgeEvent};
use flint_core::id::InstallationId;
use flint_core::units::Timestamp;

/// GitHub keeps deliveries for 3 days.
const KEPT: u64 = 3 * 24 * 60 * MINUTE;

/// A delivery that failed is listed within this.
const LISTED_WITHIN: u64 = MINUTE;

impl Life {
    /// Sends a fact on its way.
    pub(super) fn webhook(&mut self, event: ForgeEvent) {
        let event = Event::Forge(event);
        if self.rng.chance(self.faults.webhook_vanishes) {
            return self.say(&format!("a webhook vanishes: {event:?}"));
        }
        if self.rng.chance(self.faults.webhook_lost) {
            return self.webhook_fails(event);
        }
        if self.rng.chance(self.faults.webhook_twice) {
            self.soon(Happening::Webhook(event.clone()));
        }
        if self.rng.chance(self.faults.webhook_late) {
            let after = self.rng.between(MINUTE, 15 * MINUTE);
            return self.later(after, Happening::Webhook(event));
        }
        self.soon(Happening::Webhook(event));
    }

    pub(super) fn webhook_arrives(&mut self, event: Event) {
        if !self.daemon.up || !self.takes(event.clone()) {
            self.webhook_fails(event);
        }
    }

    fn webhook_fails(&mut self, event: Event) {
        self.say(&format!("a delivery fails: {event:?}"));
        let listed = self.now + self.rng.below(LISTED_WITHIN);
        self.outside.failed.push(Delivery { at: self.now, listed, event });
    }

    /// What an App's list shows of the deliveries that failed since then.
    pub(super) fn failed_since(&self, reader: &InstallationId, since: Timestamp) -> Vec<Event> {
        let since = since.0.max(self.now.saturating_sub(KEPT));
        let failed = self.outside.failed.iter();
        let failed = failed.filter(|delivery| self.reader_of(&delivery.event) == Some(reader));
        let shown = failed.filter(|delivery| delivery.at >= since && delivery.listed <= self.now);
        shown.map(|delivery| delivery.event.clone()).collect()
    }

    /// Who is asked for the deliveries of the App that this is one of.
    fn reader_of(&self, event: &Event) -> Option<&InstallationId> {
        let Event::Forge(
            ForgeEvent::JobQueued { request, .. }
            | ForgeEvent::JobStarted { request, .. }
            | ForgeEvent::JobCompleted { request, .. },
        ) = event
        else {
            return None;
        };
        self.setup.reader(&request.repository)
    }
}
