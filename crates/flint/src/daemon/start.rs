//! Puts the daemon together: store, forge, host, controller, and what faces the outside. Then waits for the end.

use super::api::{self, Api};
use super::clock::{Clock, SystemClock};
use super::controller::{Controller, Ends};
use super::dispatch::{Dispatcher, Recipe};
use super::door::{Door, Window};
use super::stop::{Signals, drain};
use super::{Error, ask, front, options};
use crate::config::{Config, GithubOptions};
use crate::error::chain;
use crate::forge::{GitHub, server};
use crate::host::Host;
use crate::images::{DiskImages, Images};
use crate::net::HostNet;
use crate::store::Sqlite;
use crate::vmm::AnyVmm;
use flint_core::event::Event;
use flint_core::id::{HostId, ProfileId};
use flint_core::vm::Phase;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// The one host of a daemon that owns one host.
pub const LOCAL: HostId = HostId(0);

/// The host as it really is.
pub type RealHost = Host<AnyVmm, HostNet, DiskImages>;

/// Serves until a signal ends it.
///
/// # Errors
/// [`Error`] when something it needs is missing; nothing has been started then.
pub async fn serve(config: Config) -> Result<(), Error> {
    let mut signals = Signals::listen().map_err(|source| Error::Signals { source })?;
    let github = config.github.as_ref().ok_or(Error::NoGithub)?;
    for path in [&config.host.state_dir, &config.host.run_dir] {
        options::directory(path)?;
    }
    let store = Sqlite::open(&config.host.state_dir.join("flint.db"));
    let store = store.map_err(|source| Error::Store { source })?;
    let clock = Arc::new(SystemClock);
    let (door, inside) = Door::new();
    let controller = Controller::new(store, Arc::clone(&clock), inside);
    let (controller, ends) = controller.map_err(|source| Error::Store { source })?;
    let world = Arc::clone(&ends.window.borrow().world);

    let forge = GitHub::new(&options::forge(github), &world.instance);
    let forge = Arc::new(forge.map_err(|source| Error::Forge { source })?);
    let listener = server::bind(config.server.listen).await;
    let listener = listener.map_err(|source| Error::Forge { source })?;
    let (host, told, vmm) = open_host(&config).await?;

    let api = Api {
        door: door.clone(),
        window: ends.window.clone(),
        logs: Arc::clone(&host) as Arc<dyn api::Logs>,
        vmm: vmm.into(),
        started: clock.now(),
    };
    let socket = options::socket(&config.host.run_dir)?;
    let mut tasks = JoinSet::new();
    tasks.spawn(controller.run());
    let Ends { orders, window } = ends;
    let recipes = Arc::new(recipes(&config));
    let dispatcher = Dispatcher::new(Arc::clone(&forge), Arc::clone(&host), recipes, door.clone());
    tasks.spawn(dispatcher.run(orders));
    tasks.spawn(pass_on(told, door.clone()));
    door.tell(options::started(&config, clock.now())).await;
    adopt(&host, &world).await;
    tasks.spawn(ask::host(Arc::clone(&host), Arc::clone(&clock), door.clone()));
    tasks.spawn(ask::forge(Arc::clone(&forge), Arc::clone(&clock), door.clone()));
    let (stop, stopped) = watch::channel(false);
    let faces = Faces { listener, socket, api, door: door.clone(), window: window.clone() };
    faces.open(github, &mut tasks, &stopped);
    check_github(&forge, &mut tasks);
    notify(&[sd_notify::NotifyState::Ready]);
    tracing::info!(listen = %config.server.listen, "serving");

    tokio::select! {
        () = signals.next() => {}
        _ = tasks.join_next() => return Err(Error::Broken),
    }
    notify(&[sd_notify::NotifyState::Stopping]);
    let limit = config.host.drain_timeout;
    drain(signals.next(), &door, &window, clock.as_ref(), limit).await;
    stop.send_replace(true);
    drop(std::fs::remove_file(config.host.run_dir.join(crate::api::SOCKET)));
    Ok(())
}
