//! Keeps the resolver's process, gives it each slot's sockets, and opens what it finds. Runs in the root half.
//!
//! A process that is gone costs no job: it is started anew with the same slots, and a guest that heard nothing asks
//! again.

use super::super::{Cidr, Error as Failed};
use super::opening::{Next, Opening};
use super::process::{Heard, Opened, Running, hear, ping};
use super::words::{ADDRESSES_MAX, Down, Up};
use super::{Error, Served, open};
use crate::error;
use flint_core::id::Slot;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{interval, sleep};

/// From ping to ping; two without an answer are a hang.
const PING: Duration = Duration::from_secs(5);

/// The first wait before it is started anew; it doubles up to the second while the process fails before any answer.
const BACK_OFF: Duration = Duration::from_millis(100);
const BACK_OFF_MAX: Duration = Duration::from_secs(30);

/// Distinct names that are remembered as refused, for each slot.
const REFUSED_MAX: usize = 256;

/// Orders that wait.
const ORDERS: usize = 256;

/// What the keeper must be told. The defaults stand in `config`.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program; [`again::SELF`] but in tests.
    pub program: PathBuf,
    /// As whom it runs.
    pub uid: u32,
    /// Whether it must have all of its confinement.
    pub confine: bool,
    /// Any directory; it is covered for the process alone.
    pub directory: PathBuf,
    /// Reached although denied.
    pub allow: Vec<Cidr>,
    /// Never reached, whatever a name says.
    pub deny: Vec<Cidr>,
}

/// A resolver for the slots of a host. It ends with the last handle.
#[derive(Clone, Debug)]
pub struct Names {
    orders: mpsc::Sender<Order>,
    pid: watch::Receiver<i32>,
}

enum Order {
    Resume(Vec<Served>, oneshot::Sender<()>),
    Serve(Served, oneshot::Sender<Result<(), Failed>>),
    Forget(Slot, oneshot::Sender<()>),
    Refused(Slot, oneshot::Sender<(BTreeMap<String, u64>, bool)>),
}

impl Names {
    /// Starts its process when the first slot is served.
    #[must_use]
    pub fn new(options: Options) -> Names {
        let (orders, taking) = mpsc::channel(ORDERS);
        let (tell, pid) = watch::channel(0);
        let slots = BTreeMap::new();
        let keeper = Keeper { options, slots, lives: 0, failures: 0, pid: tell };
        tokio::spawn(keeper.run(taking));
        Names { orders, pid }
    }

    /// The number of the process, and of each that comes after it; 0 while there is none.
    #[must_use]
    pub fn pid(&self) -> watch::Receiver<i32> {
        self.pid.clone()
    }

    /// Serves the slots of an earlier daemon, as soon as its own process has gone.
    pub async fn resume(&self, served: Vec<Served>) {
        let (tell, told) = oneshot::channel();
        if self.orders.send(Order::Resume(served, tell)).await.is_ok() {
            told.await.ok();
        }
    }

    /// Serves a slot from now on, and again after the process was started anew.
    ///
    /// # Errors
    /// [`Error::Slot`], [`Error::Absent`], [`Error::Process`], [`Error::Unconfined`].
    pub async fn serve(&self, served: Served) -> Result<(), Failed> {
        let gone = || Error::Absent { slot: served.slot };
        let (tell, told) = oneshot::channel();
        self.orders.send(Order::Serve(served.clone(), tell)).await.map_err(|_| gone())?;
        told.await.map_err(|_| gone())?
    }

    /// Serves it no more. On return its namespace is held by nothing here.
    pub async fn forget(&self, slot: Slot) {
        let (tell, told) = oneshot::channel();
        if self.orders.send(Order::Forget(slot, tell)).await.is_ok() {
            drop(told.await);
        }
    }

    /// The names that a slot's list does not have and that were asked for, and how often each; and whether it is an
    /// audit, which let them through.
    pub async fn refused(&self, slot: Slot) -> (BTreeMap<String, u64>, bool) {
        let (tell, told) = oneshot::channel();
        match self.orders.send(Order::Refused(slot, tell)).await {
            Ok(()) => told.await.unwrap_or_default(),
            Err(_) => Default::default(),
        }
    }
}

