//! So many connections at one time. A stranger who comes first does not keep later ones out: the connection that has
//! been unproven for longest makes room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// All places.
pub(super) struct Places {
    most: usize,
    inside: Mutex<Inside>,
    freed: Notify,
}

#[derive(Default)]
struct Inside {
    // Grows with each connection, each proven request and each answer: the order of "for longest".
    now: u64,
    open: HashMap<u64, Open>,
}

struct Open {
    since: u64,
    proven: bool,
    gone: Arc<Notify>,
}

/// A connection's place, until it is dropped.
pub(super) struct Place {
    number: u64,
    places: Arc<Places>,
    gone: Arc<Notify>,
}

/// While this is there the connection is not sent away: its request is proven and waits for its answer.
pub(super) struct Held<'a>(&'a Place);

impl Places {
    pub(super) fn new(most: usize) -> Arc<Places> {
        Arc::new(Places { most, inside: Mutex::default(), freed: Notify::new() })
    }

    /// A place; sends another connection away if all are taken, and waits if none of them may be.
    pub(super) async fn take(self: &Arc<Places>) -> Place {
        loop {
            let freed = self.freed.notified();
            if let Some(place) = self.try_take() {
                return place;
            }
            freed.await;
        }
    }

    fn try_take(self: &Arc<Places>) -> Option<Place> {
        let mut inside = self.lock();
        if inside.open.len() >= self.most {
            let unproven = inside.open.iter().filter(|(_, open)| !open.proven);
            let (oldest, _) = unproven.min_by_key(|(_, open)| open.since)?;
            let oldest = *oldest;
            if let Some(open) = inside.open.remove(&oldest) {
                open.gone.notify_one();
            }
        }
        let gone = Arc::new(Notify::new());
        let since = inside.tick();
        inside.open.insert(since, Open { since, proven: false, gone: Arc::clone(&gone) });
        Some(Place { number: since, places: Arc::clone(self), gone })
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }
}

impl Place {
    /// Returns when the connection has to make room.
    pub(super) async fn gone(&self) {
        self.gone.notified().await;
    }

    /// Its request is proven.
    pub(super) fn hold(&self) -> Held<'_> {
        self.mark(true);
        Held(self)
    }

    fn mark(&self, proven: bool) {
        let mut inside = self.places.lock();
        let since = inside.tick();
        if let Some(open) = inside.open.get_mut(&self.number) {
            (open.since, open.proven) = (since, proven);
        }
        drop(inside);
        if !proven {
            self.places.freed.notify_one();
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.mark(false);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().open.remove(&self.number);
        self.places.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn is_gone(place: &Place) -> bool {
        place.gone().now_or_never().is_some()
    }

    #[tokio::test]
    async fn one_more_connection_sends_the_one_away_that_was_unproven_for_longest() {
        let places = Places::new(3);
        let (first, second, third) =
            (places.take().await, places.take().await, places.take().await);
        let proven = first.hold();
        let fourth = places.take().await;
        assert!(!is_gone(&first) && is_gone(&second) && !is_gone(&third));
        drop(proven);
        // The first has just been answered, so the third is idle for longest.
        let _fifth = places.take().await;
        assert!(!is_gone(&first) && is_gone(&third) && !is_gone(&fourth));
    }

    #[tokio::test]
    async fn when_all_are_proven_a_new_one_waits_for_an_answer() {
        let places = Places::new(2);
        let (first, second) = (places.take().await, places.take().await);
        let (held, _other) = (first.hold(), second.hold());
        let mut third = std::pin::pin!(places.take());
        assert!(third.as_mut().now_or_never().is_none());
        drop(held);
        let third = third.await;
        assert!(is_gone(&first) && !is_gone(&third));
        drop(third);
        assert_eq!(places.lock().open.len(), 1);
    }
}
