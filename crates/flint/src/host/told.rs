//! Facts on their way to whoever keeps them.
//!
//! An agent forgets what is acknowledged, so a fact is acknowledged only when it is kept: then a daemon that dies in
//! between is told it again.

use crate::steps::{self, Step};
use flint_core::event::{Event, GuestEvent};
use std::collections::VecDeque;
use std::mem::{Discriminant, discriminant};
use tokio::sync::oneshot;

/// A fact, and whom to tell that it cannot be lost any more.
#[derive(Debug)]
pub struct Told {
    /// It.
    pub event: Event,
    /// Dropped without a word, the fact is not kept, and its guest says it to the next daemon. `None`: whoever looks
    /// can find it out again.
    pub kept: Option<oneshot::Sender<()>>,
}

impl Told {
    /// Takes the fact where it is kept by being taken: by whoever runs a microVM by hand.
    pub fn settle(self) -> Event {
        // The guest may be gone.
        self.kept.map(|kept| kept.send(()).ok());
        self.event
    }
}

/// What a guest has said and nobody has kept yet, oldest first.
#[derive(Default)]
pub(super) struct Unkept {
    facts: VecDeque<Waiting>,
    /// Each kind is told once: a guest cannot flood the daemon with them.
    told: Vec<Discriminant<GuestEvent>>,
    /// The oldest will never be kept: the daemon is ending.
    stuck: bool,
}

struct Waiting {
    seq: u64,
    said: GuestEvent,
    kept: oneshot::Receiver<()>,
}

impl Unkept {
    /// One more, said under this number; the sender is for whoever keeps it. `None`: its kind was told before.
    pub(super) fn push(&mut self, seq: u64, said: GuestEvent) -> Option<oneshot::Sender<()>> {
        let kind = discriminant(&said);
        if self.told.contains(&kind) {
            return None;
        }
        self.told.push(kind);
        match said {
            GuestEvent::Ready { .. } => steps::before(Step::Ready),
            GuestEvent::Listening => steps::before(Step::Listening),
            GuestEvent::Busy => steps::before(Step::Busy),
            GuestEvent::JobDone => steps::before(Step::Done),
            GuestEvent::RunnerExited { .. } | GuestEvent::Failed { .. } => {}
        }
        let (tell, kept) = oneshot::channel();
        self.facts.push_back(Waiting { seq, said, kept });
        Some(tell)
    }

    /// The last number up to which all is kept, of all that was heard up to `heard`.
    pub(super) fn all_before(&self, heard: u64) -> u64 {
        self.facts.front().map_or(heard, |oldest| oldest.seq.saturating_sub(1))
    }

    /// Returns when the oldest has been kept; never, when there is none.
    pub(super) async fn settled(&mut self) {
        if let Some(oldest) = self.facts.front_mut().filter(|_| !self.stuck) {
            match (&mut oldest.kept).await {
                Ok(()) => return self.settle(),
                Err(_) => self.stuck = true,
            }
        }
        std::future::pending().await
    }

    fn settle(&mut self) {
        match self.facts.pop_front().map(|oldest| oldest.said) {
            Some(GuestEvent::Ready { .. }) => steps::after(Step::Ready),
            Some(GuestEvent::Listening) => steps::after(Step::Listening),
            Some(GuestEvent::Busy) => steps::after(Step::Busy),
            Some(GuestEvent::JobDone) => steps::after(Step::Done),
            Some(GuestEvent::RunnerExited { .. } | GuestEvent::Failed { .. }) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Unkept;
    use flint_core::event::GuestEvent;

    #[tokio::test]
    async fn nothing_from_the_first_unkept_fact_on_is_acknowledged() {
        let mut unkept = Unkept::default();
        assert_eq!(unkept.all_before(4), 4);
        let first = unkept.push(5, GuestEvent::Listening).unwrap();
        assert!(unkept.push(6, GuestEvent::Listening).is_none());
        let second = unkept.push(7, GuestEvent::Busy).unwrap();
        assert_eq!(unkept.all_before(9), 4);
        first.send(()).unwrap();
        unkept.settled().await;
        assert_eq!(unkept.all_before(9), 6);
        drop(second);
        let at_once = tokio::time::timeout(std::time::Duration::ZERO, unkept.settled()).await;
        assert!(at_once.is_err() && unkept.all_before(9) == 6);
    }
}