/// A slot, and what has become of it.
struct Known {
    served: Served,
    /// Which of all that were ever served: what was begun for an earlier one of this slot is nothing of this one's.
    life: u64,
    opening: Opening,
    /// Whether the last batch failed: a guest can ask often, and is not to fill the log.
    failing: bool,
    refused: BTreeMap<String, u64>,
}

struct Keeper {
    options: Options,
    slots: BTreeMap<Slot, Known>,
    /// Lives that were given out.
    lives: u64,
    failures: u32,
    pid: watch::Sender<i32>,
}

impl Keeper {
    async fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        let mut running: Option<Running> = None;
        let mut beat = interval(PING);
        loop {
            let broken = tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.obey(order, &mut running).await,
                    None => break,
                },
                heard = hear(&mut running) => self.heard(heard, &mut running).await,
                _ = beat.tick() => ping(&mut running).await,
            };
            if let Err(why) = broken {
                tracing::error!(%why, "the process that resolves guests' names is started anew");
                self.start_anew(&mut running).await;
            }
        }
        if let Some(running) = running {
            running.end().await;
        }
    }

    async fn obey(&mut self, order: Order, running: &mut Option<Running>) -> Result<(), String> {
        match order {
            Order::Resume(served, tell) => {
                served.into_iter().for_each(|served| self.know(served));
                let started = self.again().await;
                // Nobody may be waiting any more.
                tell.send(()).ok();
                self.run_on(started.map_err(|error| error::chain(&error))?, running);
                Ok(())
            }
            Order::Serve(served, tell) => {
                let done = self.serve(served, running).await;
                tell.send(done).ok();
                Ok(())
            }
            Order::Forget(slot, tell) => {
                let known = self.slots.remove(&slot).is_some();
                let said = match running.as_ref().filter(|_| known) {
                    Some(running) => running.link.say(&Down::Forget { slot }, &[]).await,
                    None => Ok(()),
                };
                tell.send(()).ok();
                said.map_err(|error| error.to_string())
            }
            Order::Refused(slot, tell) => {
                let known = self.slots.get(&slot);
                let refused = known.map(|slot| (slot.refused.clone(), slot.served.audit));
                tell.send(refused.unwrap_or_default()).ok();
                Ok(())
            }
        }
    }

    async fn serve(&mut self, served: Served, running: &mut Option<Running>) -> Result<(), Failed> {
        if running.is_none() {
            let started = Running::start(&self.options).await?;
            self.run_on(started, running);
        }
        let sockets = open::sockets(&served).await?;
        if let Some(running) = running {
            // A link that is broken breaks in the next moment for its reader, too: then all slots are served anew.
            running.serve(&served, sockets).await.ok();
        }
        self.know(served);
        Ok(())
    }

    fn know(&mut self, served: Served) {
        self.lives += 1;
        self.slots.insert(served.slot, Known::new(served, self.lives));
    }

    fn run_on(&mut self, started: Running, running: &mut Option<Running>) {
        self.pid.send_replace(started.process.pid());
        // What the old one was waiting for, nobody waits for any more.
        for known in self.slots.values_mut() {
            self.lives += 1;
            (known.life, known.opening) = (self.lives, Opening::default());
        }
        *running = Some(started);
    }

    async fn heard(&mut self, heard: Heard, running: &mut Option<Running>) -> Result<(), String> {
        let Some(running) = running else { return Ok(()) };
        let word = match heard {
            Heard::Opened(opened) => return self.opened(opened, running).await,
            Heard::Word(word) => word.map_err(|error| error.to_string())?.ok_or("it has ended")?,
        };
        match word {
            Up::Confined { .. } => return Err("a second greeting is out of bounds".to_owned()),
            Up::Pong => (running.unanswered, self.failures) = (0, 0),
            Up::Refused { slot, name } => {
                if let Some(slot) = self.slots.get_mut(&slot) {
                    slot.note(name)?;
                }
            }
            Up::Found { slot, number, addresses } => {
                if addresses.len() > ADDRESSES_MAX {
                    return Err("an answer's addresses are out of bounds".to_owned());
                }
                let Some(known) = self.slots.get_mut(&slot) else { return Ok(()) };
                let reached = reached(addresses, &self.options);
                let next = known.opening.found(number, reached, Instant::now());
                return carry_out(next, known, running).await;
            }
        }
        Ok(())
    }

    /// A batch has ended; its answers go out if it is open.
    async fn opened(&mut self, opened: Opened, running: &mut Running) -> Result<(), String> {
        let Opened { slot, life, batch, failed } = opened;
        let known = self.slots.get_mut(&slot).filter(|known| known.life == life);
        let Some(known) = known else { return Ok(()) };
        match &failed {
            Some(error) if !known.failing => {
                let error = error::chain(error);
                tracing::warn!(%slot, %error, "listed names' addresses stay closed, and are not told");
            }
            _ => {}
        }
        known.failing = failed.is_some();
        let next = known.opening.ended(&batch, failed.is_none(), Instant::now());
        if failed.is_none() {
            for number in batch.answers {
                tell_opened(slot, number, running).await?;
            }
        }
        carry_out(next, known, running).await
    }

    async fn start_anew(&mut self, running: &mut Option<Running>) {
        if let Some(old) = running.take() {
            old.end().await;
        }
        loop {
            let doubled = BACK_OFF.saturating_mul(1 << self.failures.min(16));
            sleep(doubled.min(BACK_OFF_MAX)).await;
            self.failures = self.failures.saturating_add(1);
            match self.again().await {
                Ok(started) => return self.run_on(started, running),
                Err(error) => {
                    let error = error::chain(&error);
                    tracing::error!(%error, "the process that resolves guests' names does not start");
                }
            }
        }
    }

    async fn again(&self) -> Result<Running, Failed> {
        let running = Running::start(&self.options).await?;
        for slots in self.slots.values() {
            let sockets = match open::sockets(&slots.served).await {
                // The process of an earlier daemon is still about to go.
                Err(error) if open::is_taken(&error) => return Err(error),
                // A namespace that is about to go needs no resolver.
                Err(_) => continue,
                Ok(sockets) => sockets,
            };
            let said = running.serve(&slots.served, sockets).await;
            said.map_err(|source| Error::Process { source })?;
        }
        Ok(running)
    }
}

