//! The system calls that need `unsafe`, each behind a safe function; the agent's only user of libc.
#![expect(unsafe_code, reason = "fork, ioctl and vsock addresses have no safe form")]
#![expect(
    clippy::cast_possible_truncation,
    reason = "the kernel's constants fit the fields they are for"
)]

use crate::error::{During, Error};
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;
use zeroize::{Zeroize, Zeroizing};

/// Time since the kernel started.
pub(crate) fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// No other user's process may trace the agent or read its memory.
pub(crate) fn protect_memory() -> Result<(), Error> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .during("protect the agent's memory")
}

/// Container tools and build systems expect more than the kernel's 1024 open files.
pub(crate) fn allow_many_files() -> Result<(), Error> {
    let limit = Rlimit { current: Some(65_536), maximum: Some(1_048_576) };
    rustix::process::setrlimit(Resource::Nofile, limit).during("raise the limit of open files")
}

/// Kills every process of the guest but this one.
pub(crate) fn kill_all() {
    // SAFETY: a plain system call; -1 from PID 1 means everyone else.
    unsafe { libc::kill(-1, libc::SIGKILL) };
}

/// A text for the kernel, NUL at its end, overwritten when dropped: one of them may be a secret.
pub(crate) struct Text(Zeroizing<Vec<u8>>);

impl Text {
    /// Joins the parts; what stands behind a NUL in them is lost.
    pub(crate) fn of(parts: &[&str]) -> Self {
        let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len()).sum::<usize>() + 1);
        for part in parts {
            bytes.extend(part.bytes().take_while(|byte| *byte != 0));
        }
        bytes.push(0);
        Text(Zeroizing::new(bytes))
    }

    fn pointer(&self) -> *const libc::c_char {
        self.0.as_ptr().cast()
    }
}

/// Who a child becomes.
pub(crate) struct Identity {
    /// Its user.
    pub(crate) uid: u32,
    /// Its main group.
    pub(crate) gid: u32,
    /// Its other groups.
    pub(crate) groups: Vec<u32>,
}

/// A program to start, in a session of its own.
pub(crate) struct Start<'a> {
    /// The program's absolute path.
    pub(crate) program: Text,
    /// Its arguments, the first being its name.
    pub(crate) argv: &'a [Text],
    /// Its whole environment, `NAME=value`.
    pub(crate) env: &'a [Text],
    /// Where it starts.
    pub(crate) directory: Text,
    /// Who it becomes; `None` stays root.
    pub(crate) identity: Option<&'a Identity>,
    /// Its standard input, output and error.
    pub(crate) stdio: [BorrowedFd<'a>; 3],
}

/// Starts a program and gives its process id.
///
/// The environment's memory here is ours and is overwritten when `start` is dropped, which is why this is not
/// `std::process::Command`: that one keeps copies.
pub(crate) fn spawn(start: &Start<'_>) -> io::Result<i32> {
    let (mut report, told) = io::pipe()?;
    let pointers = |texts: &[Text]| -> Vec<*const libc::c_char> {
        texts.iter().map(Text::pointer).chain([std::ptr::null()]).collect()
    };
    let (argv, env) = (pointers(start.argv), pointers(start.env));
    // SAFETY: the child calls only async-signal-safe functions before it executes or exits.
    let child = unsafe { libc::fork() };
    if child < 0 {
        return Err(io::Error::last_os_error());
    }
    if child == 0 {
        // SAFETY: as above; all pointers were made before the fork and end with NUL or null.
        unsafe {
            become_program(start, &argv, &env);
            let error =
                io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO).to_ne_bytes();
            libc::write(told.as_raw_fd(), error.as_ptr().cast(), error.len());
            libc::_exit(127);
        }
    }
    drop(told);
    let mut errno = [0_u8; 4];
    match io::Read::read(&mut report, &mut errno)? {
        0 => Ok(child),
        _ => Err(io::Error::from_raw_os_error(i32::from_ne_bytes(errno))),
    }
}

