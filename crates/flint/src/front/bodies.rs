//! So many bytes of bodies at one time, counted as they come. When they are full the largest unfinished body is given
//! up: a delivery is small, so it gets through whatever strangers send slowly.

use axum::body::Body;
use http_body_util::BodyExt;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// All bodies.
pub(super) struct Bodies {
    most: usize,
    inside: Mutex<Inside>,
}

#[derive(Default)]
struct Inside {
    used: usize,
    next: u64,
    open: HashMap<u64, Open>,
}

struct Open {
    size: usize,
    given_up: Arc<Notify>,
}

/// One body's share, until it is dropped.
pub(super) struct Share<'a> {
    number: u64,
    bodies: &'a Bodies,
    given_up: Arc<Notify>,
}

/// Why a body is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// Its sender went away, or sent no HTTP.
    Cut,
    /// It is larger than any.
    TooLarge,
    /// It was the largest when there was no room.
    NoRoom,
}

impl Bodies {
    pub(super) fn new(most: usize) -> Bodies {
        Bodies { most, inside: Mutex::default() }
    }

    /// A share of nothing yet.
    pub(super) fn begin(&self) -> Share<'_> {
        let mut inside = self.lock();
        inside.next += 1;
        let (number, given_up) = (inside.next, Arc::new(Notify::new()));
        inside.open.insert(number, Open { size: 0, given_up: Arc::clone(&given_up) });
        Share { number, bodies: self, given_up }
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inside {
    fn largest(&self) -> Option<u64> {
        self.open.iter().max_by_key(|(_, open)| open.size).map(|(number, _)| *number)
    }

    fn give_up(&mut self, number: u64) {
        if let Some(open) = self.open.remove(&number) {
            self.used -= open.size;
            open.given_up.notify_one();
        }
    }
}

impl Share<'_> {
    /// The whole body, of at most so many bytes.
    pub(super) async fn read(&self, mut body: Body, most: usize) -> Result<Vec<u8>, Unread> {
        let mut whole = Vec::new();
        loop {
            let frame = tokio::select! {
                frame = body.frame() => frame,
                () = self.given_up.notified() => return Err(Unread::NoRoom),
            };
            let Some(frame) = frame else { return Ok(whole) };
            // Trailers are of no use.
            let Ok(piece) = frame.map_err(|_| Unread::Cut)?.into_data() else { continue };
            if whole.len() + piece.len() > most {
                return Err(Unread::TooLarge);
            }
            self.grow(piece.len())?;
            whole.extend_from_slice(&piece);
        }
    }

    /// Takes so many bytes more, from the largest bodies if need be.
    fn grow(&self, bytes: usize) -> Result<(), Unread> {
        let mut inside = self.bodies.lock();
        let Some(open) = inside.open.get_mut(&self.number) else { return Err(Unread::NoRoom) };
        open.size += bytes;
        inside.used += bytes;
        while inside.used > self.bodies.most {
            let Some(largest) = inside.largest() else { break };
            inside.give_up(largest);
        }
        if inside.open.contains_key(&self.number) { Ok(()) } else { Err(Unread::NoRoom) }
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.bodies.lock().give_up(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn the_largest_body_makes_room_for_a_small_one() {
        let bodies = Bodies::new(100);
        let (slow, slower, small) = (bodies.begin(), bodies.begin(), bodies.begin());
        slow.grow(40).unwrap();
        slower.grow(60).unwrap();
        small.grow(10).unwrap();
        assert!(slower.given_up.notified().now_or_never().is_some());
        assert!(slow.given_up.notified().now_or_never().is_none());
        assert!(slower.grow(1).is_err(), "what was given up does not come back");
        assert_eq!(bodies.lock().used, 50);
    }

    #[test]
    fn a_body_that_is_the_largest_itself_ends_and_leaves_nothing() {
        let bodies = Bodies::new(100);
        let (small, large) = (bodies.begin(), bodies.begin());
        small.grow(10).unwrap();
        assert!(large.grow(91).is_err());
        assert!(small.given_up.notified().now_or_never().is_none());
        drop((small, large));
        let inside = bodies.lock();
        assert_eq!((inside.used, inside.open.len()), (0, 0));
    }
}
