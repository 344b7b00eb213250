//! The process that reads guests' DNS, as the kernel has it while it serves; and what its list of calls leaves.

use super::egress::ask;
use super::world::World;
use crate::confined::has_nothing;
use flint::net::egress::To;
use flint::net::{Egress, egress};
use flint::sys::{confine, seccomp};
use rustix::net::{SendFlags, Shutdown};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;

/// What a resolver has no use for.
const CALLS: [&str; 11] = [
    "open",
    "socket",
    "connect",
    "fastopen",
    "shutdown",
    "options",
    "thread",
    "exec",
    "kill",
    "namespaces",
    "limits",
];

/// Set in a process that makes one call beyond the list.
const CALL: &str = "FLINT_TEST_CALL";

/// Two guests with a list of names, and the process that serves both.
fn serving(dir: &Path) -> (World, i32) {
    let names = vec!["*.acme.example".parse().unwrap()];
    let to = To::Listed { ranges: Vec::new(), names };
    let egress = Egress { to, limits: egress::TRAFFIC, ..Egress::internet() };
    let world = World::listed(egress, dir, |_| {});
    for slot in 0..2 {
        // It has the slot's sockets when it has answered by them.
        ask(&world.guest(slot), "not.listed.example").unwrap_err();
    }
    let pid = *world.names.as_ref().unwrap().pid().borrow();
    (world, pid)
}

#[test]
fn the_resolvers_process_is_nobody_without_capabilities_files_or_a_way_to_get_any() {
    let dir = tempfile::tempdir().unwrap();
    let (_world, pid) = serving(dir.path());
    has_nothing(pid, "flint-names", "16448");
}

/// The inodes of sockets in a table of the kernel.
fn inodes(table: &str) -> BTreeSet<String> {
    let rows = table.lines().skip(1);
    rows.filter_map(|row| row.split_ascii_whitespace().nth(9)).map(str::to_owned).collect()
}

#[test]
fn the_resolvers_sockets_are_of_its_guests_namespaces_and_what_it_writes_is_no_log_of_ours() {
    let dir = tempfile::tempdir().unwrap();
    let (world, pid) = serving(dir.path());
    let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let links: Vec<_> = links.map(|entry| fs::read_link(entry.unwrap().path()).unwrap()).collect();
    let text = |link: &std::path::PathBuf| link.to_string_lossy().into_owned();
    let inode = |link| text(link).strip_prefix("socket:[")?.strip_suffix(']').map(str::to_owned);
    let its: BTreeSet<String> = links.iter().filter_map(inode).collect();
    for slot in 0..2 {
        // One that the guest asks, one for the resolver outside.
        let of_slot = inodes(&world.run_in_slot(slot, "cat /proc/net/udp"));
        assert!(of_slot.len() == 2 && of_slot.is_subset(&its), "{of_slot:?} {its:?}");
    }
    for table in ["udp", "tcp", "udp6", "tcp6"] {
        let cat = format!("cat /proc/net/{table}");
        let ours = fs::read_to_string(format!("/proc/self/net/{table}")).unwrap();
        assert!(inodes(&world.uplink.run(&cat)).is_disjoint(&its), "{table}");
        assert!(inodes(&ours).is_disjoint(&its), "{table}");
    }
    let files: BTreeSet<_> = links.iter().map(text).filter(|link| link.starts_with('/')).collect();
    assert_eq!(files, BTreeSet::from(["/dev/null".to_owned()]));
    let errors = |who: &str| fs::read_link(format!("/proc/{who}/fd/2")).unwrap();
    assert!(text(&errors(&pid.to_string())).starts_with("pipe:["));
    assert_ne!(errors(&pid.to_string()), errors("self"));
}

/// Runs the test of this name again in a process of its own, which makes one call after its list is set.
fn signal_after(name: &str, call: &str) -> Option<i32> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", name]).env(CALL, call).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("running 1 test"), "{told}");
    output.status.signal()
}

/// What a resolver that is taken over would try.
fn try_call(call: &str) {
    const FAST: SendFlags = SendFlags::from_bits_retain(0x2000_0000);
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let (socket, listener) = (UdpSocket::bind(any).unwrap(), TcpListener::bind(any).unwrap());
    let own = socket.local_addr().unwrap();
    seccomp::resolve_only().unwrap();
    match call {
        "answer" => assert_eq!(socket.send_to(b"to whoever has asked", own).unwrap(), 20),
        "open" => drop(fs::File::open("/etc/passwd")),
        "socket" => drop(UdpSocket::bind(any)),
        "connect" => drop(socket.connect(own)),
        "fastopen" => drop(rustix::net::sendto(&listener, b"x", FAST, &own)),
        "shutdown" => drop(rustix::net::shutdown(&listener, Shutdown::Both)),
        "options" => drop(rustix::net::sockopt::set_socket_keepalive(&socket, true)),
        "thread" => drop(std::thread::Builder::new().spawn(|| {})),
        "exec" => drop(Command::new("/bin/true").spawn()),
        "kill" => drop(rustix::process::test_kill_process(rustix::process::getpid())),
        "namespaces" => drop(confine::leave_namespaces()),
        "limits" => drop(rustix::process::getrlimit(rustix::process::Resource::Core)),
        other => panic!("nobody tries {other}"),
    }
}

#[test]
fn every_call_but_those_of_a_resolver_ends_the_process() {
    const NAME: &str = "net::confinement::every_call_but_those_of_a_resolver_ends_the_process";
    if let Ok(call) = std::env::var(CALL) {
        try_call(&call);
        #[expect(clippy::exit, reason = "the test's own end needs more calls than a resolver's")]
        std::process::exit(7);
    }
    assert_eq!(signal_after(NAME, "answer"), None, "the control: a resolver's call");
    for call in CALLS {
        assert_eq!(signal_after(NAME, call), Some(Signal::SYS.as_raw()), "{call}");
    }
}
