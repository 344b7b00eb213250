//! The one door by which facts come in, and the questions that only the controller can answer.

use flint_core::event::Event;
use flint_core::plan::Waits;
use flint_core::world::World;
use tokio::sync::{mpsc, oneshot, watch};

use crate::store::{History, Query};

/// How many facts may wait at the door. More make their senders wait: a webhook is then answered late, and told again.
const QUEUE: usize = 1_024;

/// What comes through the door.
pub enum Knock {
    /// Facts that are taken whenever the store takes them.
    Facts {
        /// They.
        events: Vec<Event>,
        /// The order that ended with them, if one did.
        ended: Option<OrderNumber>,
        /// Told when they are on disk, if somebody asks.
        kept: Option<oneshot::Sender<()>>,
    },
    /// A webhook's fact; the answer says that it is on disk.
    Delivery {
        /// The GUID: the same in a redelivery.
        guid: String,
        /// What it told.
        event: Event,
        /// Answered after the commit.
        done: oneshot::Sender<Result<Taken, NotStored>>,
    },
    /// A question about what has ended.
    History {
        /// Which.
        query: Query,
        /// The answer.
        reply: oneshot::Sender<Result<History, crate::store::Error>>,
    },
}

/// Tells orders apart; counted by whoever carries them out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct OrderNumber(pub u64);

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Its fact is on disk now.
    Committed,
    /// It had been committed before.
    Known,
}

/// The store could not take it; it must be told again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotStored;

/// The outside of the door: cheap to clone, one for each who has facts to tell.
#[derive(Clone)]
pub struct Door(mpsc::Sender<Knock>);

/// What the daemon shows of itself; replaced after each commit.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// The world as committed.
    pub world: std::sync::Arc<World>,
    /// Why each queued job waits.
    pub waits: std::sync::Arc<Waits>,
    /// What `audit` found wrong; empty in every world that should be.
    pub notes: Vec<String>,
    /// Whether the last commit reached the disk.
    pub stored: bool,
}

/// Where the view is read.
pub type Window = watch::Receiver<View>;

impl Door {
    /// A door and its inside.
    #[must_use]
    pub fn new() -> (Door, mpsc::Receiver<Knock>) {
        let (outside, inside) = mpsc::channel(QUEUE);
        (Door(outside), inside)
    }

    /// Tells a fact. It is lost only when the controller has ended, and then the next start scans anew.
    pub async fn tell(&self, event: Event) {
        self.tell_all(vec![event]).await;
    }

    /// Tells facts that came at once.
    pub async fn tell_all(&self, events: Vec<Event>) {
        drop(self.0.send(Knock::Facts { events, ended: None, kept: None }).await);
    }

    /// Tells a fact; `kept` is told when it is on disk, and dropped when it never will be.
    pub async fn keep(&self, event: Event, kept: Option<oneshot::Sender<()>>) {
        drop(self.0.send(Knock::Facts { events: vec![event], ended: None, kept }).await);
    }

    /// Tells facts and waits until they are on disk.
    ///
    /// # Errors
    /// [`NotStored`] when the controller has ended; the facts must be told again.
    pub async fn commit(&self, events: Vec<Event>) -> Result<(), NotStored> {
        let (kept, told) = oneshot::channel();
        let knock = Knock::Facts { events, ended: None, kept: Some(kept) };
        self.0.send(knock).await.map_err(|_| NotStored)?;
        told.await.map_err(|_| NotStored)
    }

    /// Tells what an order came to. The batch of the commit that has these facts names the order as ended.
    pub async fn end(&self, order: OrderNumber, events: Vec<Event>) {
        drop(self.0.send(Knock::Facts { events, ended: Some(order), kept: None }).await);
    }

    /// Tells a webhook's fact and waits until it is on disk.
    ///
    /// # Errors
    /// [`NotStored`] when it is not and will not be.
    pub async fn deliver(&self, guid: String, event: Event) -> Result<Taken, NotStored> {
        let (done, answer) = oneshot::channel();
        self.0.send(Knock::Delivery { guid, event, done }).await.map_err(|_| NotStored)?;
        answer.await.unwrap_or(Err(NotStored))
    }

    /// Asks the store, through its one owner. `None`: the controller has ended.
    pub async fn history(&self, query: Query) -> Option<Result<History, crate::store::Error>> {
        let (reply, answer) = oneshot::channel();
        self.0.send(Knock::History { query, reply }).await.ok()?;
        answer.await.ok()
    }
}