/// Everything between fork and exec; returns only if something failed.
///
/// # Safety
///
/// Only in a forked child; `argv` and `env` end with null.
unsafe fn become_program(
    start: &Start<'_>,
    argv: &[*const libc::c_char],
    env: &[*const libc::c_char],
) {
    // SAFETY: system calls on values that outlive them.
    unsafe {
        libc::setsid();
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        for (target, source) in (0..).zip(&start.stdio) {
            if libc::dup2(source.as_raw_fd(), target) < 0 {
                return;
            }
        }
        if let Some(identity) = start.identity {
            let groups = &identity.groups;
            if libc::setgroups(groups.len(), groups.as_ptr()) < 0
                || libc::setgid(identity.gid) < 0
                || libc::setuid(identity.uid) < 0
            {
                return;
            }
        }
        if libc::chdir(start.directory.pointer()) < 0 {
            return;
        }
        libc::execve(start.program.pointer(), argv.as_ptr(), env.as_ptr());
    }
}

/// Mixes the host's randomness into the pool and makes the kernel use it at once.
pub(crate) fn add_entropy(seed: &[u8; 32]) -> io::Result<()> {
    /// `RNDADDENTROPY`, `_IOW('R', 0x03, int[2])`.
    const RNDADDENTROPY: libc::Ioctl = 0x4008_5203;
    /// `RNDRESEEDCRNG`, `_IO('R', 0x07)`.
    const RNDRESEEDCRNG: libc::Ioctl = 0x5207;
    /// `struct rand_pool_info` with its buffer.
    #[repr(C)]
    struct Pool {
        bits: libc::c_int,
        bytes: libc::c_int,
        seed: [u8; 32],
    }
    let random = std::fs::File::options().write(true).open("/dev/urandom")?;
    let mut pool = Pool { bits: 256, bytes: 32, seed: *seed };
    // SAFETY: the pool outlives the call and says its own length.
    let added = unsafe { libc::ioctl(random.as_raw_fd(), RNDADDENTROPY, &raw const pool) };
    let added = check(added);
    pool.seed.zeroize();
    added?;
    // SAFETY: takes no argument.
    check(unsafe { libc::ioctl(random.as_raw_fd(), RNDRESEEDCRNG) }).map(drop)
}

/// Gives a link its address and netmask, and turns it up. Without an address, only turns it up.
pub(crate) fn set_up_link(name: &str, address: Option<(Ipv4Addr, Ipv4Addr)>) -> io::Result<()> {
    let socket = inet_socket(libc::AF_INET)?;
    if let Some((address, mask)) = address {
        let mut request = link_request(name);
        request.ifr_ifru.ifru_addr = socket_address(address);
        link_ioctl(&socket, libc::SIOCSIFADDR, &mut request)?;
        request.ifr_ifru.ifru_netmask = socket_address(mask);
        link_ioctl(&socket, libc::SIOCSIFNETMASK, &mut request)?;
    }
    let mut request = link_request(name);
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    link_ioctl(&socket, libc::SIOCSIFFLAGS, &mut request)
}

/// Sends everything that has no better route to this gateway.
pub(crate) fn add_default_route(gateway: Ipv4Addr) -> io::Result<()> {
    let socket = inet_socket(libc::AF_INET)?;
    // SAFETY: `rtentry` is plain data; zero is "not given".
    let mut route: libc::rtentry = unsafe { std::mem::zeroed() };
    route.rt_dst = socket_address(Ipv4Addr::UNSPECIFIED);
    route.rt_genmask = socket_address(Ipv4Addr::UNSPECIFIED);
    route.rt_gateway = socket_address(gateway);
    route.rt_flags = libc::RTF_UP | libc::RTF_GATEWAY;
    // SAFETY: the route outlives the call.
    check(unsafe {
        libc::ioctl(socket.as_raw_fd(), libc::SIOCADDRT as libc::Ioctl, &raw mut route)
    })
    .map(drop)
}

/// Gives a link one IPv6 address. It may be used at once: nobody else is on the link who could have it.
pub(crate) fn add_address6(name: &str, address: Ipv6Addr, prefix: u32) -> io::Result<()> {
    // A kernel without the setting waits a second before it uses the address.
    std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/accept_dad"), "0").ok();
    let socket = inet_socket(libc::AF_INET6)?;
    let request = libc::in6_ifreq {
        ifr6_addr: libc::in6_addr { s6_addr: address.octets() },
        ifr6_prefixlen: prefix,
        ifr6_ifindex: link_index(&socket, name)?,
    };
    let number = libc::SIOCSIFADDR as libc::Ioctl;
    // SAFETY: the request outlives the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), number, &raw const request) }).map(drop)
}

