//! The one loop: take what is at the door, fold, plan, commit, then give the orders.
//!
//! Nothing here decides; `flint_core::plan` does. Nothing here acts; the dispatcher does.

use super::clock::Clock;
use super::dispatch::Batch;
use super::door::{Knock, NotStored, OrderNumber, Taken, View};
use crate::steps::{self, Step};
use crate::store::{Change, Store};
use flint_core::audit::audit;
use flint_core::event::Event;
use flint_core::fold::fold;
use flint_core::plan::{Action, Plan, Waits, plan};
use flint_core::units::Timestamp;
use flint_core::world::World;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// How many facts go into one commit at most. A commit waits for the disk; a burst should share it.
const BATCH_MAX: usize = 256;

/// How long until a refused commit is tried again.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// Owns the world and the store; nobody else writes either.
pub struct Controller<S, C> {
    store: S,
    clock: Arc<C>,
    world: Arc<World>,
    inside: mpsc::Receiver<Knock>,
    orders: mpsc::UnboundedSender<Batch>,
    window: watch::Sender<View>,
    /// What a refused commit left over.
    unstored: Facts,
    wake_at: Option<Timestamp>,
    /// What was said last of profiles whose runner grows too old.
    warned: BTreeMap<flint_core::id::ProfileId, String>,
}

/// The controller's ends that the rest of the daemon holds.
pub struct Ends {
    /// All orders that are due, after each commit.
    pub orders: mpsc::UnboundedReceiver<Batch>,
    /// What the daemon shows.
    pub window: watch::Receiver<View>,
}

/// Facts that stay until the store takes them, the orders that ended with them, and who waits for the disk.
#[derive(Default)]
struct Facts {
    events: Vec<Event>,
    ended: Vec<OrderNumber>,
    kept: Vec<oneshot::Sender<()>>,
}

/// A delivery whose sender waits for the commit.
struct Waiting {
    guid: String,
    event: Event,
    done: oneshot::Sender<Result<Taken, NotStored>>,
}

impl<S: Store, C: Clock> Controller<S, C> {
    /// Takes the store over and reads the world from it.
    ///
    /// # Errors
    /// [`crate::store::Error`] when the world cannot be read.
    pub fn new(
        mut store: S,
        clock: Arc<C>,
        inside: mpsc::Receiver<Knock>,
    ) -> Result<(Self, Ends), crate::store::Error> {
        let world = Arc::new(store.load()?);
        let view = View { world: Arc::clone(&world), stored: true, ..View::default() };
        let (orders, orders_out) = mpsc::unbounded_channel();
        let (window, window_out) = watch::channel(view);
        let (unstored, warned) = (Facts::default(), BTreeMap::new());
        let wake_at = None;
        let this =
            Controller { store, clock, world, inside, orders, window, unstored, wake_at, warned };
        Ok((this, Ends { orders: orders_out, window: window_out }))
    }

    /// Runs until every outside of the door is gone.
    pub async fn run(mut self) {
        loop {
            let first = tokio::select! {
                knock = self.inside.recv() => match knock {
                    Some(knock) => Some(knock),
                    None => return,
                },
                () = sleep(self.clock.as_ref(), self.wake_at) => None,
            };
            self.step(first);
        }
    }

    /// One turn of the loop: everything at the door goes into one commit.
    fn step(&mut self, first: Option<Knock>) {
        let mut facts = std::mem::take(&mut self.unstored);
        let mut due = first.is_none();
        let mut knocks: Vec<Knock> = first.into_iter().collect();
        while knocks.len() < BATCH_MAX {
            let Ok(more) = self.inside.try_recv() else { break };
            knocks.push(more);
        }
        let mut waiting = Vec::new();
        for knock in knocks {
            match knock {
                Knock::Facts { events, ended, kept } => {
                    facts.events.extend(events);
                    facts.ended.extend(ended);
                    facts.kept.extend(kept);
                }
                Knock::Delivery { guid, event, done } => {
                    waiting.push(Waiting { guid, event, done });
                }
                Knock::History { query, reply } => drop(reply.send(self.store.history(&query))),
            }
        }
        let waiting = self.without_known(waiting);
        due |= !facts.events.is_empty() || !waiting.is_empty();
        if due {
            self.turn(facts, waiting);
        }
    }

    /// Answers deliveries that were committed before, or twice in this batch.
    fn without_known(&mut self, waiting: Vec<Waiting>) -> Vec<Waiting> {
        let mut fresh: Vec<Waiting> = Vec::new();
        for one in waiting {
            let known = match self.store.knows(&one.guid) {
                Ok(known) => Ok(known || fresh.iter().any(|other| other.guid == one.guid)),
                Err(error) => Err(error),
            };
            match known {
                Ok(false) => fresh.push(one),
                Ok(true) => answer(vec![one], Ok(Taken::Known)),
                Err(error) => {
                    tracing::error!(error = %crate::error::chain(&error), "cannot read the store");
                    answer(vec![one], Err(NotStored));
                }
            }
        }
        fresh
    }

