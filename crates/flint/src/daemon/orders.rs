//! Each order carried out once, from its first step to the facts that it found out. Nothing is kept here.

use super::door::{Door, Window};
use crate::error::chain;
use crate::forge::{Answer, Forge, Removal, Request, Told};
use crate::host::{Host, LaunchOrder};
use crate::images::Images;
use crate::net::Net;
use crate::vmm::Vmm;
use flint_core::ask::{AskFailure, Question};
use flint_core::event::{Event, ForgeEvent, GuestEvent, HostEvent, RegisterFailure};
use flint_core::id::{HostId, ProfileId, RunnerName, Slot, VmId};
use flint_core::plan::Action;
use flint_core::units::Timestamp;
use flint_core::vm::{Phase, Registration};
use flint_core::world::World;
use flint_wire::Work;
use std::collections::BTreeSet;
use std::sync::Arc;

/// What an order came to.
#[derive(Default)]
pub(super) struct Outcome {
    /// The facts it found out.
    pub(super) events: Vec<Event>,
    /// A secret to hand to a guest. Not part of the order: the guest may take long to come up, and a
    /// deregistration must not wait for that.
    pub(super) hand_over: Option<Secret>,
}

/// A registration's one-job secret, on its way to its guest.
pub(super) struct Secret {
    vm: VmId,
    attempt: u32,
    work: Work,
}

impl Outcome {
    pub(super) fn told(event: Event) -> Self {
        Outcome { events: vec![event], hand_over: None }
    }
}

/// An order whose task panicked has failed like any other.
pub(super) fn failed(action: &Action, error: &tokio::task::JoinError) -> Event {
    let why = format!("the order broke: {error}");
    match action.clone() {
        Action::Launch { vm, .. } => Event::Host(HostEvent::LaunchFailed { vm, why }),
        Action::Register { vm, attempt, .. } => {
            let failure = RegisterFailure::Transient;
            Event::Forge(ForgeEvent::RegisterFailed { vm, attempt, failure, why })
        }
        Action::Deregister { vm, .. } => Event::Forge(ForgeEvent::DeregisterFailed { vm, why }),
        Action::Destroy { vm, .. } => Event::Host(HostEvent::DestroyFailed { vm, why }),
        Action::Scan { host } => Event::Host(HostEvent::ScanFailed { host, why }),
        Action::Ask { question } => {
            let failure = AskFailure::Transient;
            Event::Forge(ForgeEvent::AskFailed { question, failure, why })
        }
    }
}

/// A profile that left the configuration between plan and order.
pub(super) async fn refuse(vm: VmId, profile: ProfileId) -> Outcome {
    let why = format!("the profile `{profile}` is no longer configured");
    Outcome::told(Event::Host(HostEvent::LaunchFailed { vm, why }))
}

pub(super) async fn launch<V: Vmm, N: Net, I: Images>(
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

pub(super) async fn destroy<V: Vmm, N: Net, I: Images>(
    host: Arc<Host<V, N, I>>,
    vm: VmId,
    slot: Option<Slot>,
) -> Outcome {
    Outcome::told(Event::Host(match host.destroy(vm, slot).await {
        Ok(()) => HostEvent::Destroyed { vm },
        Err(error) => HostEvent::DestroyFailed { vm, why: chain(&error) },
    }))
}

pub(super) async fn scan<V: Vmm, N: Net, I: Images>(
    host: Arc<Host<V, N, I>>,
    id: HostId,
    owned: BTreeSet<Slot>,
    asked: Timestamp,
) -> Outcome {
    Outcome::told(Event::Host(match host.inventory(&owned, asked).await {
        Ok(inventory) => inventory,
        Err(error) => {
            let why = chain(&error);
            tracing::warn!(error = why, "cannot scan the host");
            HostEvent::ScanFailed { host: id, why }
        }
    }))
}

/// What was found is told before the word that the question is answered. A delivery is told like one that arrives:
/// once, whatever else brings it.
pub(super) async fn ask<F: Forge>(
    forge: Arc<F>,
    door: Door,
    question: Question,
    asked: Timestamp,
) -> Outcome {
    let failed = |failure, why| {
        tracing::warn!(?question, error = why, "GitHub does not answer");
        let question = question.clone();
        Event::Forge(ForgeEvent::AskFailed { question, failure, why })
    };
    let Answer { told, quota } = match forge.ask(question.clone(), asked).await {
        Ok(answer) => answer,
        Err(error) => return Outcome::told(failed(error.ask_failure(), chain(&error))),
    };
    let mut events = Vec::new();
    events.extend(quota.map(|quota| Event::Forge(ForgeEvent::QuotaLeft(quota))));
    for Told { delivery, event } in told {
        let event = Event::Forge(event);
        let Some(guid) = delivery else {
            events.push(event);
            continue;
        };
        if door.deliver(guid, event).await.is_err() {
            let why = "the store takes no facts".to_owned();
            return Outcome::told(failed(AskFailure::Transient, why));
        }
    }
    Outcome { events, hand_over: None }
}

pub(super) async fn register<F: Forge>(forge: Arc<F>, request: Request, attempt: u32) -> Outcome {
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
pub(super) async fn hand_over<V: Vmm, N: Net, I: Images>(
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

pub(super) async fn deregister<F: Forge>(
    forge: Arc<F>,
    vm: VmId,
    names: Vec<RunnerName>,
) -> Outcome {
    Outcome::told(Event::Forge(match forge.deregister(vm, names).await {
        Ok(Removal::Gone) => ForgeEvent::Deregistered { vm },
        Ok(Removal::Busy) => ForgeEvent::DeregisterRefused { vm },
        Err(error) => ForgeEvent::DeregisterFailed { vm, why: chain(&error) },
    }))
}
