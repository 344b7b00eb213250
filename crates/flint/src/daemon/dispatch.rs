//! Carries orders out, each once at a time, and tells what came of them as facts.
//!
//! Every plan names all orders that are due, so an order that is still under way is named again and dropped here.

use super::door::Door;
use crate::error::chain;
use crate::forge::{Forge, Removal, Request};
use crate::host::{Host, LaunchOrder};
use crate::images::{Images, Source};
use crate::net::Net;
use crate::vmm::{Console, Vmm};
use flint_core::event::{Event, ForgeEvent, GuestEvent, HostEvent, RegisterFailure};
use flint_core::id::{ProfileId, RunnerName, Slot, VmId};
use flint_core::plan::Action;
use flint_core::profile::Profile;
use flint_wire::Work;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::{Id, JoinSet};

/// What the configuration says of a profile beyond what the core decides with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// As the core sees it.
    pub profile: Profile,
    /// Its kernel and image.
    pub source: Source,
}

/// The hands that orders need. One task an order; all are owned here.
pub struct Dispatcher<F, V, N, I> {
    forge: Arc<F>,
    host: Arc<Host<V, N, I>>,
    recipes: Arc<BTreeMap<ProfileId, Recipe>>,
    door: Door,
    running: JoinSet<Outcome>,
    in_flight: HashMap<Id, Action>,
}

/// What an order came to.
#[derive(Default)]
struct Outcome {
    /// The facts it found out.
    events: Vec<Event>,
    /// A secret to hand to a guest. Not part of the order: the guest may take long to come up, and a
    /// deregistration must not wait for that.
    hand_over: Option<(VmId, Work)>,
}

impl<F: Forge, V: Vmm, N: Net, I: Images> Dispatcher<F, V, N, I> {
    /// Hands for one host.
    #[must_use]
    pub fn new(
        forge: Arc<F>,
        host: Arc<Host<V, N, I>>,
        recipes: Arc<BTreeMap<ProfileId, Recipe>>,
        door: Door,
    ) -> Self {
        let (running, in_flight) = (JoinSet::new(), HashMap::new());
        Dispatcher { forge, host, recipes, door, running, in_flight }
    }

    /// Takes orders until their sender is gone, then lets the ones under way end.
    pub async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Vec<Action>>) {
        loop {
            tokio::select! {
                due = orders.recv() => match due {
                    Some(due) => due.into_iter().for_each(|action| self.start(action)),
                    None => break,
                },
                Some(end) = self.running.join_next_with_id() => self.finish(end).await,
            }
        }
        while let Some(end) = self.running.join_next_with_id().await {
            self.finish(end).await;
        }
    }

    fn start(&mut self, action: Action) {
        if self.in_flight.values().any(|other| *other == action || must_wait(&action, other)) {
            return;
        }
        tracing::debug!(?action, "order");
        let task = match action.clone() {
            Action::Launch { vm, slot, profile, .. } => {
                let Some(recipe) = self.recipes.get(&profile).cloned() else {
                    return self.refuse(vm, &profile);
                };
                let order = LaunchOrder {
                    vm,
                    slot,
                    shape: recipe.profile.shape,
                    source: recipe.source,
                    boot_timeout: recipe.profile.timeouts.boot,
                    console: Console::Kept,
                };
                self.running.spawn(launch(Arc::clone(&self.host), self.door.clone(), order))
            }
            Action::Register { vm, profile, attempt, name, .. } => {
                let labels = self.recipes.get(&profile).map(|r| r.profile.labels.clone());
                let request = Request { name, vm, profile, labels: labels.unwrap_or_default() };
                let forge = Arc::clone(&self.forge);
                self.running.spawn(register(forge, request, attempt))
            }
            Action::Deregister { vm, names } => {
                self.running.spawn(deregister(Arc::clone(&self.forge), vm, names))
            }
            Action::Destroy { vm, slot, .. } => {
                let host = Arc::clone(&self.host);
                self.running.spawn(destroy(host, vm, slot))
            }
        };
        self.in_flight.insert(task.id(), action);
    }

    /// A profile that left the configuration between plan and order.
    fn refuse(&mut self, vm: VmId, profile: &ProfileId) {
        let why = format!("the profile `{profile}` is no longer configured");
        let failed = Event::Host(HostEvent::LaunchFailed { vm, why });
        self.running.spawn(async { Outcome::told(failed) });
    }

    async fn finish(&mut self, end: Result<(Id, Outcome), tokio::task::JoinError>) {
        let (id, outcome) = match end {
            Ok((id, outcome)) => (id, outcome),
            Err(error) => {
                tracing::error!(%error, "an order broke; please report this");
                let failed = self.in_flight.get(&error.id()).map(|action| failed(action, &error));
                (error.id(), failed.map(Outcome::told).unwrap_or_default())
            }
        };
        self.in_flight.remove(&id);
        if let Some((vm, work)) = outcome.hand_over {
            self.running.spawn(hand_over(Arc::clone(&self.host), vm, work));
        }
        for event in outcome.events {
            self.door.tell(event).await;
        }
    }
}

