//! The first process of a guest: brings it up, does what the host says for one life, and turns it off.
//!
//! It runs as PID 1 from the initramfs until the power goes off, so nothing here may end by returning: every
//! way out is [`power`]. It keeps no secret after it handed it over, and no process of a job may read its memory.

mod channel;
mod children;
mod configure;
mod disks;
mod error;
mod hooks;
mod logs;
mod net;
mod outbox;
mod power;
mod sys;
mod talk;
mod users;
mod work;

use crate::error::Error;
use crate::outbox::Outbox;
use crate::talk::Talk;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// When the agent began.
#[derive(Clone, Copy)]
pub(crate) struct Began {
    /// The kernel's time since its own start.
    pub(crate) kernel: Duration,
    /// The same instant, to measure from.
    pub(crate) at: Instant,
}

fn main() {
    let began = Began { kernel: sys::since_boot(), at: Instant::now() };
    if std::process::id() != 1 {
        power::console("flint-agent is a guest's first process; it does nothing anywhere else");
        return;
    }
    let outbox = Arc::new(Outbox::new());
    power::catch_panics(&outbox);
    if let Err(error) = live(began, &outbox) {
        power::fail(&outbox, &error);
    }
    power::off(&outbox);
}

/// One life, up to the moment when there is nothing left to do but to turn the power off.
fn live(began: Began, outbox: &Arc<Outbox>) -> Result<(), Error> {
    sys::protect_memory()?;
    sys::allow_many_files()?;
    disks::mount_kernel_filesystems()?;
    disks::load_modules()?;

    let (heard, inputs) = mpsc::channel();
    outbox::write_on_a_thread(outbox)?;
    channel::listen_on_a_thread(channel::find()?, heard.clone())?;
    let root = disks::enter_root()?;

    Talk::new(began, root, Arc::clone(outbox), heard)?.until_done(&inputs)
}
