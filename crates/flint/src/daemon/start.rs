//! Puts the daemon together: store, forge, host, controller, and what faces the outside. Then waits for the end.

use super::api::{self, Api, Logs};
use super::assemble::{Assembled, RealHost, assemble};
use super::clock::{Clock, SystemClock};
use super::controller::{Controller, Ends};
use super::dispatch::Dispatcher;
use super::door::{Door, Window};
use super::stop::{Signals, drain};
use super::{Error, ask, front, options};
use crate::config::Config;
use crate::error::chain;
use crate::forge::{self, GitHub, server};
use crate::store::Sqlite;
use flint_core::event::Event;
use flint_core::vm::Phase;
use flint_core::world::World;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Serves until a signal ends it.
///
/// # Errors
/// [`Error`] when something it needs is missing; nothing has been started then.
pub async fn serve(config: Config) -> Result<(), Error> {
    let mut signals = Signals::listen().map_err(|source| Error::Signals { source })?;
    let github = options::forge(config.github.as_ref().ok_or(Error::NoGithub)?);
    for path in [&config.host.state_dir, &config.host.run_dir] {
        options::directory(path)?;
    }
    let store = Sqlite::open(&config.host.state_dir).map_err(|source| Error::Store { source })?;
    let clock = Arc::new(SystemClock);
    let (door, inside) = Door::new();
    let controller = Controller::new(store, Arc::clone(&clock), inside);
    let (controller, ends) = controller.map_err(|source| Error::Store { source })?;
    let world = Arc::clone(&ends.window.borrow().world);
    let forge = GitHub::new(&github, &world.instance).map_err(|source| Error::Forge { source })?;
    let listener = server::bind(config.server.listen).await;
    let listener = listener.map_err(|source| Error::Forge { source })?;
    let Assembled { host, told, vmm } = assemble(&config).await?;
    let (socket, path) = api_socket(&config.host.run_dir)?;
    let logs = Arc::clone(&host) as Arc<dyn Logs>;
    let window = ends.window.clone();
    let (started, vmm) = (clock.now(), vmm.into());
    let api = Api { door: door.clone(), window: window.clone(), logs, vmm, started };

    door.tell(options::started(&config, started)).await;
    adopt(&host, &world);
    let (stop, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    tasks.spawn(controller.run());
    let core = Core { host, forge: Arc::new(forge), clock: Arc::clone(&clock), door: door.clone() };
    core.start(&mut tasks, ends, told, &config);
    tasks.spawn(face(listener, github, (door.clone(), window.clone()), stopped));
    tasks.spawn(answer(socket, api));
    notify(sd_notify::NotifyState::Ready);
    tracing::info!(listen = %config.server.listen, "serving");

    tokio::select! {
        () = signals.next() => {}
        _ = tasks.join_next() => return Err(Error::Broken),
    }
    notify(sd_notify::NotifyState::Stopping);
    drain(signals.next(), &door, &window, clock.as_ref(), config.host.drain_timeout).await;
    stop.send_replace(true);
    // Gone already is fine: the next start removes a stale one too.
    drop(std::fs::remove_file(path));
    Ok(())
}

/// What orders and scans need.
struct Core {
    host: Arc<RealHost>,
    forge: Arc<GitHub>,
    clock: Arc<SystemClock>,
    door: Door,
}

impl Core {
    fn start(
        self,
        tasks: &mut JoinSet<()>,
        ends: Ends,
        told: mpsc::Receiver<Event>,
        config: &Config,
    ) {
        let Core { host, forge, clock, door } = self;
        let recipes = Arc::new(options::recipes(config));
        let (hands, reach) = (Arc::clone(&host), Arc::clone(&forge));
        let dispatcher =
            Dispatcher::new(reach, hands, recipes, (door.clone(), ends.window.clone()));
        tasks.spawn(dispatcher.run(ends.orders));
        tasks.spawn(pass_on(told, door.clone()));
        tasks.spawn(ask::host(host, Arc::clone(&clock), (door.clone(), ends.window)));
        tasks.spawn(ask::forge(forge, clock, door));
    }
}

/// Follows again what an earlier daemon left running. What it does not know, the first scan finds.
fn adopt(host: &RealHost, world: &World) {
    for (id, vm) in &world.vms {
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

async fn pass_on(mut told: mpsc::Receiver<Event>, door: Door) {
    while let Some(event) = told.recv().await {
        door.tell(event).await;
    }
}

async fn face(
    listener: TcpListener,
    github: forge::Options,
    ends: (Door, Window),
    mut stopped: watch::Receiver<bool>,
) {
    let stop = async move { drop(stopped.wait_for(|stopped| *stopped).await) };
    front::serve(listener, &github, ends, stop).await;
}

async fn answer(socket: UnixListener, api: Api) {
    if let Err(error) = axum::serve(socket, api::router(api)).await {
        tracing::error!(error = %chain(&error), "the API socket is closed");
    }
}

/// Only root may open it: who can, can stop any microVM and read any log.
fn api_socket(run_dir: &Path) -> Result<(UnixListener, PathBuf), Error> {
    use std::os::unix::fs::PermissionsExt;
    let path = run_dir.join(crate::api::SOCKET);
    let failed = |source| Error::Socket { path: path.clone(), source };
    // The store's lock shows that no other daemon is there: a socket in the way is stale.
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let socket = UnixListener::bind(&path).map_err(failed)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok((socket, path))
}

/// Without systemd nobody listens, which is fine.
fn notify(state: sd_notify::NotifyState<'_>) {
    drop(sd_notify::notify(&[state]));
}
