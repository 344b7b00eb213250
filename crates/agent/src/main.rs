//! The first process of a guest: brings it up, does what the host says for one life, and turns it off.
//!
//! It runs as PID 1 from the initramfs until the power goes off, so nothing here may end by returning: every
//! way out is [`power`]. It keeps no secret after it handed it over, and no process of a job may read its memory.

mod admit;
mod channel;
mod children;
mod configure;
mod disks;
mod error;
mod hooks;
mod image;
mod input;
mod login;
mod logs;
mod net;
mod outbox;
mod power;
mod programs;
mod sys;
mod talk;
mod trust;
mod users;
mod work;

use crate::error::Error;
use crate::input::Input;
use crate::outbox::Outbox;
use crate::talk::Talk;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
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
    let mut words = std::env::args().skip(1);
    if words.next().as_deref() == Some(admit::COMMAND) {
        std::process::exit(admit::answer(words));
    }
    if std::process::id() != 1 {
        power::console("flint-agent is a guest's first process; it does nothing anywhere else");
        return;
    }
    let outbox = Arc::new(Outbox::new());
    power::catch_panics(&outbox);
    match introduce(began, &outbox) {
        Ok((mut talk, inputs)) => {
            if let Err(error) = talk.live(&inputs) {
                power::fail(&outbox, &error);
            }
            talk.farewell(&inputs);
        }
        // Before there is a way to the host, only the console hears it.
        Err(error) => power::fail(&outbox, &error),
    }
    power::off();
}

/// Everything up to the point where the host can be heard and answered.
fn introduce(began: Began, outbox: &Arc<Outbox>) -> Result<(Talk, Receiver<Input>), Error> {
    sys::protect_memory()?;
    sys::allow_many_files()?;
    disks::mount_kernel_filesystems()?;
    disks::load_modules()?;
    let (heard, inputs) = mpsc::channel();
    outbox::write_on_a_thread(outbox)?;
    channel::listen_on_a_thread(channel::find()?, heard.clone())?;
    Ok((Talk::new(began, Arc::clone(outbox), heard)?, inputs))
}
