//! The stage: an uplink namespace, the internet behind it, and slots. Nothing of it outlives its test.

use super::guest::Guest;
pub(super) use flint::error::chain;
use flint::net::names::{self, Names};
use flint::net::{Attached, Cidr, Egress, Error, HostNet, Net, Options};
use flint::sys::netns;
use flint_core::id::Slot;
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::runtime::Runtime;

/// The uplink's own address.
pub(super) const UPLINK: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
/// A server of the internet.
pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);
/// Whom no guest may reach, although the internet here routes to all of them.
pub(super) const PRIVATE: [Ipv4Addr; 5] = [
    Ipv4Addr::new(10, 99, 0, 1),
    Ipv4Addr::new(172, 16, 9, 9),
    Ipv4Addr::new(192, 168, 77, 1),
    Ipv4Addr::new(100, 64, 9, 9),
    Ipv4Addr::new(169, 254, 169, 254),
];

/// The same for IPv6.
pub(super) const UPLINK6: Ipv6Addr = Ipv6Addr::new(0x2a00, 0x51, 0, 0, 0, 0, 0, 2);
pub(super) const SERVER6: Ipv6Addr = Ipv6Addr::new(0x2a00, 0x113, 0, 0, 0, 0, 0, 5);
/// A machine beside the host, in the same neighbourhood.
pub(super) const BESIDE6: Ipv6Addr = Ipv6Addr::new(0x2a00, 0x51, 0, 0, 0, 0, 0, 0x77);
/// A private one.
pub(super) const PRIVATE6: Ipv6Addr = Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, 1);
/// What is routed to the host.
pub(super) const PREFIX6: &str = "2a00:9::/64";

static COUNT: AtomicU32 = AtomicU32::new(0);

pub(super) struct World {
    pub(super) net: HostNet,
    pub(super) options: Options,
    pub(super) egress: Egress,
    pub(super) names: Option<Names>,
    pub(super) uplink: Namespace,
    pub(super) internet: Namespace,
    runtime: Runtime,
}

/// A namespace without a name: it cannot be left behind.
pub(super) struct Namespace(OwnedFd);

impl World {
    pub(super) fn new() -> Self {
        Self::with(|_| {})
    }

    /// A world whose options are changed first.
    pub(super) fn with(change: impl FnOnce(&mut Options)) -> Self {
        let (uplink, internet) = (Namespace::new(), Namespace::new());
        let peer = internet.path();
        uplink.run(&format!(
            "ip link set lo up
             ip link add eth0 type veth peer name eth0 netns {}
             ip addr add {UPLINK}/24 dev eth0
             ip link set eth0 up
             ip route add default via 198.51.100.1
             ip addr add {UPLINK6}/64 dev eth0 nodad
             ip -6 route add default via 2a00:51::1",
            peer.display()
        ));
        let mut all = PRIVATE.to_vec();
        all.push(SERVER);
        let addresses = all.iter().map(|address| format!("ip addr add {address}/32 dev lo\n"));
        internet.run(&format!(
            "ip link set lo up
             ip addr add 198.51.100.1/24 dev eth0
             ip link set eth0 up
             ip route add 10.213.0.0/16 via {UPLINK}
             ip addr add 2a00:51::1/64 dev eth0 nodad
             ip addr add {SERVER6}/128 dev lo
             ip addr add {BESIDE6}/64 dev eth0 nodad
             ip addr add {PRIVATE6}/128 dev lo
             ip -6 route add {PREFIX6} via {UPLINK6}
             sysctl -qw net.ipv6.conf.all.forwarding=1
             {}",
            addresses.collect::<String>()
        ));
        let mut options = Options {
            uplink_namespace: Some(uplink.path()),
            dns: vec![IpAddr::V4(SERVER)],
            ..Options::new(prefix(), "10.213.0.0/16".parse().unwrap())
        };
        change(&mut options);
        let net = HostNet::new(options.clone()).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.worker_threads(1).enable_all().build().unwrap();
        World { net, options, egress: Egress::internet(), names: None, uplink, internet, runtime }
    }

    /// A world with guests that may reach only what is listed, and what the next daemon is told in `dir`.
    pub(super) fn listed(egress: Egress, dir: &Path, change: impl FnOnce(&mut Options)) -> Self {
        let mut world = Self::with(|options| {
            options.dir = Some(dir.to_owned());
            change(options);
        });
        world.egress = egress;
        world.restart();
        world
    }

    /// As a daemon that has ended, and another one that starts.
    pub(super) fn restart(&mut self) {
        let options = names::Options {
            program: env!("CARGO_BIN_EXE_flint").into(),
            uid: 65_534,
            confine: true,
            directory: self.options.dir.clone().unwrap(),
            allow: self.options.allow.clone(),
            deny: self.options.deny.clone(),
        };
        let net = HostNet::new(self.options.clone()).unwrap();
        let before = self.names.take().map(|names| names.pid());
        self.net = HostNet::new(self.options.clone()).unwrap();
        // The old process is gone when nobody tells its number any more.
        if let Some(mut before) = before {
            self.wait(async { while before.changed().await.is_ok() {} });
        }
        let names = self.runtime.block_on(async { Names::new(options) });
        self.names = Some(names.clone());
        let net = self.runtime.block_on(net.with_names(names));
        self.net = net.unwrap_or_else(|error| panic!("{}", chain(&error)));
    }

