//! One microVM by hand, from launch to destroyed: for `flint run` and `flint --interactive`.

use crate::host::follow::Progress;
use crate::host::log::Line;
use crate::host::{Error, Host, LaunchOrder};
use crate::images::Images;
use crate::net::Net;
use crate::sys::terminal::Raw;
use crate::vmm::{Console, Vmm};
use flint_core::event::GuestEnd;
use flint_core::id::VmId;
use flint_wire::{Secret, Work};
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, watch};

impl<V: Vmm, N: Net, I: Images> Host<V, N, I> {
    /// Boots a microVM, runs a command in it, gives each line it prints to `print`, and removes the microVM. Returns
    /// the command's exit code. When this future is dropped, `destroy` must be called.
    ///
    /// # Errors
    /// [`Error`]; the microVM is removed then too.
    pub async fn run_once(
        &self,
        order: LaunchOrder,
        argv: Vec<String>,
        print: impl FnMut(&Line) + Send,
    ) -> Result<i32, Error> {
        let (vm, slot) = (order.vm, order.slot);
        let outcome = match self.launch(order).await {
            Ok(()) => self.command(vm, argv, print).await,
            Err(e) => Err(e),
        };
        let removed = self.destroy(vm, Some(slot)).await;
        let code = outcome?;
        removed.map(|()| code)
    }

    /// Boots a microVM with its console on this terminal and a login for `runner`, until it is shut down.
    ///
    /// # Errors
    /// [`Error`]; the microVM is removed and the terminal put back then too.
    pub async fn interactive(&self, order: LaunchOrder, password: Secret) -> Result<(), Error> {
        let (vm, slot) = (order.vm, order.slot);
        let raw = Raw::enter().map_err(|source| Error::Terminal { source })?;
        let launched = self.launch(LaunchOrder { console: Console::Terminal, ..order }).await;
        let outcome = match launched {
            Ok(()) => self.session(vm, password).await,
            Err(e) => Err(e),
        };
        drop(raw);
        let removed = self.destroy(vm, Some(slot)).await;
        outcome.and(removed)
    }

    async fn session(&self, vm: VmId, password: Secret) -> Result<(), Error> {
        let mut progress = self.progress(vm)?;
        tokio::select! {
            armed = self.arm(vm, Work::Login { password }) => armed?,
            why = failed(&mut progress) => return Err(Error::Guest { vm, why }),
        }
        let end = progress.wait_for(|p| p.end.is_some()).await;
        match end.map(|p| p.end) {
            Ok(Some(GuestEnd::ShutDown)) => Ok(()),
            Ok(Some(end)) => Err(Error::Guest { vm, why: describe(end) }),
            Ok(None) | Err(_) => Err(Error::Gone { vm }),
        }
    }

    async fn command(
        &self,
        vm: VmId,
        argv: Vec<String>,
        mut print: impl FnMut(&Line) + Send,
    ) -> Result<i32, Error> {
        let mut progress = self.progress(vm)?;
        let mut lines = self.log(vm).ok_or(Error::Unknown { vm })?.live;
        tokio::select! {
            armed = self.arm(vm, Work::Command { argv }) => armed?,
            why = failed(&mut progress) => return Err(Error::Guest { vm, why }),
        }
        let outcome = loop {
            tokio::select! {
                biased;
                line = lines.recv() => match line {
                    Ok(line) => print(&line),
                    // The watch below says why; it changes before the log closes.
                    Err(RecvError::Closed) => break ended(&mut progress).await,
                    Err(RecvError::Lagged(_)) => {}
                },
                outcome = ended(&mut progress) => break outcome,
            }
        };
        drain(&mut lines, &mut print);
        outcome.map_err(|why| Error::Guest { vm, why })
    }

    fn progress(&self, vm: VmId) -> Result<watch::Receiver<Progress>, Error> {
        self.known()
            .guests
            .get(&vm)
            .map(|guest| guest.progress.clone())
            .ok_or(Error::Unknown { vm })
    }
}

/// Waits for the command's exit code, or for the reason why there will be none.
async fn ended(progress: &mut watch::Receiver<Progress>) -> Result<i32, String> {
    let over = |p: &Progress| p.exited.is_some() || p.failed.is_some() || p.end.is_some();
    let Ok(last) = progress.wait_for(over).await else {
        return Err("nobody follows it".to_owned());
    };
    match (last.exited, &last.failed, last.end) {
        (Some(code), ..) => Ok(code),
        (None, Some(why), _) => Err(why.clone()),
        (None, None, end) => Err(end.map(describe).unwrap_or_default()),
    }
}

async fn failed(progress: &mut watch::Receiver<Progress>) -> String {
    match progress.wait_for(|p| p.failed.is_some() || p.end.is_some()).await {
        Ok(p) => p.failed.clone().or(p.end.map(describe)).unwrap_or_default(),
        Err(_) => "nobody follows it".to_owned(),
    }
}

fn describe(end: GuestEnd) -> String {
    let text = match end {
        GuestEnd::ShutDown => "the guest shut itself down",
        GuestEnd::Crashed => "the guest crashed",
        GuestEnd::OutOfMemory => "the host's out-of-memory killer took it",
        GuestEnd::Killed => "it was killed",
    };
    text.to_owned()
}

/// The lines that were there before the exit code.
fn drain(lines: &mut broadcast::Receiver<Line>, print: &mut impl FnMut(&Line)) {
    loop {
        match lines.try_recv() {
            Ok(line) => print(&line),
            Err(TryRecvError::Lagged(_)) => {}
            Err(TryRecvError::Empty | TryRecvError::Closed) => return,
        }
    }
}
