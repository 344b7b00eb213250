//! The command from its first look at the disk to its last page: everything is made ready, then the flow goes its way.

use super::before::owner;
use super::flow::{Flow, Stage};
use super::visit::Door;
use super::{Error, Files, Wish, server};
use crate::forge::pages::Pages;
use crate::forge::setup::Setup;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The App's name.
    pub app: String,
    /// The files.
    pub files: Files,
}

/// Makes the files of a wish. Shows each step by `say`, among them the address to open.
///
/// # Errors
/// [`Error`]; before the App is made, nothing is left but perhaps an empty directory.
pub async fn run(wish: &Wish, say: &(dyn Fn(&str) + Sync)) -> Result<Outcome, Error> {
    let files = Files::prepare(&wish.config, wish.existing)?;
    let authorities = wish.ca_certificate.as_ref().map(|ca| ca.pem.as_str());
    let setup =
        Setup::new(wish.api.as_str(), authorities).map_err(|source| Error::GitHub { source })?;
    let account = owner(&setup, wish).await?;
    let failed = |source| Error::Listen { address: wish.listen, source };
    let listener = TcpListener::bind(wish.listen).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let door = Arc::new(Door::new(address).map_err(failed)?);
    let (asks, mut asked) = mpsc::channel(4);
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async move { drop(stopped.await) };
    let serving = tokio::spawn(server::run(listener, Arc::clone(&door), asks, stopped));
    let pages = Pages::new(&wish.api, &wish.scope, account);
    // From before the first word: whoever sees the page's address may stop it.
    let interrupt = signal(SignalKind::interrupt()).ok();
    let mut flow = Flow { wish, files: &files, say, setup, pages, door, stage: Stage::Asking };
    flow.invite();
    let ended = flow.go(&mut asked, interrupt).await;
    // Whoever waits for a page gets it, and whoever comes later finds nobody.
    drop((asked, stop));
    serving.await.ok();
    ended.map(|app| Outcome { app, files })
}