    fn turn(&mut self, facts: Facts, waiting: Vec<Waiting>) {
        let now = self.clock.now();
        let guids: Vec<&str> = waiting.iter().map(|one| one.guid.as_str()).collect();
        let told = waiting.iter().map(|one| one.event.clone());
        let mut events: Vec<Event> = facts.events.iter().cloned().chain(told).collect();
        if events.is_empty() {
            events.push(Event::Tick);
        }

        let mut folded = World::clone(&self.world);
        let mut records = Vec::new();
        for event in &events {
            records.extend(fold(&mut folded, now, event.clone()));
        }
        let Plan { world, actions, waits, wake_at } = plan(&folded, now);
        let change = Change { at: now, events: &events, deliveries: &guids, records: &records };
        match waiting.is_empty() {
            true => steps::before(Step::PlanCommit),
            false => steps::before(Step::DeliveryCommit),
        }
        // A look at the clock that changed nothing is worth no write: whatever is due was due before.
        let idle = events == [Event::Tick] && world == *self.world;
        let committed = if idle { Ok(()) } else { self.store.commit(&self.world, &world, change) };
        match committed {
            Ok(()) => {
                match waiting.is_empty() {
                    true => steps::after(Step::PlanCommit),
                    false => steps::after(Step::DeliveryCommit),
                }
                log_changes(&self.world, &world);
                self.world = Arc::new(world);
                self.warn_of_runners(now);
                self.wake_at = wake_at;
                self.show(waits);
                self.order(actions, facts.ended);
                // Whoever is gone needs no word.
                facts.kept.into_iter().for_each(|kept| _ = kept.send(()));
                answer(waiting, Ok(Taken::Committed));
            }
            Err(error) => {
                tracing::error!(error = %crate::error::chain(&error), "cannot write the store");
                self.unstored = facts;
                self.wake_at = Some(now.after(STORE_RETRY));
                self.window.send_modify(|view| view.stored = false);
                answer(waiting, Err(NotStored));
            }
        }
    }

    /// One line for each profile whose runner's time comes to its end, when that is known or changes.
    fn warn_of_runners(&mut self, now: Timestamp) {
        let warnings = self.world.runner_versions.keys().filter_map(|profile| {
            let warning = super::rows::runner(&self.world, profile, now)?.warning?;
            Some((profile.clone(), warning))
        });
        let warnings: BTreeMap<_, _> = warnings.collect();
        for (profile, warning) in &warnings {
            if self.warned.get(profile) != Some(warning) {
                tracing::warn!(%profile, warning, "the image's runner grows too old");
            }
        }
        self.warned = warnings;
    }

    /// Publishes the committed world, and what is wrong with it.
    fn show(&mut self, waits: Waits) {
        let notes: Vec<String> = audit(&self.world).into_iter().map(|note| note.0).collect();
        for note in &notes {
            tracing::error!(%note, "the world is not as it should be; please report this");
        }
        let world = Arc::clone(&self.world);
        self.window.send_replace(View { world, waits: Arc::new(waits), notes, stored: true });
    }

    /// Lets the orders go. A world that should not be starts nothing new.
    fn order(&mut self, mut actions: Vec<Action>, ended: Vec<OrderNumber>) {
        if !self.window.borrow().notes.is_empty() {
            actions.retain(|action| !matches!(action, Action::Launch { .. }));
        }
        // The dispatcher ends only with the daemon; orders not given are given again at the next start.
        let committed = self.clock.now();
        drop(self.orders.send(Batch { actions, ended, committed }));
    }
}

fn answer(waiting: Vec<Waiting>, with: Result<Taken, NotStored>) {
    for one in waiting {
        // A sender that gave up waiting tells it again, and hears that it is known.
        one.done.send(with).ok();
    }
}

async fn sleep<C: Clock>(clock: &C, until: Option<Timestamp>) {
    match until {
        Some(at) => clock.sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// One line for each microVM that changed its phase.
fn log_changes(before: &World, after: &World) {
    for (id, vm) in after.vms.iter() {
        let from = before.vms.get(id).map(|old| &old.phase);
        if from == Some(&vm.phase) {
            continue;
        }
        let (to, profile) = (&vm.phase, &vm.profile);
        tracing::info!(vm = %id, %profile, from = ?from, to = ?to, trouble = vm.trouble, "phase");
    }
    for (id, vm) in before.vms.iter().filter(|(id, _)| !after.vms.contains_key(id)) {
        tracing::info!(vm = %id, profile = %vm.profile, from = ?vm.phase, "gone");
    }
}