impl Known {
    fn new(served: Served, life: u64) -> Known {
        let (opening, refused) = (Opening::default(), BTreeMap::new());
        Known { served, life, opening, failing: false, refused }
    }

    fn note(&mut self, name: String) -> Result<(), String> {
        // It has been read by a process that may be a stranger's.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.len() > 253 || !name.chars().all(plain) {
            return Err("a refused name is out of bounds".to_owned());
        }
        if self.refused.len() < REFUSED_MAX || self.refused.contains_key(&name) {
            *self.refused.entry(name).or_default() += 1;
        }
        Ok(())
    }
}

/// What of an answer may be opened. A listed name that points into a private network opens nothing there.
fn reached(mut addresses: Vec<(IpAddr, u32)>, options: &Options) -> Vec<(IpAddr, u32)> {
    let lies_in = |ranges: &[Cidr], address| ranges.iter().any(|range| range.contains(address));
    addresses.retain(|(address, _)| {
        lies_in(&options.allow, *address) || !lies_in(&options.deny, *address)
    });
    addresses
}

async fn carry_out(next: Next, known: &Known, running: &mut Running) -> Result<(), String> {
    match next {
        Next::Nothing => Ok(()),
        Next::Answer(number) => tell_opened(known.served.slot, number, running).await,
        Next::Open(batch) => {
            let (Served { slot, netns, .. }, life) = (known.served.clone(), known.life);
            running.opening.spawn(async move {
                let addresses = batch.addresses.clone();
                let failed = match addresses.is_empty() {
                    true => None,
                    false => open::addresses(netns, addresses).await.err(),
                };
                Opened { slot, life, batch, failed }
            });
            Ok(())
        }
    }
}

async fn tell_opened(slot: Slot, number: u64, running: &Running) -> Result<(), String> {
    let said = running.link.say(&Down::Opened { slot, number }, &[]).await;
    said.map_err(|error| error.to_string())
}
