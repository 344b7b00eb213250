//! The end of the daemon: drain on the first signal, leave on the second or at the limit.
//!
//! A microVM outlives the daemon: whatever still runs when it leaves goes on, and the next start finds it.

use super::clock::Clock;
use super::door::{Door, View, Window};
use flint_core::event::{Event, OperatorEvent};
use std::io;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that end the daemon.
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Starts to listen; from now on the signals no longer end the process by themselves.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn listen() -> io::Result<Signals> {
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        Ok(Signals { terminate, interrupt })
    }

    /// Returns at the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Takes no new work and waits until nothing is left, `limit` has passed, or a signal comes.
pub async fn drain<C: Clock>(
    signals: impl Future<Output = ()>,
    door: &Door,
    window: &Window,
    clock: &C,
    limit: Duration,
) {
    let hosts: Vec<_> = window.borrow().world.hosts.keys().copied().collect();
    for host in hosts {
        door.tell(Event::Operator(OperatorEvent::Drain { host, draining: true })).await;
    }
    let mut watched = window.clone();
    let until = clock.now().after(limit);
    tokio::select! {
        _ = watched.wait_for(is_drained) => {
            tracing::info!("drained: no microVM is left");
        }
        () = clock.sleep_until(until) => left(window, "the drain limit has passed"),
        () = signals => left(window, "a second signal came"),
    }
}

/// Whether nothing is left and nothing comes. A store that refuses never shows the drain.
fn is_drained(view: &View) -> bool {
    let draining = view.world.hosts.values().all(|host| host.draining);
    view.world.vms.is_empty() && (draining || !view.stored)
}

fn left(window: &Window, why: &str) {
    let vms: Vec<String> = window.borrow().world.vms.keys().map(ToString::to_string).collect();
    let vms = vms.join(" ");
    tracing::warn!(%vms, why, "leaving microVMs behind; the next start takes them over");
}
