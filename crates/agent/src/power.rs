//! The only ways out: say what happened, keep what was written, turn the power off.

use crate::error::Error;
use crate::outbox::Outbox;
use flint_wire::FromGuest;
use rustix::system::RebootCommand;
use std::io::Write;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

/// How long an agent that is broken tries to say so.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Scratch disks die with the guest; nobody waits long for them.
const SYNC: Duration = Duration::from_secs(5);

/// Turns the power off.
pub(crate) fn off() -> ! {
    crate::sys::kill_all();
    within(SYNC, rustix::fs::sync);
    reset()
}

/// Tells the host and the console why this guest ends.
pub(crate) fn fail(outbox: &Outbox, error: &Error) {
    let (step, error) = error.parts();
    console(&format!("flint-agent: cannot {step}: {error}"));
    outbox.say(FromGuest::Failed { step, error });
    outbox.say(FromGuest::Bye);
}

/// A fault of ours must not leave a guest that hangs.
pub(crate) fn catch_panics(outbox: &Arc<Outbox>) {
    let outbox = Arc::clone(outbox);
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map_or_else(String::new, ToString::to_string);
        console(&format!("flint-agent: broken at {place}"));
        let outbox = Arc::clone(&outbox);
        // The thread that panics may hold the outbox: another one speaks, and only for so long.
        within(LAST_WORDS * 2, move || {
            fail(&outbox, &Error::refused("go on", format!("the agent is broken at {place}")));
            outbox.flush(LAST_WORDS);
        });
        reset()
    }));
}

/// One line on the serial console.
pub(crate) fn console(line: &str) {
    let mut console = std::io::stderr().lock();
    // Nobody to tell if even this fails.
    let _written = writeln!(console, "{line}").and_then(|()| console.flush());
}

/// Does something, but waits for it only so long.
fn within(bound: Duration, what: impl FnOnce() + Send + 'static) {
    let (done, wait) = mpsc::channel();
    let started = thread::Builder::new().spawn(move || {
        what();
        let _waited_for = done.send(());
    });
    if started.is_ok() {
        let _in_time = wait.recv_timeout(bound);
    }
}

/// A reset, not a power-off: it ends Firecracker (`reboot=k`) and QEMU (`-no-reboot`, `reboot=t`) alike.
fn reset() -> ! {
    loop {
        let _refused = rustix::system::reboot(RebootCommand::Restart);
        thread::sleep(Duration::from_secs(1));
    }
}
