//! A thread of its own for each piece of work, because a thread that changed its namespace cannot be given back.

use super::{Error, Options};
use crate::sys::netns;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::thread;
use tokio::runtime;
use tokio::sync::oneshot;

/// Runs `work` on a new thread and waits for it. If the waiting is given up, the work still ends by itself.
pub(super) async fn run<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let (answer, answered) = oneshot::channel();
    let thread = thread::Builder::new().name("net".to_owned());
    // Nobody may be waiting any more; then nobody needs the answer.
    let started = thread.spawn(move || answer.send(work()).ok());
    started.map_err(|source| Error::Thread { source })?;
    let panicked = || Error::Thread { source: io::Error::other("its thread panicked") };
    answered.await.map_err(|_| panicked())?
}

/// Drives `work` on the calling thread: netlink sockets opened in it belong to this thread's namespace.
pub(super) fn drive<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build();
    runtime.map_err(|source| Error::Thread { source })?.block_on(work)
}

/// Moves the calling thread into the uplink's namespace.
pub(super) fn enter_uplink(options: &Options) -> Result<OwnedFd, Error> {
    match &options.uplink_namespace {
        None => netns::current().map_err(|source| Error::Thread { source }),
        Some(path) => netns::open(path)
            .and_then(|namespace| netns::enter(namespace.as_fd()).map(|()| namespace))
            .map_err(|source| Error::Namespace { verb: "enter", path: path.clone(), source }),
    }
}

/// As [`enter_uplink`], for looking and undoing: `false` when there is no such namespace any more, and so nothing
/// of a slot in it.
pub(super) fn enter_uplink_if_there(options: &Options) -> Result<bool, Error> {
    // InvalidInput: the name was left without its namespace.
    const GONE: [ErrorKind; 2] = [ErrorKind::NotFound, ErrorKind::InvalidInput];
    match enter_uplink(options) {
        Err(Error::Namespace { verb: "enter", source, .. }) if GONE.contains(&source.kind()) => {
            Ok(false)
        }
        entered => entered.map(|_| true),
    }
}
