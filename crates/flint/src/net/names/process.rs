//! The resolver's process as the root half sees it: started, heard, asked whether it lives, ended.

use super::keeper::Options;
use super::link::{self, Link};
use super::opening::Batch;
use super::words::{Down, Up};
use super::{Error, Served};
use crate::net;
use crate::sys::again::{self, Given};
use crate::sys::process::Process;
use crate::sys::said::Said;
use flint_core::id::Slot;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// For its first word: a loaded machine starts a process in less.
const GREETING: Duration = Duration::from_secs(20);

pub(super) struct Running {
    pub(super) process: Process,
    pub(super) link: Link,
    /// What is being opened, a batch for each slot.
    pub(super) opening: JoinSet<Opened>,
    pub(super) unanswered: u32,
    said: Said,
}

/// A batch that has ended.
pub(super) struct Opened {
    pub(super) slot: Slot,
    pub(super) life: u64,
    pub(super) batch: Batch,
    pub(super) failed: Option<net::Error>,
}

pub(super) enum Heard {
    Word(io::Result<Option<Up>>),
    Opened(Opened),
}

/// The next word of the process, or an end of ours; never, while there is none.
pub(super) async fn hear(running: &mut Option<Running>) -> Heard {
    let Some(running) = running else { return std::future::pending().await };
    tokio::select! {
        word = running.link.hear::<Up>() => Heard::Word(word.map(|word| word.map(|(word, _)| word))),
        Some(Ok(opened)) = running.opening.join_next() => Heard::Opened(opened),
        // It never returns, but it logs.
        () = running.said.listen() => std::future::pending().await,
    }
}

pub(super) async fn ping(running: &mut Option<Running>) -> Result<(), String> {
    let Some(running) = running else { return Ok(()) };
    running.said.again();
    if running.unanswered >= 2 {
        return Err("it hangs".to_owned());
    }
    running.unanswered += 1;
    running.link.say(&Down::Ping, &[]).await.map_err(|error| error.to_string())
}

impl Running {
    pub(super) async fn start(options: &Options) -> Result<Running, Error> {
        let failed = |source: io::Error| Error::Process { source };
        let (ours, theirs) = link::pair().map_err(failed)?;
        let null = || std::fs::File::options().read(true).write(true).open("/dev/null");
        let (said, errors) = Said::pipe("the resolver's process").map_err(failed)?;
        let given = Given { input: theirs, output: null().map_err(failed)?.into(), errors };
        let args = ["names".to_owned(), "--uid".to_owned(), options.uid.to_string()];
        let started = again::start(&options.program, &args, &options.directory, given);
        let process = started.map_err(failed)?;
        let link = Link::new(ours).map_err(failed)?;
        let mut running = Running { process, link, opening: JoinSet::new(), unanswered: 0, said };
        let greeted = tokio::select! {
            greeted = timeout(GREETING, running.link.hear::<Up>()) => greeted,
            // It never returns, but it logs.
            () = running.said.listen() => std::future::pending().await,
        };
        let error = match greeted {
            Ok(Ok(Some((Up::Confined { lost }, _)))) if lost.is_empty() || !options.confine => {
                for lost in lost {
                    tracing::warn!(%lost, "the process that resolves guests' names goes without it");
                }
                return Ok(running);
            }
            Ok(Ok(Some((Up::Confined { lost }, _)))) => Error::Unconfined { lost: lost.join(", ") },
            _ => failed(io::Error::other("it does not greet")),
        };
        running.end().await;
        Err(error)
    }

    pub(super) async fn serve(
        &self,
        served: &Served,
        (sockets, listen): (Vec<OwnedFd>, usize),
    ) -> io::Result<()> {
        let Served { slot, names, audit, .. } = served.clone();
        let files: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
        self.link.say(&Down::Serve { slot, names, audit, listen }, &files).await
    }

    pub(super) async fn end(&self) {
        if let Err(error) = self.process.kill() {
            tracing::error!(%error, pid = self.process.pid(), "the old process cannot be ended");
            return;
        }
        self.process.wait().await;
    }
}
