//! The half that faces the network, started and kept.

use super::Error;
use super::host::RealHost;
use crate::config::Config;
use crate::daemon::door::{Door, Window};
use crate::daemon::front::FrontDesk;
use crate::forge;
use crate::front::keeper::{self, Keeper};
use crate::front::tls_files::TlsFiles;
use crate::front::words::Hook;
use crate::sys::again::SELF;
use std::net::TcpListener;
use tokio::sync::watch;

/// Takes the port.
pub(super) fn listen(config: &Config) -> Result<TcpListener, Error> {
    keeper::bind(config.server.listen).map_err(|source| Error::Front { source })
}

/// Starts the front, which serves from now on.
pub(super) async fn start(
    config: &Config,
    github: &forge::Options,
    listener: TcpListener,
) -> Result<Keeper, Error> {
    let started = Keeper::start(options(config, github), listener).await;
    started.map_err(|source| Error::Front { source })
}

/// Who answers it.
pub(super) fn desk(door: &Door, window: &Window, host: &RealHost) -> FrontDesk {
    FrontDesk { door: door.clone(), window: window.clone(), refused: host.refusals() }
}

/// Keeps it until the daemon stops.
pub(super) async fn face(keeper: Keeper, desk: FrontDesk, mut stopped: watch::Receiver<bool>) {
    let stop = async move { drop(stopped.wait_for(|stopped| *stopped).await) };
    keeper.run(desk, stop).await;
}

fn options(config: &Config, github: &forge::Options) -> keeper::Options {
    let server = &config.server;
    let files = server
        .tls
        .as_ref()
        .map(|tls| TlsFiles { certificate: tls.certificate.clone(), key: tls.key.clone() });
    keeper::Options {
        program: SELF.into(),
        listen: server.listen,
        uid: server.uid,
        confine: server.confine,
        directory: config.host.run_dir.clone(),
        hook: Hook { auth: github.webhook.clone(), scope: github.scope.clone() },
        tls: files,
        ping: keeper::PING,
    }
}
