//! Asks the outside what is there, from time to time, and tells the answers as facts.

use super::clock::Clock;
use super::door::{Door, Window};
use crate::error::chain;
use crate::forge::Forge;
use crate::host::Host;
use crate::images::Images;
use crate::net::Net;
use crate::vmm::Vmm;
use flint_core::event::{Event, ForgeEvent};
use flint_core::units::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// How often the host is scanned: a quarter of the lease that an inventory renews.
const HOST_EVERY: Duration = Duration::from_secs(15);

/// How often GitHub is asked for our runners: 12 calls an hour of a budget of 5,000.
const FORGE_EVERY: Duration = Duration::from_mins(5);

/// Scans the host until the daemon ends.
pub async fn host<V: Vmm, N: Net, I: Images, C: Clock>(
    host: Arc<Host<V, N, I>>,
    clock: Arc<C>,
    (door, window): (Door, Window),
) {
    loop {
        let asked = clock.now();
        let owned = window.borrow().world.vms.values().map(|vm| vm.slot).collect();
        match host.inventory(&owned, asked).await {
            Ok(inventory) => door.tell(Event::Host(inventory)).await,
            Err(error) => tracing::warn!(error = %chain(&error), "cannot scan the host"),
        }
        wait(clock.as_ref(), asked, HOST_EVERY).await;
    }
}

/// Lists our runners at GitHub until the daemon ends.
pub async fn forge<F: Forge, C: Clock>(forge: Arc<F>, clock: Arc<C>, door: Door) {
    loop {
        let asked = clock.now();
        match forge.runners().await {
            Ok(registered) => {
                door.tell(Event::Forge(ForgeEvent::Runners { registered, asked })).await;
            }
            Err(error) => tracing::warn!(error = %chain(&error), "cannot list the runners"),
        }
        wait(clock.as_ref(), asked, FORGE_EVERY).await;
    }
}

async fn wait<C: Clock>(clock: &C, from: Timestamp, every: Duration) {
    clock.sleep_until(from.after(every)).await;
}
