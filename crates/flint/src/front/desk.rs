//! The root half's side of the conversation: checks each word of the front, and answers it.

use super::words::{Counted, Down, Fact, Page, Taken, Unsound, Up, guid};
use flint_core::event::ForgeEvent;
use flint_core::id::ScopeId;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

/// Deliveries that may wait for their commit; more are refused, and GitHub keeps them for redelivery.
pub const DELIVERIES: usize = 1_024;

/// A piece of a page: even if each byte takes six in JSON it fits into a packet.
const PIECE: usize = 16 * 1024;

/// Pages from one ping's answer to the next: writing one costs the root half time, asking costs a stranger none.
const PAGES: u32 = 256;

/// Who stands behind the front, in the root half.
pub trait Desk: Clone + Send + Sync + 'static {
    /// Takes a fact; returns when it is on disk or will not be.
    fn deliver(
        &self,
        guid: String,
        event: ForgeEvent,
    ) -> impl Future<Output = Taken> + Send + 'static;

    /// Writes a page: whether all is well, and its text.
    fn page(&self, page: Page, seen: Seen) -> (bool, String);
}

/// What all fronts of this daemon's life have seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Their counts.
    pub counted: Counted,
    /// How many had to be started anew.
    pub restarts: u64,
}

/// What a word means for whoever keeps the front.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// It is being answered.
    Asked,
    /// The front is there.
    Pong,
    /// It cannot use the certificate and key it was given.
    Unusable(String),
}

/// Answers one front.
pub struct Clerk<D> {
    desk: D,
    /// Of all gates.
    scopes: Vec<ScopeId>,
    /// Of the fronts before this one.
    before: Seen,
    now: Counted,
    pages_left: u32,
    room: Arc<Semaphore>,
    answers: mpsc::Sender<Down>,
    /// A delivery whose front is gone is committed all the same: these are not aborted.
    tasks: JoinSet<()>,
}

impl<D: Desk> Clerk<D> {
    /// A clerk, and the answers that must go to the front.
    #[must_use]
    pub fn new(desk: D, scopes: Vec<ScopeId>, before: Seen) -> (Clerk<D>, mpsc::Receiver<Down>) {
        let (answers, queue) = mpsc::channel(2 * DELIVERIES);
        let room = Arc::new(Semaphore::new(DELIVERIES));
        let (now, pages_left, tasks) = (Counted::default(), PAGES, JoinSet::new());
        (Clerk { desk, scopes, before, now, pages_left, room, answers, tasks }, queue)
    }

    /// Checks a word, and answers it in its own time.
    ///
    /// # Errors
    /// [`Unsound`]: no honest front says this.
    pub fn hear(&mut self, word: Up) -> Result<Heard, Unsound> {
        while self.tasks.try_join_next().is_some() {}
        match word {
            Up::Delivery { number, guid, fact } => self.delivery(number, guid, fact)?,
            Up::Page { number, page, counted } => {
                self.now = counted;
                self.page(number, page);
            }
            Up::Pong { counted } => {
                (self.now, self.pages_left) = (counted, PAGES);
                return Ok(Heard::Pong);
            }
            Up::Unusable { why } => return Ok(Heard::Unusable(crate::text::line(&why))),
            Up::Confined { .. } | Up::Serving => return Err(Unsound { what: "a second greeting" }),
        }
        Ok(Heard::Asked)
    }

    /// Says a word of its own to the front; one that reads nothing misses it.
    pub fn say(&self, word: Down) {
        drop(self.answers.try_send(word));
    }

    /// What all fronts so far have seen.
    #[must_use]
    pub fn seen(&self) -> Seen {
        Seen { counted: self.before.counted + self.now, restarts: self.before.restarts }
    }

    /// Lets deliveries that wait for their commit have it, though nobody is told any more.
    pub fn leave(mut self) {
        self.tasks.detach_all();
    }

    fn delivery(&mut self, number: u64, told: String, fact: Fact) -> Result<(), Unsound> {
        let guid = guid(told)?;
        let event = fact.checked(&self.scopes)?;
        let Ok(place) = Arc::clone(&self.room).try_acquire_owned() else {
            self.say(Down::Done { number, taken: Taken::Refused });
            return Ok(());
        };
        let (delivered, answers) = (self.desk.deliver(guid, event), self.answers.clone());
        self.tasks.spawn(async move {
            let taken = delivered.await;
            // Its front may be gone meanwhile; the fact is on disk all the same.
            drop(answers.send(Down::Done { number, taken }).await);
            drop(place);
        });
        Ok(())
    }

    fn page(&mut self, number: u64, page: Page) {
        let (well, text) = match self.pages_left.checked_sub(1) {
            Some(left) => {
                self.pages_left = left;
                self.desk.page(page, self.seen())
            }
            None => (false, "asked too often\n".to_owned()),
        };
        let mut rest = text.as_str();
        loop {
            let (piece, after) = rest.split_at(rest.floor_char_boundary(PIECE));
            rest = after;
            let more = !rest.is_empty();
            self.say(Down::Text { number, well, text: piece.to_owned(), more });
            if !more {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flint_core::id::JobKey;
    use flint_core::job::JobRequest;
    use flint_core::policy::Origin;

    /// A store that never commits.
    #[derive(Clone)]
    struct Stuck;

    impl Desk for Stuck {
        fn deliver(
            &self,
            _: String,
            _: ForgeEvent,
        ) -> impl Future<Output = Taken> + Send + 'static {
            std::future::pending()
        }

        fn page(&self, _: Page, seen: Seen) -> (bool, String) {
            (true, format!("{} {}", seen.counted.received, seen.restarts))
        }
    }

    fn delivery(number: u64) -> Up {
        let request = JobRequest {
            repository: "o/r".to_owned(),
            workflow: String::new(),
            name: String::new(),
            labels: Vec::new(),
            run_id: 1,
            url: String::new(),
            scale_set: None,
            origin: Origin::PRIVATE,
        };
        let fact = Fact::Queued { job: JobKey { id: number, attempt: 1 }, request };
        Up::Delivery { number, guid: format!("g-{number}"), fact }
    }

    #[tokio::test]
    async fn more_deliveries_than_may_wait_are_refused_at_once() {
        let scopes = vec![ScopeId::organization("o")];
        let (mut clerk, mut answers) = Clerk::new(Stuck, scopes, Seen::default());
        let most = DELIVERIES as u64;
        for number in 1..=most {
            assert_eq!(clerk.hear(delivery(number)), Ok(Heard::Asked));
        }
        assert!(answers.try_recv().is_err());
        clerk.hear(delivery(most + 1)).unwrap();
        let refused = answers.try_recv().unwrap();
        assert!(
            matches!(refused, Down::Done { number, taken: Taken::Refused } if number == most + 1)
        );
    }

    #[tokio::test]
    async fn what_earlier_fronts_counted_is_not_lost() {
        let scopes = vec![ScopeId::organization("o")];
        let counted = |received| Counted { received, ..Counted::default() };
        let before = Seen { counted: counted(40), restarts: 2 };
        let (mut clerk, mut answers) = Clerk::new(Stuck, scopes, before);
        assert_eq!(clerk.hear(Up::Pong { counted: counted(1) }), Ok(Heard::Pong));
        let page = Up::Page { number: 1, page: Page::Metrics, counted: counted(2) };
        clerk.hear(page).unwrap();
        let Ok(Down::Text { text, well: true, more: false, .. }) = answers.try_recv() else {
            panic!("it is one piece");
        };
        assert_eq!(text, "42 2");
        assert_eq!(clerk.seen(), Seen { counted: counted(42), restarts: 2 });
    }
}
