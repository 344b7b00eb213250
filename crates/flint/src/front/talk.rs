//! The front's side of the conversation: requests that wait, by number, and who is told what became of them.

use super::pages::{Asked, Shown};
use super::tls::Tls;
use super::webhook::{Committed, Counters, Delivery, Unavailable};
use super::words::{Down, Fact, Taken, Up};
use super::{Error, Link};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{mpsc, oneshot};

/// Answers to pings and bad certificates that may wait for the writer; both come one at a time.
const NEWS: usize = 8;

/// What requests bring.
pub(super) struct Queues {
    pub(super) deliveries: mpsc::Receiver<Delivery>,
    pub(super) asked: mpsc::Receiver<Asked>,
}

/// The conversation.
pub(super) struct Talk {
    link: Link,
    waiting: Mutex<HashMap<u64, Waiting>>,
    numbers: AtomicU64,
    counters: Arc<Counters>,
    tls: Tls,
    stop: oneshot::Sender<()>,
}

enum Waiting {
    Delivery(oneshot::Sender<Result<Committed, Unavailable>>),
    Page(oneshot::Sender<Shown>, String),
}

impl Talk {
    /// One over this link, and what ends when the root half says so.
    pub(super) fn new(
        link: Link,
        counters: Arc<Counters>,
        tls: Tls,
    ) -> (Talk, impl Future<Output = ()>) {
        let (stop, stopped) = oneshot::channel();
        let (waiting, numbers) = (Mutex::default(), AtomicU64::default());
        let talk = Talk { link, waiting, numbers, counters, tls, stop };
        let stopped = async move {
            // An end of the talk without this word ends the process anyway.
            drop(stopped.await);
        };
        (talk, stopped)
    }

    /// Until the root half has gone.
    pub(super) async fn run(self, queues: Queues) -> Result<(), Error> {
        let Talk { link, waiting, numbers, counters, tls, stop } = self;
        let (news, from_reader) = mpsc::channel(NEWS);
        let writer = Writer { link: &link, waiting: &waiting, numbers, counters: &counters };
        let reader = Reader { link: &link, waiting: &waiting, counters: &counters, tls, news };
        // Apart, so that a full link in one direction never stops the other.
        tokio::select! {
            ended = writer.run(queues, from_reader) => ended,
            ended = reader.run(stop) => ended,
        }
    }
}

struct Writer<'a> {
    link: &'a Link,
    waiting: &'a Mutex<HashMap<u64, Waiting>>,
    numbers: AtomicU64,
    counters: &'a Counters,
}

impl Writer<'_> {
    async fn run(self, queues: Queues, mut news: mpsc::Receiver<Up>) -> Result<(), Error> {
        let Queues { mut deliveries, mut asked } = queues;
        loop {
            let word = tokio::select! {
                Some(word) = news.recv() => Some(word),
                Some(delivery) = deliveries.recv() => self.delivery(delivery),
                Some(asked) = asked.recv() => Some(self.page(asked)),
                else => return Ok(()),
            };
            if let Some(word) = word {
                self.link.say(&word).await?;
            }
        }
    }

    fn delivery(&self, Delivery { guid, event, done }: Delivery) -> Option<Up> {
        let fact = Fact::of(event)?;
        let number = self.wait(Waiting::Delivery(done));
        Some(Up::Delivery { number, guid, fact })
    }

    fn page(&self, Asked { page, shown }: Asked) -> Up {
        let number = self.wait(Waiting::Page(shown, String::new()));
        Up::Page { number, page, counted: self.counters.counted() }
    }

    fn wait(&self, what: Waiting) -> u64 {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Whose request was given up meanwhile will hear nothing.
        waiting.retain(|_, other| !other.given_up());
        waiting.insert(number, what);
        number
    }
}

struct Reader<'a> {
    link: &'a Link,
    waiting: &'a Mutex<HashMap<u64, Waiting>>,
    counters: &'a Counters,
    tls: Tls,
    news: mpsc::Sender<Up>,
}

impl Reader<'_> {
    async fn run(self, stop: oneshot::Sender<()>) -> Result<(), Error> {
        let mut stop = Some(stop);
        while let Some(word) = self.link.hear().await? {
            match word {
                Down::Done { number, taken } => self.done(number, taken),
                Down::Text { number, well, text, more } => self.text(number, well, &text, more),
                Down::Tls(pair) => {
                    if let Err(why) = self.tls.replace(Some(pair)) {
                        self.tell(Up::Unusable { why });
                    }
                }
                Down::Ping => self.tell(Up::Pong { counted: self.counters.counted() }),
                Down::Stop => drop(stop.take()),
                Down::Hello(_) | Down::Gate(_) => return Err(Error::Silent),
            }
        }
        Ok(())
    }

    fn tell(&self, word: Up) {
        // A writer that cannot keep up with pings is found by their missing answers.
        drop(self.news.try_send(word));
    }

    fn done(&self, number: u64, taken: Taken) {
        let Some(Waiting::Delivery(done)) = self.remove(number) else { return };
        let answer = match taken {
            Taken::New => Ok(Committed::New),
            Taken::Known => Ok(Committed::Known),
            Taken::Refused => Err(Unavailable { why: "the store cannot be written".to_owned() }),
        };
        drop(done.send(answer));
    }

    fn text(&self, number: u64, well: bool, piece: &str, more: bool) {
        let Some(Waiting::Page(shown, mut text)) = self.remove(number) else { return };
        text.push_str(piece);
        if more {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.insert(number, Waiting::Page(shown, text));
        } else {
            drop(shown.send(Shown { well, text }));
        }
    }

    fn remove(&self, number: u64) -> Option<Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).remove(&number)
    }
}

impl Waiting {
    fn given_up(&self) -> bool {
        match self {
            Waiting::Delivery(done) => done.is_closed(),
            Waiting::Page(shown, _) => shown.is_closed(),
        }
    }
}