/// Sends all IPv6 that has no better route to this gateway.
pub(crate) fn add_default_route6(name: &str, gateway: Ipv6Addr) -> io::Result<()> {
    /// `struct in6_rtmsg` of `linux/ipv6_route.h`; libc's has private fields.
    #[repr(C)]
    struct Route {
        destination: [u8; 16],
        source: [u8; 16],
        gateway: [u8; 16],
        kind: u32,
        destination_length: u16,
        source_length: u16,
        metric: u32,
        info: libc::c_ulong,
        flags: u32,
        interface: libc::c_int,
    }
    let socket = inet_socket(libc::AF_INET6)?;
    let route = Route {
        destination: [0; 16],
        source: [0; 16],
        gateway: gateway.octets(),
        kind: 0,
        destination_length: 0,
        source_length: 0,
        metric: 1,
        info: 0,
        flags: u32::from(libc::RTF_UP | libc::RTF_GATEWAY),
        interface: link_index(&socket, name)?,
    };
    let number = libc::SIOCADDRT as libc::Ioctl;
    // SAFETY: the route outlives the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), number, &raw const route) }).map(drop)
}

fn link_index(socket: &OwnedFd, name: &str) -> io::Result<libc::c_int> {
    let mut request = link_request(name);
    link_ioctl(socket, libc::SIOCGIFINDEX, &mut request)?;
    // SAFETY: the kernel has just written it.
    Ok(unsafe { request.ifr_ifru.ifru_ifindex })
}

fn inet_socket(family: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    owned(unsafe { libc::socket(family, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) })
}

fn link_request(name: &str) -> libc::ifreq {
    // SAFETY: `ifreq` is plain data.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (slot, byte) in request.ifr_name.iter_mut().take(libc::IFNAMSIZ - 1).zip(name.bytes()) {
        *slot = byte as libc::c_char;
    }
    request
}

fn link_ioctl(
    socket: &OwnedFd,
    number: libc::c_ulong,
    request: &mut libc::ifreq,
) -> io::Result<()> {
    // SAFETY: the request outlives the call.
    check(unsafe { libc::ioctl(socket.as_raw_fd(), number as libc::Ioctl, request) }).map(drop)
}

fn socket_address(address: Ipv4Addr) -> libc::sockaddr {
    let inet = libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from(address).to_be() },
        sin_zero: [0; 8],
    };
    // SAFETY: both are 16 bytes of plain data; the kernel tells them apart by the family.
    unsafe { std::mem::transmute(inet) }
}

/// Listens on a vsock port, for whoever connects.
pub(crate) fn vsock_listen(port: u32) -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let socket =
        owned(unsafe { libc::socket(libc::AF_VSOCK, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: `sockaddr_vm` is plain data.
    let mut address: libc::sockaddr_vm = unsafe { std::mem::zeroed() };
    address.svm_family = libc::AF_VSOCK as libc::sa_family_t;
    address.svm_cid = libc::VMADDR_CID_ANY;
    address.svm_port = port;
    let length = size_of::<libc::sockaddr_vm>() as libc::socklen_t;
    // SAFETY: the address outlives the call.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), length) })?;
    // SAFETY: no pointers.
    check(unsafe { libc::listen(socket.as_raw_fd(), 4) })?;
    Ok(socket)
}

/// Takes the next connection if the host opened it. A process in the guest can reach the port over the loopback
/// transport; it gets `None`.
pub(crate) fn vsock_accept(listener: &OwnedFd) -> io::Result<Option<OwnedFd>> {
    // SAFETY: `sockaddr_vm` is plain data.
    let mut peer: libc::sockaddr_vm = unsafe { std::mem::zeroed() };
    let mut length = size_of::<libc::sockaddr_vm>() as libc::socklen_t;
    // SAFETY: both outlive the call.
    let stream = owned(unsafe {
        libc::accept4(
            listener.as_raw_fd(),
            (&raw mut peer).cast(),
            &raw mut length,
            libc::SOCK_CLOEXEC,
        )
    })?;
    Ok((peer.svm_cid == libc::VMADDR_CID_HOST).then_some(stream))
}

fn owned(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the kernel has just made it, and nobody else has it.
    check(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

fn check(outcome: libc::c_int) -> io::Result<libc::c_int> {
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(outcome) }
}
