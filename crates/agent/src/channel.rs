//! The way to the host: a virtio-serial port named `flint` if the machine has one, else vsock.

use crate::error::{During, Error};
use crate::input::Input;
use crate::sys;
use flint_wire::frame::Decoder;
use flint_wire::{PORT, SERIAL_PORT, ToGuest};
use rustix::event::{PollFd, PollFlags, poll};
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;
use std::time::Duration;
use zeroize::Zeroizing;

/// A port gets its name by a message of the VMM after its driver was loaded.
const PORT_PATIENCE: Duration = Duration::from_secs(5);

/// A port without a host says so at once instead of blocking; look again after this.
const HOST_AWAY: Duration = Duration::from_millis(20);

/// What was found.
pub(crate) enum Channel {
    /// One stream for ever; a host that comes back says hello in the middle of it.
    Port(OwnedFd),
    /// A listening socket; a host that comes back connects again.
    Vsock(OwnedFd),
}

/// Finds the channel.
pub(crate) fn find() -> Result<Channel, Error> {
    let step = Duration::from_millis(5);
    let mut waited = Duration::ZERO;
    while has_serial_device() && waited < PORT_PATIENCE {
        if let Some(name) = named_port() {
            let path = Path::new("/dev").join(name);
            let port = fs::File::options().read(true).write(true).open(&path);
            return Ok(Channel::Port(port.during(format!("open {}", path.display()))?.into()));
        }
        thread::sleep(step);
        waited += step;
    }
    sys::vsock_listen(PORT).during(format!("listen on vsock port {PORT}")).map(Channel::Vsock)
}

/// Whether there is a virtio console, whose number is 3.
fn has_serial_device() -> bool {
    fs::read_dir("/sys/bus/virtio/devices").is_ok_and(|devices| {
        devices.flatten().any(|device| {
            fs::read_to_string(device.path().join("device")).is_ok_and(|id| id.trim() == "0x0003")
        })
    })
}

fn named_port() -> Option<std::ffi::OsString> {
    let ports = fs::read_dir("/sys/class/virtio-ports").ok()?;
    ports
        .flatten()
        .find(|port| {
            let name = fs::read_to_string(port.path().join("name"));
            let named = name.is_ok_and(|name| name.trim() == SERIAL_PORT);
            named && Path::new("/dev").join(port.file_name()).exists()
        })
        .map(|port| port.file_name())
}

/// Listens for as long as the guest lives, and hands on what was understood.
pub(crate) fn listen_on_a_thread(channel: Channel, heard: Sender<Input>) -> Result<(), Error> {
    let ear = thread::Builder::new().name("ear".into());
    ear.spawn(move || match channel {
        Channel::Port(port) => hear_port(port, &heard),
        Channel::Vsock(listener) => hear_vsock(&listener, &heard),
    })
    .map(drop)
    .during("start a thread")
}

fn hear_port(port: OwnedFd, heard: &Sender<Input>) {
    let mut ear = Ear::new(Arc::new(port));
    loop {
        let mut fds = [PollFd::new(&*ear.link, PollFlags::IN)];
        let here = poll(&mut fds, None).is_ok() && fds[0].revents().contains(PollFlags::IN);
        if !here || !ear.read(heard) {
            ear.doubt(heard);
            thread::sleep(HOST_AWAY);
        }
    }
}

/// One connection at a time; a newer one replaces an older one, because only the host connects and it knows.
fn hear_vsock(listener: &OwnedFd, heard: &Sender<Input>) {
    let mut current: Option<Ear> = None;
    loop {
        let link = current.as_ref().map(|ear| Arc::clone(&ear.link));
        let mut fds = vec![PollFd::new(listener, PollFlags::IN)];
        fds.extend(link.as_deref().map(|link| PollFd::new(link, PollFlags::IN)));
        if poll(&mut fds, None).is_err() {
            continue;
        }
        let (knocked, spoke) =
            (!fds[0].revents().is_empty(), fds.get(1).is_some_and(|fd| !fd.revents().is_empty()));
        if spoke && !current.as_mut().is_some_and(|ear| ear.read(heard)) {
            current.iter_mut().for_each(|ear| ear.gone(heard));
            hang_up(current.take());
        }
        if knocked && let Ok(Some(stream)) = sys::vsock_accept(listener) {
            hang_up(current.replace(Ear::new(Arc::new(stream))));
        }
    }
}

