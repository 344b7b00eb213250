//! Follows one guest until its process has ended, which is the last fact about it.

use crate::host::guest::{CONSOLE_TAIL, Talk};
use crate::host::log::Log;
use crate::host::told::Told;
use crate::sys::bounded;
use crate::vmm::Vmm;
use flint_core::event::{Event, GuestEnd, HostEvent};
use flint_core::id::VmId;
use flint_wire::Network;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use zeroize::Zeroizing;

/// How long the rest of a dead guest's words is waited for.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// What a guest has come to, for those who wait for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) ready: bool,
    pub(super) exited: Option<i32>,
    pub(super) failed: Option<String>,
    pub(super) end: Option<GuestEnd>,
}

/// The work for a guest, as the line that is written, and whom to tell that it was.
pub(super) struct Order {
    pub(super) line: Zeroizing<Vec<u8>>,
    /// Only for an agent that heeds this.
    pub(super) wants: super::heeds::Heeds,
    pub(super) taken: oneshot::Sender<()>,
}

/// All that following one guest needs.
pub(super) struct Follower<V> {
    pub(super) vm: VmId,
    pub(super) vmm: Arc<V>,
    /// What to tell the guest; `None` for one that an earlier daemon configured.
    pub(super) setup: Option<Setup>,
    /// The agent must have answered by then.
    pub(super) deadline: Instant,
    pub(super) console: PathBuf,
    pub(super) log: Arc<Log>,
    pub(super) events: mpsc::Sender<Told>,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) orders: mpsc::Receiver<Order>,
}

/// What a guest is told first.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) network: Option<Network>,
}

impl<V: Vmm> Follower<V> {
    /// Follows the guest until its process has ended, and reports that as the last fact.
    pub(super) async fn follow(self) {
        let (vm, vmm) = (self.vm, Arc::clone(&self.vmm));
        let (log, events, console) =
            (Arc::clone(&self.log), self.events.clone(), self.console.clone());
        let progress = self.progress.clone();
        let ended = AtomicBool::new(false);
        let mut talk = Talk::new(self, &ended);
        let end = {
            let mut exited = std::pin::pin!(vmm.exited(vm));
            let mut talking = std::pin::pin!(talk.all());
            tokio::select! {
                end = &mut exited => {
                    // What it said before it died is still in the socket.
                    ended.store(true, Ordering::Release);
                    let _ = tokio::time::timeout(DRAIN_MAX, talking).await;
                    end
                }
                () = &mut talking => exited.await,
            }
        };
        let end = seen(end, &console);
        log.close();
        progress.send_modify(|p| p.end = Some(end));
        // The daemon that ends takes no more facts; the next one looks for itself.
        let event = Event::Host(HostEvent::Exited { vm, end });
        let _ = events.send(Told { event, kept: None }).await;
    }
}

/// A kernel that panics resets its machine, which looks like a shutdown; its last words tell.
fn seen(end: GuestEnd, console: &Path) -> GuestEnd {
    let tail = bounded::tail(console, CONSOLE_TAIL);
    let panicked = String::from_utf8_lossy(&tail).contains("Kernel panic");
    if end == GuestEnd::ShutDown && panicked { GuestEnd::Crashed } else { end }
}
