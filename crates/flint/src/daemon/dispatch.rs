//! Carries orders out, each once at a time, and tells what came of them as facts.
//!
//! Every plan names all orders that are due, so an order that is still under way is named again and dropped here.

use super::door::{Door, OrderNumber, Window};
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
use flint_core::units::Timestamp;
use flint_core::vm::{Phase, Registration};
use flint_core::world::World;
use flint_wire::Work;
use std::collections::{BTreeMap, BTreeSet, HashMap};
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

/// The hands that orders need. One task an order; all are owned here.
pub struct Dispatcher<F, V, N, I> {
    forge: Arc<F>,
    host: Arc<Host<V, N, I>>,
    recipes: Arc<BTreeMap<ProfileId, Recipe>>,
    door: Door,
    window: Window,
    running: JoinSet<Outcome>,
    in_flight: HashMap<Id, (OrderNumber, Action)>,
    /// Started, and named by every batch since. Until the facts of its end are folded, plans go on naming an order;
    /// one that is named after that is given again.
    given: BTreeMap<Action, OrderNumber>,
    next: OrderNumber,
}

/// What an order came to.
#[derive(Default)]
struct Outcome {
    /// The facts it found out.
    events: Vec<Event>,
    /// A secret to hand to a guest. Not part of the order: the guest may take long to come up, and a
    /// deregistration must not wait for that.
    hand_over: Option<Secret>,
}

/// A registration's one-job secret, on its way to its guest.
struct Secret {
    vm: VmId,
    attempt: u32,
    work: Work,
}

impl<F: Forge, V: Vmm, N: Net, I: Images> Dispatcher<F, V, N, I> {
    /// Hands for one host.
    #[must_use]
    pub fn new(
        forge: Arc<F>,
        host: Arc<Host<V, N, I>>,
        recipes: Arc<BTreeMap<ProfileId, Recipe>>,
        (door, window): (Door, Window),
    ) -> Self {
        let (running, in_flight, given, next) = Default::default();
        Dispatcher { forge, host, recipes, door, window, running, in_flight, given, next }
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
                let order = self.recipes.get(&profile).map(|recipe| LaunchOrder {
                    vm,
                    slot,
                    shape: recipe.profile.shape,
                    source: recipe.source.clone(),
                    boot_timeout: recipe.profile.timeouts.boot,
                    console: Console::Kept,
                });
                let (host, door) = (Arc::clone(&self.host), self.door.clone());
                match order {
                    Some(order) => self.running.spawn(launch(host, door, order, committed)),
                    None => self.running.spawn(refuse(vm, profile)),
                }
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
                let failed = order.map(|(_, action)| Outcome::told(failed(action, &error)));
                (error.id(), failed.unwrap_or_default())
            }
        };
        let order = self.in_flight.remove(&id);
        if let Some(secret) = outcome.hand_over {
            let (host, window) = (Arc::clone(&self.host), self.window.clone());
            self.running.spawn(hand_over(host, window, secret));
        }
        match order {
            // A launch that went well ends with nothing to tell: the guest does that.
            _ if outcome.events.is_empty() => {}
            Some((number, _)) => self.door.end(number, outcome.events).await,
            None => self.door.tell_all(outcome.events).await,
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

/// A profile that left the configuration between plan and order.
async fn refuse(vm: VmId, profile: ProfileId) -> Outcome {
    let why = format!("the profile `{profile}` is no longer configured");
    Outcome::told(Event::Host(HostEvent::LaunchFailed { vm, why }))
}

async fn launch<V: Vmm, N: Net, I: Images>(
    host: Arc<Host<V, N, I>>,
    door: Door,
    order: LaunchOrder,
    committed: Timestamp,
) -> Outcome {
    let vm = order.vm;
    door.tell(Event::Host(HostEvent::LaunchBegan { vm, committed })).await;
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
            Outcome { events: vec![event], hand_over: Some(Secret { vm, attempt, work }) }
        }
        Err(error) => {
            let (failure, why) = (error.failure(), chain(&error));
            Outcome::told(Event::Forge(ForgeEvent::RegisterFailed { vm, attempt, failure, why }))
        }
    }
}

/// The secret goes from GitHub's answer to the guest, and is neither kept nor told. It goes only after the world
/// that holds its registration is on disk, and not to a guest that is already on its way out.
async fn hand_over<V: Vmm, N: Net, I: Images>(
    host: Arc<Host<V, N, I>>,
    mut window: Window,
    Secret { vm, attempt, work }: Secret,
) -> Outcome {
    // A guest that is not up yet has nobody to take it.
    let settled = |world: &World| match world.vms.get(&vm).map(|vm| (&vm.phase, &vm.registration)) {
        Some((Phase::Launching, _)) => false,
        Some((Phase::Registering, Registration::Asked { attempt: asked })) => *asked != attempt,
        Some(_) | None => true,
    };
    let wanted = match window.wait_for(|view| settled(&view.world)).await {
        Ok(view) => view.world.wants_secret(vm, attempt),
        Err(_) => false,
    };
    if !wanted {
        return Outcome::default();
    }
    let leaving = window.wait_for(|view| !view.world.wants_secret(vm, attempt));
    let armed = tokio::select! {
        biased;
        armed = host.arm(vm, work) => armed,
        _ = leaving => return Outcome::default(),
    };
    match armed {
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
