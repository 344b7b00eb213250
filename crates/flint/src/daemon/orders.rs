//! Each order carried out once, from its first step to the facts that it found out. Nothing is kept here.

use super::door::Door;
use super::hand_over::Secret;
use crate::error::advised;
use crate::forge::{Forge, Registered, Removal, Request};
use crate::host::{Host, LaunchOrder};
use crate::images::Images;
use crate::net::Net;
use crate::steps::{self, Step};
use crate::vmm::Vmm;
use flint_core::event::{Event, ForgeEvent, HostEvent, RegisterFailure};
use flint_core::id::{ProfileId, RunnerName, ScopeId, Slot, VmId};
use flint_core::plan::Action;
use flint_core::units::Timestamp;
use flint_wire::{Work, host};
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
        Action::Register { vm, scope, attempt, .. } => {
            let failure = RegisterFailure::Transient;
            Event::Forge(ForgeEvent::RegisterFailed { vm, scope, attempt, failure, why })
        }
        Action::Deregister { vm, .. } => Event::Forge(ForgeEvent::DeregisterFailed { vm, why }),
        Action::Destroy { vm, .. } => Event::Host(HostEvent::DestroyFailed { vm, why }),
        Action::Scan { host } => Event::Host(HostEvent::ScanFailed { host, why }),
        Action::Ask { question } => {
            let failure = flint_core::ask::AskFailure::Transient;
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
            let why = advised(&error, error.help().as_deref());
            Outcome::told(Event::Host(HostEvent::LaunchFailed { vm, why }))
        }
    }
}

pub(super) async fn destroy<V: Vmm, N: Net, I: Images>(
    host: Arc<Host<V, N, I>>,
    vm: VmId,
    slot: Option<Slot>,
) -> Outcome {
    steps::before(Step::Destroy);
    let destroyed = host.destroy(vm, slot).await;
    steps::after(Step::Destroy);
    Outcome::told(Event::Host(match destroyed {
        Ok(()) => HostEvent::Destroyed { vm },
        Err(error) => {
            let why = advised(&error, error.help().as_deref());
            HostEvent::DestroyFailed { vm, why }
        }
    }))
}

/// Whose jobs a profile serves: what the guest checks once more.
#[derive(Default)]
pub(super) struct Serves {
    pub(super) admits: flint_core::policy::Admits,
    pub(super) repositories: flint_core::policy::Repositories,
}

impl Serves {
    /// In the words of the wire.
    fn words(self) -> (Option<host::Admits>, Option<host::Repositories>) {
        let flint_core::policy::Admits { public, forks } = self.admits;
        let flint_core::policy::Repositories { only, except } = self.repositories;
        let (only, except): (Vec<_>, Vec<_>) =
            (only.into_iter().collect(), except.into_iter().collect());
        let some = !only.is_empty() || !except.is_empty();
        let repositories = some.then_some(host::Repositories { only, except });
        (Some(host::Admits { public, forks }), repositories)
    }
}

pub(super) async fn register<F: Forge>(
    forge: Arc<F>,
    request: Request,
    attempt: u32,
    serves: Serves,
) -> Outcome {
    let (vm, scope) = (request.vm, request.scope.clone());
    steps::before(Step::Register);
    let registered = forge.register(request).await;
    steps::after(Step::Register);
    match registered {
        Ok(registered) => {
            let runner = registered.runner;
            let (admits, repositories) = serves.words();
            let Registered { jit_config, ca_certificates, .. } = registered;
            let work = Work::Runner { jit_config, admits, repositories, ca_certificates };
            let event = Event::Forge(ForgeEvent::Registered { vm, scope, attempt, runner });
            Outcome { events: vec![event], hand_over: Some(Secret { vm, attempt, work }) }
        }
        Err(error) => {
            let (failure, why) = (error.failure(), advised(&error, error.help().as_deref()));
            let event = ForgeEvent::RegisterFailed { vm, scope, attempt, failure, why };
            Outcome::told(Event::Forge(event))
        }
    }
}

pub(super) async fn deregister<F: Forge>(
    forge: Arc<F>,
    vm: VmId,
    scope: ScopeId,
    names: Vec<RunnerName>,
) -> Outcome {
    steps::before(Step::Deregister);
    let removed = forge.deregister(vm, scope, names).await;
    steps::after(Step::Deregister);
    Outcome::told(Event::Forge(match removed {
        Ok(Removal::Gone) => ForgeEvent::Deregistered { vm },
        Ok(Removal::Busy) => ForgeEvent::DeregisterRefused { vm },
        Err(error) => {
            let why = advised(&error, error.help().as_deref());
            ForgeEvent::DeregisterFailed { vm, why }
        }
    }))
}
