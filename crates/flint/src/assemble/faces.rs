//! What the daemon shows on its own host: the API socket, systemd.

use super::Error;
use crate::api::SOCKET;
use crate::daemon::api::{self, Api};
use crate::error::chain;
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;

pub(super) async fn answer(socket: UnixListener, api: Api) {
    if let Err(error) = axum::serve(socket, api::router(api)).await {
        tracing::error!(error = %chain(&error), "the API socket is closed");
    }
}

/// Only root may open it: who can, can stop any microVM and read any log.
pub(super) fn api_socket(run_dir: &Path) -> Result<(UnixListener, PathBuf), Error> {
    use std::os::unix::fs::PermissionsExt;
    let path = run_dir.join(SOCKET);
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
pub(super) fn notify(state: sd_notify::NotifyState<'_>) {
    drop(sd_notify::notify(&[state]));
}
