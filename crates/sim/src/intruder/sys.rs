//! Raw frames, vsock, tracing: what the standard library has no words for.
#![expect(
    unsafe_code,
    reason = "addresses of packet and vsock sockets and `ptrace` have no safe form"
)]

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// All protocols, as a packet socket wants to hear it.
const EVERYTHING: u16 = 0x0003_u16.to_be();

/// A socket on an interface, or on all: whole Ethernet frames in and out.
pub struct Link(OwnedFd);

impl Link {
    /// On one interface.
    ///
    /// # Errors
    /// When there is none of that name, or the caller is not root.
    pub fn on(interface: &str) -> io::Result<Link> {
        let index = fs::read_to_string(format!("/sys/class/net/{interface}/ifindex"))?;
        Link::bound(index.trim().parse().map_err(io::Error::other)?)
    }

    /// On all interfaces of the namespace, also those that come later.
    ///
    /// # Errors
    /// When the caller is not root.
    pub fn everywhere() -> io::Result<Link> {
        Link::bound(0)
    }

    fn bound(index: i32) -> io::Result<Link> {
        let socket = socket(libc::AF_PACKET, libc::SOCK_RAW, i32::from(EVERYTHING))?;
        // SAFETY: all zeros is a value of this plain struct.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = u16::try_from(libc::AF_PACKET).unwrap_or_default();
        address.sll_protocol = EVERYTHING;
        address.sll_ifindex = index;
        // SAFETY: the pointer and the length are those of a live `sockaddr_ll`.
        let bound = unsafe {
            libc::bind(
                socket.as_raw_fd(),
                (&raw const address).cast(),
                u32::try_from(size_of::<libc::sockaddr_ll>()).unwrap_or_default(),
            )
        };
        if bound < 0 { Err(io::Error::last_os_error()) } else { Ok(Link(socket)) }
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// When the interface takes none, such as one that is too long.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        rustix::io::write(&self.0, frame)?;
        Ok(())
    }

    /// The next frame, if one comes in time.
    ///
    /// # Errors
    /// When the interface has gone.
    pub fn receive(&self, patience: Duration) -> io::Result<Option<Vec<u8>>> {
        if !readable(self.as_fd(), patience)? {
            return Ok(None);
        }
        let mut frame = vec![0; 65_536];
        let length = rustix::io::read(&self.0, &mut frame)?;
        frame.truncate(length);
        Ok(Some(frame))
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Whether something can be read from it in time.
pub(crate) fn readable(from: BorrowedFd<'_>, patience: Duration) -> io::Result<bool> {
    ready(from, PollFlags::IN, patience)
}

/// Whether it takes something in time.
pub(crate) fn writable(to: BorrowedFd<'_>, patience: Duration) -> io::Result<bool> {
    ready(to, PollFlags::OUT, patience)
}

fn ready(socket: BorrowedFd<'_>, what: PollFlags, patience: Duration) -> io::Result<bool> {
    let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
    match poll(&mut [PollFd::new(&socket, what)], Some(&patience)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Connects to a port of a context by vsock; the kernel's own two seconds are its patience.
pub(crate) fn vsock_connect(cid: u32, port: u32) -> io::Result<OwnedFd> {
    let socket = socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0)?;
    let address = vsock_address(cid, port);
    // SAFETY: the pointer and the length are those of a live `sockaddr_vm`.
    let done = unsafe {
        libc::connect(socket.as_raw_fd(), (&raw const address).cast(), length_of_vsock())
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(socket) }
}

/// Listens on a vsock port.
pub(crate) fn vsock_listen(port: u32) -> io::Result<OwnedFd> {
    let socket = socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0)?;
    let address = vsock_address(libc::VMADDR_CID_ANY, port);
    // SAFETY: the pointer and the length are those of a live `sockaddr_vm`.
    let done =
        unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length_of_vsock()) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    rustix::net::listen(&socket, 4)?;
    Ok(socket)
}

fn vsock_address(cid: u32, port: u32) -> libc::sockaddr_vm {
    // SAFETY: all zeros is a value of this plain struct.
    let mut address: libc::sockaddr_vm = unsafe { std::mem::zeroed() };
    address.svm_family = u16::try_from(libc::AF_VSOCK).unwrap_or_default();
    address.svm_cid = cid;
    address.svm_port = port;
    address
}

fn length_of_vsock() -> u32 {
    u32::try_from(size_of::<libc::sockaddr_vm>()).unwrap_or_default()
}

fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<OwnedFd> {
    // SAFETY: a plain system call.
    let made = unsafe { libc::socket(family, kind | libc::SOCK_CLOEXEC, protocol) };
    if made < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor was just made, and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(made) })
}

/// Stops a process for as long as this one lives.
pub(crate) fn stop(pid: i32) -> io::Result<()> {
    for request in [libc::PTRACE_SEIZE, libc::PTRACE_INTERRUPT] {
        // SAFETY: neither request reads or writes memory of ours.
        let done = unsafe { libc::ptrace(request, pid, 0, 0) };
        if done < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
