//! The confinement of the half that faces the network, read from the kernel while it serves. Needs root and says so.
#![cfg(test)]

mod confined;
#[path = "front/stage.rs"]
mod stage;

use confined::has_nothing;
use flint::front::Error;
use flint::sys::{confine, netns, seccomp};
use rustix::net::{SendFlags, Shutdown};
use rustix::process::Signal;
use rustix::stdio::stdin;
use rustix::thread::{
    CapabilitySet, capabilities, remove_capability_from_bounding_set, set_capabilities,
};
use stage::{Stage, signal, status};
use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

/// What a server has no use for.
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

async fn confined() -> Stage {
    Stage::start(|options| options.confine = true).await
}

#[tokio::test]
async fn the_front_is_nobody_without_capabilities_groups_or_a_way_to_get_any() {
    let mut stage = confined().await;
    let pid = stage.pid();
    has_nothing(pid, "flint-front", "1088");
    let argv = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert_eq!(argv, "flint\0front\0--uid\x0065534\0");
    stage.one_job(1).await;
    stage.end().await;
}

#[tokio::test]
async fn the_front_has_an_empty_read_only_root_and_a_network_without_devices() {
    let mut stage = confined().await;
    let pid = stage.pid();
    let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    assert_eq!(mounts.lines().count(), 1, "{mounts}");
    assert!(mounts.contains(" / / ro,nosuid,nodev,noexec"), "{mounts}");
    let devices = fs::read_to_string(format!("/proc/{pid}/net/dev")).unwrap();
    let devices: Vec<_> = devices.lines().skip(2).filter_map(|line| line.split_once(':')).collect();
    assert!(matches!(devices.as_slice(), [(name, _)] if name.trim() == "lo"), "{devices:?}");
    assert_eq!(
        fs::read_to_string(format!("/proc/{pid}/net/route")).unwrap().lines().skip(1).count(),
        0
    );
    stage.one_job(1).await;
    stage.end().await;
}

/// What a process has open: the kinds, and the inodes of its sockets.
fn open(who: &str) -> (Vec<String>, BTreeSet<String>) {
    let mut kinds = Vec::new();
    let mut sockets = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{who}/fd")).unwrap() {
        // Reading the list opens one more, which is gone again.
        let Ok(target) = fs::read_link(entry.unwrap().path()) else { continue };
        let target = target.to_string_lossy().into_owned();
        let kind = target.split_once(":[").map_or(target.as_str(), |(kind, _)| kind);
        kinds.push(kind.to_owned());
        if kind == "socket" {
            sockets.extend(target.split(['[', ']']).nth(1).map(str::to_owned));
        }
    }
    kinds.sort();
    (kinds, sockets)
}

/// The TCP sockets of these that listen, of this network namespace.
fn listening(sockets: &BTreeSet<String>) -> usize {
    let tables = ["tcp", "tcp6"].map(|name| fs::read_to_string(format!("/proc/net/{name}")));
    let tables: String = tables.into_iter().map(Result::unwrap_or_default).collect();
    let rows = tables.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    // 0A is LISTEN.
    rows.filter(|row| row.get(3) == Some(&"0A"))
        .filter(|row| row.get(9).is_some_and(|inode| sockets.contains(*inode)))
        .count()
}

#[tokio::test]
async fn the_root_half_has_no_socket_that_faces_the_network_and_the_front_nothing_else() {
    let mut stage = confined().await;
    for _ in 0..2 {
        let (kinds, sockets) = open(&stage.pid().to_string());
        let files: Vec<_> = kinds.iter().filter(|kind| kind.starts_with('/')).collect();
        assert_eq!(files, ["/dev/null", "/dev/null"], "{kinds:?}");
        assert_eq!(kinds.iter().filter(|kind| *kind == "pipe").count(), 1, "{kinds:?}");
        // The link, the listener, and the runtime's own pair for signals.
        assert_eq!(sockets.len(), 4, "{kinds:?}");
        assert_eq!(listening(&sockets), 1);
        let (_, ours) = open("self");
        assert_eq!(listening(&ours), 0);
        signal(stage.pid(), Signal::KILL);
        stage.pid.changed().await.expect("the keeper is there");
    }
    let page = stage.page("/metrics").await;
    assert!(page.contains("restarts=2"), "{page}");
    // The control: this is what it would look like.
    let _listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    assert_eq!(listening(&open("self").1), 1);
    stage.end().await;
}

