//! Facts on their way to whoever keeps them.
//!
//! An agent forgets what is acknowledged, so a fact is acknowledged only when it is kept: then a daemon that dies in
//! between is told it again.

use flint_core::event::Event;
use std::collections::VecDeque;
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
    facts: VecDeque<(u64, oneshot::Receiver<()>)>,
    /// The oldest will never be kept: the daemon is ending.
    stuck: bool,
}

impl Unkept {
    /// One more, said under this number; the sender is for whoever keeps it.
    pub(super) fn push(&mut self, seq: u64) -> oneshot::Sender<()> {
        let (kept, told) = oneshot::channel();
        self.facts.push_back((seq, told));
        kept
    }

    /// The last number up to which all is kept, of all that was heard up to `heard`.
    pub(super) fn all_before(&self, heard: u64) -> u64 {
        self.facts.front().map_or(heard, |(seq, _)| seq.saturating_sub(1))
    }

    /// Returns when the oldest has been kept; never, when there is none.
    pub(super) async fn settled(&mut self) {
        if let Some((_, kept)) = self.facts.front_mut().filter(|_| !self.stuck) {
            match kept.await {
                Ok(()) => return drop(self.facts.pop_front()),
                Err(_) => self.stuck = true,
            }
        }
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::Unkept;

    #[tokio::test]
    async fn nothing_from_the_first_unkept_fact_on_is_acknowledged() {
        let mut unkept = Unkept::default();
        assert_eq!(unkept.all_before(4), 4);
        let (first, second) = (unkept.push(5), unkept.push(7));
        assert_eq!(unkept.all_before(9), 4);
        first.send(()).unwrap();
        unkept.settled().await;
        assert_eq!(unkept.all_before(9), 6);
        drop(second);
        let at_once = tokio::time::timeout(std::time::Duration::ZERO, unkept.settled()).await;
        assert!(at_once.is_err() && unkept.all_before(9) == 6);
    }
}
