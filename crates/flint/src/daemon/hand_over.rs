//! A registration's secret on its way from GitHub's answer to the guest it is for.

use super::door::Window;
use super::orders::Outcome;
use crate::error::chain;
use crate::host::Host;
use crate::images::Images;
use crate::net::Net;
use crate::vmm::Vmm;
use flint_core::event::{Event, GuestEvent};
use flint_core::id::VmId;
use flint_core::vm::{Phase, Registration};
use flint_core::world::World;
use flint_wire::Work;
use std::sync::Arc;

/// A registration's one-job secret, on its way to its guest.
pub(super) struct Secret {
    pub(super) vm: VmId,
    pub(super) attempt: u32,
    pub(super) work: Work,
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