#[tokio::test]
async fn a_port_below_1024_is_served_by_nobody_and_again_after_a_crash() {
    // In a namespace of its own, where every port is free.
    let space = netns::unnamed().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], 443));
    let inside = std::thread::spawn(move || {
        use std::os::fd::AsFd;
        netns::enter(space.as_fd()).unwrap();
        assert!(Command::new("ip").args(["link", "set", "lo", "up"]).status().unwrap().success());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let stage = Stage::try_start_on(address, |options| options.confine = true);
            let mut stage = stage.await.expect("root may take the port");
            stage.one_job(1).await;
            signal(stage.pid(), Signal::KILL);
            stage.pid.changed().await.expect("the keeper is there");
            stage.one_job(2).await;
            stage.end().await;
        });
    });
    inside.join().unwrap();
}

#[test]
fn a_machine_that_cannot_confine_it_is_refused_unless_the_configuration_says_otherwise() {
    // Capabilities belong to a thread: this one's children lack what namespaces need.
    let weak = std::thread::spawn(|| {
        let mut sets = capabilities(None).unwrap();
        for set in [&mut sets.effective, &mut sets.permitted, &mut sets.inheritable] {
            set.remove(CapabilitySet::SYS_ADMIN);
        }
        set_capabilities(None, sets).unwrap();
        // Else a program that is started as root would have it again.
        remove_capability_from_bounding_set(CapabilitySet::SYS_ADMIN).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let refused = Stage::try_start(|options| options.confine = true).await;
            let error = refused.err().expect("it is refused");
            let text = error.to_string();
            assert!(matches!(error, Error::Unconfined { .. }), "{text}");
            assert!(text.contains("namespaces and a root of its own"), "{text}");
            assert!(error.help().is_some_and(|help| help.contains("`confine = false`")));
            let mut stage = Stage::start(|options| options.confine = false).await;
            assert_eq!(status(stage.pid(), "Seccomp"), "2", "the rest is had all the same");
            assert_eq!(status(stage.pid(), "CapEff"), "0000000000000000");
            stage.one_job(1).await;
            stage.end().await;
        });
    });
    weak.join().unwrap();
}

/// Runs the test of this name again in a process of its own, which makes one call after its list is set.
fn signal_after(name: &str, call: &str) -> Option<i32> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args(["--exact", name]).env(CALL, call).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("running 1 test"), "{told}");
    output.status.signal()
}

/// MSG_FASTOPEN.
const FAST: SendFlags = SendFlags::from_bits_retain(0x2000_0000);

/// Connects without `connect`, from a listener that was handed over.
fn fast_open(listener: &TcpListener, to: SocketAddr) -> bool {
    rustix::net::shutdown(listener, Shutdown::Both).unwrap();
    rustix::net::sendto(listener, b"x", FAST, &to).is_ok()
}

fn any_port() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).unwrap()
}

/// What a front that is taken over would try.
fn try_call(call: &str) {
    let (listener, nowhere) = (any_port(), SocketAddr::from(([127, 0, 0, 1], 9)));
    seccomp::serve_only().unwrap();
    match call {
        "clock" => drop(std::time::Instant::now()),
        "open" => drop(fs::File::open("/etc/passwd")),
        "socket" => drop(std::net::UdpSocket::bind(("127.0.0.1", 0))),
        "connect" => drop(std::net::TcpStream::connect(("127.0.0.1", 9))),
        "fastopen" => assert!(rustix::net::sendto(&listener, b"x", FAST, &nowhere).is_err()),
        "shutdown" => rustix::net::shutdown(&listener, Shutdown::Both).unwrap(),
        "options" => drop(rustix::net::sockopt::set_socket_keepalive(stdin(), true)),
        "thread" => drop(std::thread::Builder::new().spawn(|| {})),
        "exec" => drop(Command::new("/bin/true").spawn()),
        "kill" => drop(rustix::process::test_kill_process(rustix::process::getpid())),
        "namespaces" => drop(confine::leave_namespaces()),
        "limits" => drop(rustix::process::getrlimit(rustix::process::Resource::Core)),
        other => panic!("nobody tries {other}"),
    }
}

#[test]
fn every_call_but_those_of_a_server_ends_the_process() {
    const NAME: &str = "every_call_but_those_of_a_server_ends_the_process";
    if let Ok(call) = std::env::var(CALL) {
        try_call(&call);
        #[expect(clippy::exit, reason = "the test's own end needs more calls than a server's")]
        std::process::exit(7);
    }
    assert_eq!(signal_after(NAME, "clock"), None, "the control: a server's call");
    let target = any_port();
    let connected = fast_open(&any_port(), target.local_addr().unwrap());
    assert!(connected && target.accept().is_ok(), "the control: it works without the list");
    for call in CALLS {
        assert_eq!(signal_after(NAME, call), Some(Signal::SYS.as_raw()), "{call}");
    }
}
