//! What carries orders out and asks the outside, at work in tasks of the daemon's own.

use super::host::RealHost;
use super::options;
use crate::config::Config;
use crate::daemon::clock::SystemClock;
use crate::daemon::controller::Ends;
use crate::daemon::dispatch::{Dispatcher, Hands};
use crate::daemon::door::Door;
use crate::forge::Runners;
use crate::host::Told;
use flint_core::vm::Phase;
use flint_core::world::World;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// What orders and scans need.
pub(super) struct Engine {
    pub(super) host: Arc<RealHost>,
    pub(super) forge: Arc<Runners>,
    pub(super) clock: Arc<SystemClock>,
    pub(super) door: Door,
}

impl Engine {
    pub(super) fn start(
        self,
        tasks: &mut JoinSet<()>,
        ends: Ends,
        told: mpsc::Receiver<Told>,
        config: &Config,
    ) {
        let Engine { host, forge, clock, door } = self;
        let recipes = Arc::new(options::recipes(config));
        let hands = Hands { forge, host, clock };
        let dispatcher = Dispatcher::new(hands, recipes, (door.clone(), ends.window));
        tasks.spawn(dispatcher.run(ends.orders));
        tasks.spawn(pass_on(told, door));
    }
}

/// Follows again what an earlier daemon left running. What it does not know, the first scan finds.
pub(super) fn adopt(host: &RealHost, world: &World) {
    for (id, vm) in world.vms.iter() {
        match vm.phase {
            Phase::Launching | Phase::Stopping { .. } => {}
            Phase::Warm
            | Phase::Registering
            | Phase::Listening
            | Phase::Busy(_)
            | Phase::Retiring(_) => host.adopt(*id, vm.slot),
        }
    }
}

async fn pass_on(mut told: mpsc::Receiver<Told>, door: Door) {
    while let Some(Told { event, kept }) = told.recv().await {
        door.keep(event, kept).await;
    }
}