/// Ends a connection, so that a blocked write on it ends too.
fn hang_up(ear: Option<Ear>) {
    if let Some(ear) = ear {
        // A connection that is gone already needs no end.
        let _gone = rustix::net::shutdown(&*ear.link, rustix::net::Shutdown::Both);
    }
}

/// One connection's reading side.
struct Ear {
    link: Arc<OwnedFd>,
    decoder: Decoder<ToGuest>,
    /// Whether the host has said hello; before that nothing counts.
    greeted: bool,
    /// Whether the host seems gone since it spoke last.
    doubted: bool,
}

impl Ear {
    fn new(link: Arc<OwnedFd>) -> Self {
        Ear { link, decoder: Decoder::new(), greeted: false, doubted: false }
    }

    /// Nobody is at the other end. Whoever comes next says hello first.
    fn gone(&mut self, heard: &Sender<Input>) {
        if std::mem::take(&mut self.greeted) {
            // The talk takes inputs until the power goes off.
            let _sent = heard.send(Input::Away);
        }
    }

    /// Nobody seems to be at the other end of a port. A host's first bytes overtake the word that it is there (the driver
    /// takes that up in a work queue), so it may have been heard and greeted already: the conversation stays open.
    fn doubt(&mut self, heard: &Sender<Input>) {
        if self.greeted && !std::mem::replace(&mut self.doubted, true) {
            // The talk takes inputs until the power goes off.
            let _sent = heard.send(Input::Doubt);
        }
    }

    /// Reads once; `false` if there is nobody at the other end.
    fn read(&mut self, heard: &Sender<Input>) -> bool {
        let mut bytes = Zeroizing::new([0_u8; 16 * 1024]);
        let Ok(count @ 1..) = rustix::io::read(&*self.link, &mut bytes[..]) else { return false };
        self.doubted = false;
        self.decoder.push(&bytes[..count]);
        while let Some(message) = self.decoder.next_message() {
            let input = match message {
                Ok(ToGuest::Hello { nonce, .. }) => {
                    self.greeted = true;
                    Input::Hello { nonce, link: Arc::clone(&self.link) }
                }
                Ok(message) => Input::Host(message),
                Err(error) => Input::Garbled(error),
            };
            // The talk takes inputs until the power goes off.
            let _sent = !self.greeted || heard.send(input).is_ok();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::hear_port;
    use crate::input::Input;
    use flint_wire::ToGuest;
    use flint_wire::frame::{encode, opening};
    use std::fs::File;
    use std::io::{self, Write};
    use std::os::fd::AsRawFd;
    use std::sync::mpsc::{Receiver, channel};
    use std::thread;

    /// A pipe behaves as a port does: it reads as ended while nobody writes, and goes on when somebody does. What it
    /// gives back opens the other end.
    fn listen() -> (impl Fn() -> io::Result<File>, Receiver<Input>) {
        let (port, _) = rustix::pipe::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", port.as_raw_fd());
        let (heard, inputs) = channel();
        thread::spawn(move || hear_port(port, &heard));
        (move || File::options().write(true).open(&path), inputs)
    }

    #[test]
    fn a_port_that_looks_empty_after_a_hello_is_doubted_once_and_the_conversation_goes_on() {
        let (host, inputs) = listen();
        host().unwrap().write_all(&opening("n").unwrap()).unwrap();
        assert!(matches!(inputs.recv().unwrap(), Input::Hello { .. }));
        assert!(matches!(inputs.recv().unwrap(), Input::Doubt));
        host().unwrap().write_all(&encode(&ToGuest::Ack { seq: 7 }).unwrap()).unwrap();
        assert!(matches!(inputs.recv().unwrap(), Input::Host(ToGuest::Ack { seq: 7 })));
        assert!(matches!(inputs.recv().unwrap(), Input::Doubt));
    }

    #[test]
    fn nothing_counts_on_a_port_before_a_hello() {
        let (host, inputs) = listen();
        let mut host = host().unwrap();
        host.write_all(&encode(&ToGuest::Ack { seq: 7 }).unwrap()).unwrap();
        host.write_all(&opening("n").unwrap()).unwrap();
        assert!(matches!(inputs.recv().unwrap(), Input::Hello { .. }));
    }
}