    pub(super) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    pub(super) fn attach(&self, slot: u16) -> Attached {
        self.wait(self.net.attach(Slot(slot), 12_345, &self.egress))
            .unwrap_or_else(|error| panic!("{}", chain(&error)))
    }

    pub(super) fn attach_fails(&self, slot: u16) -> Error {
        self.wait(self.net.attach(Slot(slot), 12_345, &self.egress)).unwrap_err()
    }

    pub(super) fn detach(&self, slot: u16) {
        self.wait(self.net.detach(Slot(slot))).unwrap();
    }

    pub(super) fn attached(&self) -> BTreeSet<Slot> {
        self.wait(self.net.attached()).unwrap()
    }

    /// A slot with a guest in it.
    pub(super) fn guest(&self, slot: u16) -> Guest {
        Guest::on(&self.attach(slot))
    }

    /// The prefix's table in the uplink namespace.
    pub(super) fn table(&self) -> String {
        format!("inet flint_{}", self.options.prefix)
    }

    /// Runs a script in a slot's namespace.
    pub(super) fn run_in_slot(&self, slot: u16, script: &str) -> String {
        run(&self.slot_path(slot), script)
    }

    /// What a slot's guest was refused, as its log will have it.
    pub(super) fn refusals(&self, slot: u16) -> Vec<String> {
        self.wait(self.net.refusals(Slot(slot))).unwrap().lines()
    }

    /// A socket in a slot's namespace.
    pub(super) fn udp_in_slot(&self, slot: u16, at: Ipv4Addr) -> Server {
        Server::at(&self.slot_path(slot), at)
    }

    pub(super) fn slot_path(&self, slot: u16) -> PathBuf {
        netns::path_of(&format!("{}-{slot}", self.options.prefix))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let mine = format!("{}-", self.options.prefix);
        for name in netns::names().unwrap_or_default() {
            if name.starts_with(&mine) {
                netns::remove(&netns::path_of(&name)).ok();
            }
        }
    }
}

impl Namespace {
    fn new() -> Self {
        let made = netns::unnamed();
        Namespace(made.unwrap_or_else(|error| {
            panic!("cannot make a network namespace ({error}): run as root")
        }))
    }

    pub(super) fn path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.0.as_raw_fd()))
    }

    pub(super) fn run(&self, script: &str) -> String {
        run(&self.path(), script)
    }

    pub(super) fn udp(&self, at: Ipv4Addr) -> Server {
        Server::at(&self.path(), at)
    }

    pub(super) fn udp6(&self, at: Ipv6Addr) -> UdpSocket {
        let socket = netns::run_in(&self.path(), || UdpSocket::bind((at, 7))).unwrap().unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket
    }
}

/// Runs a script inside a namespace and returns what it prints.
fn run(namespace: &Path, script: &str) -> String {
    let shell = || Command::new("sh").args(["-ec", script]).output().unwrap();
    let output = netns::run_in(namespace, shell).unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{script}\n{said}");
    String::from_utf8(output.stdout).unwrap()
}

/// A UDP socket on port 7 that lives in a namespace.
pub(super) struct Server {
    socket: UdpSocket,
    pub(super) address: SocketAddrV4,
}

impl Server {
    fn at(namespace: &Path, at: Ipv4Addr) -> Self {
        let address = SocketAddrV4::new(at, 7);
        let socket = netns::run_in(namespace, || UdpSocket::bind(address)).unwrap().unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Server { socket, address }
    }

    /// Waits for the next datagram: who sent it, and what it says.
    pub(super) fn next(&self) -> (SocketAddr, String) {
        let mut buffer = [0; 2048];
        let (length, from) = self.socket.recv_from(&mut buffer).expect("a datagram arrives");
        (from, String::from_utf8(buffer[..length].to_vec()).unwrap())
    }

    pub(super) fn answer(&self, to: SocketAddr, payload: &str) {
        self.socket.send_to(payload.as_bytes(), to).unwrap();
    }

    /// Says something to somebody; the error, if the kernel refuses.
    pub(super) fn say(&self, to: SocketAddrV4, payload: &str) -> Result<(), ErrorKind> {
        self.socket.send_to(payload.as_bytes(), to).map(drop).map_err(|error| error.kind())
    }

    /// Nothing has come up to now. Ask only after a later packet's fate is known.
    pub(super) fn heard_nothing(&self) {
        self.socket.set_nonblocking(true).unwrap();
        let came = self.socket.recv_from(&mut [0; 2048]);
        assert_eq!(came.unwrap_err().kind(), ErrorKind::WouldBlock, "{}", self.address);
        self.socket.set_nonblocking(false).unwrap();
    }
}

/// A second daemon's options in the same uplink namespace.
pub(super) fn neighbour_of(world: &World, pool: Cidr) -> Options {
    Options { prefix: prefix(), pool, ..world.options.clone() }
}

fn prefix() -> String {
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("t{:04x}{count:x}", std::process::id() & 0xffff)
}
