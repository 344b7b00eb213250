//! Who stands behind the half that faces the network: its facts go through the door, and its pages are written here.

use super::door::{self, Door, Window};
use super::metrics::{self, Count, Counts};
use crate::front::desk::{Desk, Seen};
use crate::front::words::{Counted, Page, Taken};
use crate::host::Refused;
use flint_core::event::{Event, ForgeEvent};
use std::sync::Arc;

/// The daemon's desk.
#[derive(Clone)]
pub struct FrontDesk {
    /// Where facts go.
    pub door: Door,
    /// What pages are written from.
    pub window: Window,
    /// What guests were refused of the network.
    pub refused: Arc<Refused>,
}

impl Desk for FrontDesk {
    /// Each delivery waits for its own commit; together they share one.
    fn deliver(
        &self,
        guid: String,
        event: ForgeEvent,
    ) -> impl Future<Output = Taken> + Send + 'static {
        let door = self.door.clone();
        async move {
            match door.deliver(guid, Event::Forge(event)).await {
                Ok(door::Taken::Committed) => Taken::New,
                Ok(door::Taken::Known) => Taken::Known,
                Err(_) => {
                    tracing::error!(
                        "a delivery cannot be written down: GitHub is told 503, and the next look at failed deliveries finds it"
                    );
                    Taken::Refused
                }
            }
        }
    }

    fn page(&self, page: Page, seen: Seen) -> (bool, String) {
        let view = self.window.borrow().clone();
        match page {
            Page::Health if view.stored => (true, "ok\n".to_owned()),
            Page::Health => (false, "the store cannot be written\n".to_owned()),
            Page::Metrics => match metrics::render(&view, &counts(seen, &self.refused)) {
                Ok(text) => (true, text),
                Err(_) => (false, String::new()),
            },
        }
    }
}

fn counts(seen: Seen, refused: &Refused) -> Counts {
    let Counted { received, committed, repeated, pings, ignored, .. } = seen.counted;
    let Counted { foreign, unproven, too_large, malformed, unavailable, .. } = seen.counted;
    let count = |outcome, times| Count { outcome, times };
    let deliveries = vec![
        count("received", received),
        count("committed", committed),
        count("repeated", repeated),
        count("ping", pings),
        count("ignored", ignored),
        count("foreign", foreign),
        count("unproven", unproven),
        count("too_large", too_large),
        count("malformed", malformed),
        count("unavailable", unavailable),
    ];
    let (refused, noted) = refused.so_far();
    let egress = vec![count("refused", refused), count("noted", noted)];
    Counts { deliveries, egress, front_restarts: seen.restarts }
}