impl Outcome {
    fn told(event: Event) -> Self {
        Outcome { events: vec![event], hand_over: None }
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

/// An order whose task panicked has failed like any other.
fn failed(action: &Action, error: &tokio::task::JoinError) -> Event {
    let why = format!("the order broke: {error}");
    match action.clone() {
        Action::Launch { vm, .. } => Event::Host(HostEvent::LaunchFailed { vm, why }),
        Action::Register { vm, attempt, .. } => {
            let failure = RegisterFailure::Transient;
            Event::Forge(ForgeEvent::RegisterFailed { vm, attempt, failure, why })
        }
        Action::Deregister { vm, .. } => Event::Forge(ForgeEvent::DeregisterFailed { vm, why }),
        Action::Destroy { vm, .. } => Event::Host(HostEvent::DestroyFailed { vm, why }),
    }
}

async fn launch<V: Vmm, N: Net, I: Images>(
    host: Arc<Host<V, N, I>>,
    door: Door,
    order: LaunchOrder,
) -> Outcome {
    let vm = order.vm;
    door.tell(Event::Host(HostEvent::LaunchBegan { vm })).await;
    match host.launch(order).await {
        Ok(()) => Outcome::default(),
        Err(error) => {
            let why = chain(&error);
            Outcome::told(Event::Host(HostEvent::LaunchFailed { vm, why }))
        }
    }
}

async fn destroy<V: Vmm, N: Net, I: Images>(
    host: Arc<Host<V, N, I>>,
    vm: VmId,
    slot: Option<Slot>,
) -> Outcome {
    Outcome::told(Event::Host(match host.destroy(vm, slot).await {
        Ok(()) => HostEvent::Destroyed { vm },
        Err(error) => HostEvent::DestroyFailed { vm, why: chain(&error) },
    }))
}

async fn register<F: Forge>(forge: Arc<F>, request: Request, attempt: u32) -> Outcome {
    let vm = request.vm;
    match forge.register(request).await {
        Ok(registered) => {
            let runner = registered.runner;
            let work = Work::Runner { jit_config: registered.jit_config };
            let event = Event::Forge(ForgeEvent::Registered { vm, attempt, runner });
            Outcome { events: vec![event], hand_over: Some((vm, work)) }
        }
        Err(error) => {
            let (failure, why) = (error.failure(), chain(&error));
            Outcome::told(Event::Forge(ForgeEvent::RegisterFailed { vm, attempt, failure, why }))
        }
    }
}

/// The secret goes from GitHub's answer to the guest, and is neither kept nor told.
async fn hand_over<V: Vmm, N: Net, I: Images>(
    host: Arc<Host<V, N, I>>,
    vm: VmId,
    work: Work,
) -> Outcome {
    match host.arm(vm, work).await {
        Ok(()) => Outcome::default(),
        Err(error) => {
            let why = format!("cannot hand the registration over: {}", chain(&error));
            Outcome::told(Event::Guest { vm, said: GuestEvent::Failed { why } })
        }
    }
}

async fn deregister<F: Forge>(forge: Arc<F>, vm: VmId, names: Vec<RunnerName>) -> Outcome {
    Outcome::told(Event::Forge(match forge.deregister(vm, names).await {
        Ok(Removal::Gone) => ForgeEvent::Deregistered { vm },
        Ok(Removal::Busy) => ForgeEvent::DeregisterRefused { vm },
        Err(error) => ForgeEvent::DeregisterFailed { vm, why: chain(&error) },
    }))
}
