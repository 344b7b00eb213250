//! Puts the daemon together: store, forge, host, controller, and what faces the outside. Then waits for the end.

use super::engine::{Engine, adopt};
use super::faces::{answer, api_socket, notify};
use super::host::{Assembled, assemble};
use super::{Error, front, ground, options, scale_sets};
use crate::config::Config;
use crate::daemon::api::{Api, Logs};
use crate::daemon::clock::{Clock, SystemClock};
use crate::daemon::controller::Controller;
use crate::daemon::door::Door;
use crate::daemon::stop::{Signals, drain};
use crate::forge::Runners;
use crate::store::Sqlite;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Serves until a signal ends it.
///
/// # Errors
/// [`Error`] when something it needs is missing; nothing has been started then.
pub async fn serve(config: Config) -> Result<(), Error> {
    let mut signals = Signals::listen().map_err(|source| Error::Signals { source })?;
    let github = options::github(&config);
    if github.is_empty() {
        return Err(Error::NoGithub);
    }
    for path in [&config.host.state_dir, &config.host.run_dir] {
        ground::directory(path)?;
    }
    let store = Sqlite::open(&config.host.state_dir).map_err(|source| Error::Store { source })?;
    let clock = Arc::new(SystemClock);
    let (door, inside) = Door::new();
    let controller = Controller::new(store, Arc::clone(&clock), inside);
    let (controller, ends) = controller.map_err(|source| Error::Store { source })?;
    let world = Arc::clone(&ends.window.borrow().world);
    let forge = Runners::new(&github, &world.instance);
    let forge = forge.map_err(|source| Error::Forge { source })?;
    let sets = scale_sets::prepare(&config, &forge)?;
    let listener = front::listen(&config)?;
    let Assembled { host, told, jails, vmm, alone: _alone } = assemble(&config).await?;
    let keeper = front::start(&config, listener).await?;
    let (socket, path) = api_socket(&config.host.run_dir)?;
    let logs = Arc::clone(&host) as Arc<dyn Logs>;
    let window = ends.window.clone();
    let desk = front::desk(&door, &window, &host);
    let (started, vmm) = (clock.now(), vmm.into());
    let skew = Arc::new(forge.skew());
    let api = Api { door: door.clone(), window: window.clone(), logs, vmm, started, skew };

    door.tell(options::started(&config, (forge.scopes(), forge.readers()), started)).await;
    adopt(&host, &world);
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    tasks.spawn(controller.run());
    let forge = Arc::new(forge.with(sets.clone()));
    let engine = Engine { host, forge, clock: Arc::clone(&clock), door: door.clone() };
    engine.start(&mut tasks, ends, told, &config);
    let mut listeners = scale_sets::listen(sets, (&door, &window, &clock), &stopped);
    let mut facing = tokio::spawn(front::face(keeper, desk, stopped));
    tasks.spawn(answer(socket, api));
    notify(sd_notify::NotifyState::Ready);
    tracing::info!(listen = %config.server.listen, "serving");

    tokio::select! {
        () = signals.next() => {}
        _ = tasks.join_next() => return Err(Error::Broken),
        _ = &mut facing => return Err(Error::Broken),
        Some(_) = listeners.join_next() => return Err(Error::Broken),
    }
    notify(sd_notify::NotifyState::Stopping);
    drain(signals.next(), &door, &window, clock.as_ref(), config.host.drain_timeout).await;
    stop.send_replace(true);
    // Requests under way get their answers; the controller is still there for them.
    drop(facing.await);
    while listeners.join_next().await.is_some() {}
    jails.leave();
    // Gone already is fine: the next start removes a stale one too.
    drop(std::fs::remove_file(path));
    Ok(())
}
