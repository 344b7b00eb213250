//! Carries orders out, each once at a time, and tells what came of them as facts.
//!
//! Every plan names all orders that are due, so an order that is still under way is named again and dropped here.

use super::clock::Clock;
use super::door::{Door, OrderNumber, Window};
pub use super::hands::{Hands, Recipe, Recipes};
use super::orders::{self, Outcome, Serves};
use crate::forge::{Forge, Request};
use crate::host::{Console, LaunchOrder};
use crate::images::Images;
use crate::net::Net;
use crate::vmm::Vmm;
use flint_core::plan::Action;
use flint_core::units::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};

/// All orders that are due after one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// They.
    pub actions: Vec<Action>,
    /// Orders whose end is among the facts of the commit: whatever is due is due again.
    pub ended: Vec<OrderNumber>,
    /// When the plan that holds them was on disk.
    pub committed: Timestamp,
}

/// Carries orders out: one task an order; all are owned here.
pub struct Dispatcher<F, V, N, I, C> {
    hands: Hands<F, V, N, I, C>,
    recipes: Arc<Recipes>,
    door: Door,
    window: Window,
    running: JoinSet<Outcome>,
    in_flight: HashMap<Id, (OrderNumber, Action)>,
    /// Started, and named by every batch since. Until the facts of its end are folded, plans go on naming an order;
    /// one that is named after that is given again.
    given: BTreeMap<Action, OrderNumber>,
    next: OrderNumber,
}

impl<F: Forge, V: Vmm, N: Net, I: Images, C: Clock> Dispatcher<F, V, N, I, C> {
    /// For one host.
    #[must_use]
    pub fn new(
        hands: Hands<F, V, N, I, C>,
        recipes: Arc<Recipes>,
        (door, window): (Door, Window),
    ) -> Self {
        let (running, in_flight, given, next) = Default::default();
        Dispatcher { hands, recipes, door, window, running, in_flight, given, next }
    }

    /// Takes orders until their sender is gone, then lets the ones under way end.
    pub async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Batch>) {
        loop {
            tokio::select! {
                batch = orders.recv() => match batch {
                    Some(batch) => self.take(batch),
                    None => break,
                },
                Some(end) = self.running.join_next_with_id() => self.finish(end).await,
            }
        }
        while let Some(end) = self.running.join_next_with_id().await {
            self.finish(end).await;
        }
    }

    fn take(&mut self, Batch { actions, ended, committed }: Batch) {
        let due: BTreeSet<&Action> = actions.iter().collect();
        let running: BTreeSet<OrderNumber> = self.in_flight.values().map(|(n, _)| *n).collect();
        self.given.retain(|action, order| {
            running.contains(order) || (due.contains(action) && !ended.contains(order))
        });
        for action in actions {
            let waits = self.in_flight.values().any(|(_, other)| must_wait(&action, other));
            if !waits && !self.given.contains_key(&action) {
                self.start(action, committed);
            }
        }
    }

    fn start(&mut self, action: Action, committed: Timestamp) {
        tracing::debug!(?action, "order");
        let task = match action.clone() {
            Action::Launch { vm, slot, profile, .. } => {
                let order = self.recipes.of(&self.window.borrow().world, &profile).map(
                    |(recipe, profile)| LaunchOrder {
                        vm,
                        slot,
                        shape: profile.shape,
                        source: recipe
                            .source(profile.made_of.as_ref().and_then(|m| m.image.as_deref())),
                        egress: recipe.egress.clone(),
                        disk_rate: recipe.disk_rate,
                        boot_timeout: profile.timeouts.boot,
                        console: Console::Kept,
                    },
                );
                let (host, door) = (Arc::clone(&self.hands.host), self.door.clone());
                match order {
                    Some(order) => self.running.spawn(orders::launch(host, door, order, committed)),
                    None => self.running.spawn(orders::refuse(vm, profile)),
                }
            }
            Action::Register { vm, profile, scope, attempt, name, .. } => {
                let known = self.recipes.of(&self.window.borrow().world, &profile);
                let known = known.map(|(_, profile)| profile);
                let serves = known.as_ref().map(|profile| Serves {
                    admits: profile.admits,
                    repositories: profile.repositories.clone(),
                });
                let labels = known.map(|profile| profile.labels).unwrap_or_default();
                let request = Request { name, vm, profile, scope, labels };
                let forge = Arc::clone(&self.hands.forge);
                self.running.spawn(orders::register(
                    forge,
                    request,
                    attempt,
                    serves.unwrap_or_default(),
                ))
            }
            Action::Deregister { vm, scope, names } => {
                let forge = Arc::clone(&self.hands.forge);
                self.running.spawn(orders::deregister(forge, vm, scope, names))
            }
            Action::Destroy { vm, slot, .. } => {
                let host = Arc::clone(&self.hands.host);
                self.running.spawn(orders::destroy(host, vm, slot))
            }
            Action::Scan { host: id } => {
                let (host, asked) = (Arc::clone(&self.hands.host), self.hands.clock.now());
                let world = Arc::clone(&self.window.borrow().world);
                let owned = world.vms.values().map(|vm| vm.slot).collect();
                self.running.spawn(super::asks::host(host, id, owned, asked))
            }
            Action::Ask { question } => {
                let (forge, asked) = (Arc::clone(&self.hands.forge), self.hands.clock.now());
                self.running.spawn(super::asks::forge(forge, self.door.clone(), question, asked))
            }
        };
        self.next.0 += 1;
        self.given.insert(action.clone(), self.next);
        self.in_flight.insert(task.id(), (self.next, action));
    }

    async fn finish(&mut self, end: Result<(Id, Outcome), tokio::task::JoinError>) {
        let (id, outcome) = match end {
            Ok((id, outcome)) => (id, outcome),
            Err(error) => {
                tracing::error!(%error, "an order broke; please report this");
                let order = self.in_flight.get(&error.id());
                let failed = order.map(|(_, action)| Outcome::told(orders::failed(action, &error)));
                (error.id(), failed.unwrap_or_default())
            }
        };
        let order = self.in_flight.remove(&id);
        if let Some(secret) = outcome.hand_over {
            let (host, window) = (Arc::clone(&self.hands.host), self.window.clone());
            self.running.spawn(super::hand_over::hand_over(host, window, secret));
        }
        match order {
            // A launch that went well ends with nothing to tell: the guest does that.
            _ if outcome.events.is_empty() => {}
            Some((number, _)) => self.door.end(number, outcome.events).await,
            None => self.door.tell_all(outcome.events).await,
        }
    }
}

/// A removal must not overtake a registration that is still on the wire: GitHub would create it afterwards. The
/// registration's end is a fact, which makes the next plan name the removal again.
fn must_wait(action: &Action, other: &Action) -> bool {
    match (action, other) {
        (Action::Deregister { vm, .. }, Action::Register { vm: coming, .. }) => vm == coming,
        _ => false,
    }
}
