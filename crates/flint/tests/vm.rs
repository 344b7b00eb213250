//! Real microVMs under QEMU: launch, work, end, nothing left. Run by name: `cargo test -p flint --test vm`.
//!
//! Needs root, QEMU, and a kernel and an image: `FLINT_TEST_KERNEL` (a `vmlinux` with its initramfs beside it) and
//! `FLINT_TEST_IMAGE`, or what `cargo xtask demo --prepare` makes. Everything it makes is its own: a
//! temporary state directory, an uplink namespace without a name, a prefix of its own.

#![expect(clippy::unwrap_used, reason = "a test ends where its machine is not as it must be")]

#[cfg(test)]
#[path = "vm/rights.rs"]
mod rights;

use flint::error::chain;
use flint::host::{Error, Host, LaunchOrder, Layout, Options, Told};
use flint::images::{self, LocalImages, Source};
use flint::net::{self, HostNet};
use flint::sys::netns;
use flint::sys::process::Process;
use flint::vmm::jail::{self, Jails};
use flint::vmm::qemu::{self, Accel, Qemu};
use flint::vmm::{Console, DiskRate};
use flint_core::event::{Event, GuestEnd, GuestEvent, HostEvent};
use flint_core::id::{HostId, Slot, VmId};
use flint_core::units::{MiB, Resources, Timestamp};
use flint_wire::Work;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tokio::sync::mpsc;

/// Longer than any boot or end takes on a busy machine; a guest that is silent that long has failed the test.
const PATIENCE: Duration = Duration::from_secs(120);

/// What outlives a daemon.
struct Place {
    state: tempfile::TempDir,
    prefix: String,
    uplink: OwnedFd,
    /// Changes what guests' networks are.
    adjust: fn(&mut net::Options),
}

/// One daemon's host, and what it tells.
struct Bench {
    place: Place,
    host: Host<Qemu, HostNet, LocalImages>,
    events: mpsc::Receiver<Told>,
    layout: Layout,
}

impl Place {
    /// `name` is 1 to 4 letters: it makes this test's prefix.
    fn new(name: &str) -> Self {
        let uplink = netns::unnamed().unwrap();
        let path = PathBuf::from(format!("/proc/self/fd/{}", uplink.as_raw_fd()));
        netns::run_in(&path, make_uplink).unwrap();
        let prefix = format!("t{name}{:x}", std::process::id() & 0xfff);
        Place { state: tempfile::tempdir().unwrap(), prefix, uplink, adjust: |_| {} }
    }

    fn cgroup(&self) -> String {
        format!("flint-test-{}", self.prefix)
    }

    fn remove_all(&self) {
        runtime().block_on(async {
            let (host, _events) = self.host();
            let found = host.inventory(&BTreeSet::new(), Timestamp(0)).await.unwrap();
            let HostEvent::Inventory { present, .. } = found else { return };
            for vm in present {
                host.destroy(vm, Some(Slot(1))).await.unwrap();
                remove_cgroups(Path::new("/sys/fs/cgroup"), &self.cgroup(), vm);
            }
        });
    }

    /// A daemon's host in this place.
    fn host(&self) -> (Host<Qemu, HostNet, LocalImages>, mpsc::Receiver<Told>) {
        let (layout, uid_base) = (Layout::new(self.state.path()), 61_000);
        let uplink = format!("/proc/{}/fd/{}", std::process::id(), self.uplink.as_raw_fd());
        let mut net = net::Options {
            uplink_namespace: Some(uplink.into()),
            dns: vec![[203, 0, 113, 5].into()],
            ..net::Options::new(self.prefix.clone(), "10.213.0.0/16".parse().unwrap())
        };
        (self.adjust)(&mut net);
        let jails = Jails::new(jail::Options {
            dir: layout.jails(),
            logs: layout.logs(),
            uid_base,
            gid_base: uid_base,
            cgroup: self.cgroup(),
            allow_unfiltered: false,
        });
        let program = "qemu-system-x86_64".into();
        let qemu = Qemu::new(qemu::Options { program, accel: Accel::Tcg, firmware: None }, jails);
        let images = LocalImages::new(&images::Options { state_dir: self.state.path().to_owned() });
        let (to_events, events) = mpsc::channel(64);
        let options = Options { id: HostId(0), layout, uid_base };
        (Host::new(options, qemu, HostNet::new(net).unwrap(), images, to_events), events)
    }
}

impl Drop for Place {
    /// After a test that failed in the middle, nothing of it may stay on the machine.
    fn drop(&mut self) {
        if std::thread::panicking() {
            // A thread of its own: the test's may be inside of a runtime.
            std::thread::scope(|scope| drop(scope.spawn(|| self.remove_all()).join()));
        }
    }
}

impl Bench {
    fn new(name: &str) -> Self {
        Bench::at(Place::new(name))
    }

    fn at(place: Place) -> Self {
        let (host, events) = place.host();
        let layout = Layout::new(place.state.path());
        Bench { place, host, events, layout }
    }

    async fn event(&mut self) -> Event {
        tokio::time::timeout(PATIENCE, self.events.recv()).await.unwrap().unwrap().settle()
    }

    fn order(vm: VmId) -> LaunchOrder {
        let kernel = given("FLINT_TEST_KERNEL", "build/kernel/linux/vmlinux");
        let image = given("FLINT_TEST_IMAGE", "build/demo/rootfs.ext4");
        LaunchOrder {
            vm,
            slot: Slot(1),
            shape: Resources { vcpus: 1, memory: MiB(512), disk: MiB(1024) },
            source: Source { kernel, image },
            egress: net::Egress::internet(),
            disk_rate: DiskRate::default(),
            boot_timeout: Duration::from_secs(120),
            console: Console::Kept,
        }
    }

    async fn launch(&mut self, vm: VmId) {
        self.host.launch(Bench::order(vm)).await.unwrap_or_else(|e| panic!("{}", chain(&e)));
    }

    async fn fact(&mut self) -> GuestEvent {
        match self.event().await {
            Event::Guest { said, .. } => said,
            other => panic!("no guest's fact: {other:?}"),
        }
    }

    async fn exit(&mut self) -> GuestEnd {
        loop {
            if let Event::Host(HostEvent::Exited { end, .. }) = self.event().await {
                return end;
            }
        }
    }

    /// Destroys, and looks everywhere for what may be left.
    async fn leave_nothing(self, vm: VmId) {
        self.host.destroy(vm, None).await.unwrap_or_else(|e| panic!("{}", chain(&e)));
        let left = self.host.inventory(&BTreeSet::new(), Timestamp(0)).await.unwrap();
        let HostEvent::Inventory { alive, present, .. } = left else { panic!("no inventory") };
        assert!(alive.is_empty() && present.is_empty(), "{alive:?} {present:?}");
        let jails = std::fs::read_dir(self.layout.jails().join("qemu")).unwrap();
        assert_eq!(jails.count(), 0);
        let scratch = std::fs::read_dir(self.layout.scratch()).unwrap().flatten();
        let disks = scratch.filter(|e| e.file_name().to_string_lossy().starts_with("vm-"));
        assert_eq!(disks.count(), 0);
        let mine = |name: &String| name.starts_with(&self.place.prefix);
        assert_eq!(netns::names().unwrap().into_iter().filter(mine).count(), 0);
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
        assert!(!mounts.contains(&*self.place.state.path().to_string_lossy()));
        remove_cgroups(Path::new("/sys/fs/cgroup"), &self.place.cgroup(), vm);
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap()
}

/// The parents of this test's groups are its own; the groups themselves must be gone.
fn remove_cgroups(root: &Path, name: &str, vm: VmId) {
    let below = std::fs::read_dir(root).unwrap().flatten().map(|e| e.path());
    for parent in below.chain([root.to_owned()]).map(|dir| dir.join(name)) {
        assert!(!parent.join(vm.to_string()).exists(), "{}", parent.display());
        if parent.exists() {
            std::fs::remove_dir(&parent).unwrap();
        }
    }
}

fn make_uplink() {
    let script = "ip link set lo up
        ip link add eth0 type veth peer name eth1
        ip addr add 198.51.100.2/24 dev eth0
        ip link set eth0 up && ip link set eth1 up
        ip route add default via 198.51.100.1";
    assert!(Command::new("sh").args(["-ec", script]).status().unwrap().success());
}

fn given(name: &str, default: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = std::env::var_os(name).map_or_else(|| root.join(default), PathBuf::from);
    assert!(
        path.exists(),
        "`{}` is not there: set {name}, or run `make kernel filesystem`",
        path.display()
    );
    path
}

fn shell(script: &str) -> Work {
    Work::Command { argv: ["sh", "-c", script].map(str::to_owned).to_vec() }
}

#[tokio::test]
async fn a_command_runs_in_its_own_guest_and_nothing_is_left() {
    let mut bench = Bench::new("run");
    let vm = VmId(1);
    bench.launch(vm).await;
    let mut log = bench.host.log(vm).unwrap();
    assert!(matches!(bench.fact().await, GuestEvent::Ready { .. }));
    bench
        .host
        .arm(vm, shell("cat /proc/sys/kernel/random/boot_id; echo oops >&2; exit 7"))
        .await
        .unwrap();
    assert_eq!(bench.fact().await, GuestEvent::RunnerExited { code: 7 });
    assert_eq!(bench.exit().await, GuestEnd::ShutDown);
    let mut lines = Vec::new();
    while let Ok(line) = log.live.recv().await {
        lines.push(line.text);
    }
    let own = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    let boot_id = lines.iter().find(|line| line.len() == own.trim().len()).unwrap();
    assert_ne!(boot_id, own.trim());
    assert!(lines.iter().any(|line| line == "oops"), "{lines:?}");
    let file = String::from_utf8(bench.host.kept_log(vm, 10_000)).unwrap();
    assert!(file.contains(" err oops\n"), "{file}");
    bench.leave_nothing(vm).await;
}

#[tokio::test]
async fn a_vmm_sees_programs_and_its_own_guests_files_and_nothing_of_this_host() {
    let mut bench = Bench::new("root");
    let vm = VmId(6);
    let mut order = Bench::order(vm);
    order.disk_rate =
        DiskRate { bytes_per_second: Some(512 << 20), operations_per_second: Some(50_000) };
    bench.host.launch(order).await.unwrap_or_else(|e| panic!("{}", chain(&e)));
    assert!(matches!(bench.fact().await, GuestEvent::Ready { .. }));
    let record = bench.layout.jails().join(format!("qemu/{vm}/process"));
    let pid = Process::find(&record).unwrap().unwrap().pid();
    let inside = |path: &str| PathBuf::from(format!("/proc/{pid}/root{path}"));
    let seen = std::fs::read_dir(inside("/")).unwrap().map(|e| e.unwrap().file_name());
    let known: BTreeSet<OsString> = [
        "agent.sock",
        "bin",
        "console.sock",
        "dev",
        "etc",
        "initramfs",
        "lib",
        "lib32",
        "lib64",
        "libx32",
        "nix",
        "usr",
        "vda",
        "vdb",
        "vdc",
        "vmlinux",
    ]
    .map(OsString::from)
    .into();
    let foreign: Vec<_> = seen.filter(|name| !known.contains(name)).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    assert!(inside("/usr/bin").is_dir());
    let names = |path: &str| -> BTreeSet<OsString> {
        std::fs::read_dir(inside(path)).unwrap().map(|e| e.unwrap().file_name()).collect()
    };
    assert_eq!(names("/etc"), BTreeSet::from(["ld.so.cache".into()]));
    assert_eq!(names("/dev"), BTreeSet::from(["null".into(), "urandom".into()]));
    // Each mount of its own but its files can only be read; and none of them is seen outside.
    let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap();
    let fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let writable: Vec<_> = fields.filter(|f| !f[5].split(',').any(|o| o == "ro")).collect();
    assert!(writable.len() == 1 && writable[0][4] == "/", "{mounts}");
    let arguments = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(arguments.contains("throttling.bps-total=536870912"), "{arguments}");
    bench.leave_nothing(vm).await;
}

#[tokio::test]
async fn a_guest_killed_in_the_middle_of_its_work_leaves_nothing() {
    let mut bench = Bench::new("kill");
    let vm = VmId(2);
    bench.launch(vm).await;
    assert!(matches!(bench.fact().await, GuestEvent::Ready { .. }));
    bench.host.arm(vm, shell("sleep 600")).await.unwrap();
    bench.host.destroy(vm, Some(Slot(1))).await.unwrap();
    assert_eq!(bench.exit().await, GuestEnd::Killed);
    let late = bench.host.launch(Bench::order(vm)).await;
    assert!(matches!(late, Err(Error::Destroyed { .. })));
    bench.leave_nothing(vm).await;
}

#[tokio::test]
async fn a_guest_that_never_gets_ready_fails_with_its_consoles_last_words() {
    let mut bench = Bench::new("dead");
    let vm = VmId(3);
    let mut order = Bench::order(vm);
    // A kernel without anything to run panics.
    let bundle = bench.place.state.path().join("bundle");
    std::fs::create_dir(&bundle).unwrap();
    std::fs::copy(&order.source.kernel, bundle.join("vmlinux")).unwrap();
    let empty =
        "070701".to_owned() + &"0".repeat(8 * 11) + "0000000B" + "00000000" + "TRAILER!!!\0\0\0\0";
    std::fs::write(bundle.join("initramfs.cpio"), empty).unwrap();
    order.source.kernel = bundle.join("vmlinux");
    bench.host.launch(order).await.unwrap_or_else(|e| panic!("{}", chain(&e)));
    assert_eq!(bench.exit().await, GuestEnd::Crashed);
    let console = String::from_utf8_lossy(&bench.host.kept_console(vm, 100_000)).into_owned();
    assert!(console.contains("Kernel panic"), "{console}");
    bench.leave_nothing(vm).await;
}

#[tokio::test]
async fn a_guest_that_powers_off_in_the_middle_of_its_work_has_ended_without_a_code() {
    let mut bench = Bench::new("off");
    let vm = VmId(4);
    bench.launch(vm).await;
    assert!(matches!(bench.fact().await, GuestEvent::Ready { .. }));
    bench
        .host
        .arm(vm, shell("sudo -n sh -c 'echo b > /proc/sysrq-trigger'; sleep 600"))
        .await
        .unwrap();
    match bench.event().await {
        Event::Host(HostEvent::Exited { end, .. }) => assert_eq!(end, GuestEnd::ShutDown),
        other => panic!("something before the end: {other:?}"),
    }
    bench.leave_nothing(vm).await;
}

#[test]
fn another_daemon_takes_a_running_guest_up_and_hears_what_it_missed() {
    let vm = VmId(5);
    let first = runtime();
    let place = first.block_on(async {
        let mut bench = Bench::new("take");
        bench.launch(vm).await;
        assert!(matches!(bench.fact().await, GuestEvent::Ready { .. }));
        bench.host.arm(vm, shell("sleep 2; echo done; exit 4")).await.unwrap();
        bench.place
    });
    // All that the first daemon held goes here: its tasks, its sockets, its pidfds.
    drop(first);
    runtime().block_on(async {
        let mut bench = Bench::at(place);
        let found = bench.host.inventory(&BTreeSet::from([Slot(1)]), Timestamp(0)).await.unwrap();
        let HostEvent::Inventory { alive, .. } = found else { panic!("no inventory") };
        assert_eq!(alive, BTreeSet::from([vm]));
        bench.host.adopt(vm, Slot(1));
        loop {
            match bench.fact().await {
                GuestEvent::RunnerExited { code } => break assert_eq!(code, 4),
                // Perhaps not acknowledged before the first daemon went, then said again.
                GuestEvent::Ready { .. } => {}
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(bench.exit().await, GuestEnd::ShutDown);
        let log = String::from_utf8(bench.host.kept_log(vm, 10_000)).unwrap();
        assert!(log.contains(" out done\n"), "{log}");
        bench.leave_nothing(vm).await;
    });
}

/// The internet at the other end of the uplink, with a server in it.
fn make_internet(uplink: &Path) -> (OwnedFd, [UdpSocket; 2]) {
    let internet = netns::unnamed().unwrap();
    let path = format!("/proc/{}/fd/{}", std::process::id(), internet.as_raw_fd());
    let run = |namespace: &Path, script: String| {
        let ran = netns::run_in(namespace, || Command::new("sh").args(["-ec", &script]).status());
        assert!(ran.unwrap().unwrap().success(), "{script}");
    };
    run(
        uplink,
        format!(
            "ip link set eth1 netns {path}
             ip addr add 2a00:51::2/64 dev eth0 nodad
             ip -6 route add default via 2a00:51::1"
        ),
    );
    run(
        Path::new(&path),
        "ip link set lo up
         ip link set eth1 up
         ip addr add 198.51.100.1/24 dev eth1
         ip addr add 2a00:51::1/64 dev eth1 nodad
         ip addr add 203.0.113.7/32 dev lo
         ip addr add 2a00:113::7/128 dev lo nodad"
            .to_owned(),
    );
    let servers = ["203.0.113.7:7", "[2a00:113::7]:7"];
    let bind = || servers.map(|address| UdpSocket::bind(address).unwrap());
    (internet, netns::run_in(Path::new(&path), bind).unwrap())
}

#[tokio::test]
async fn a_guest_of_the_bridge_talks_and_is_answered_under_its_own_address() {
    let mut place = Place::new("brid");
    place.adjust = |net| {
        let address = [10, 0, 0, 1].into();
        net.bridge = Some(net::Bridge { name: "br-flint".into(), address, length: 24 });
        net.ipv6 = net::Ipv6::Prefix("2a00:51::/64".parse().unwrap());
    };
    let uplink = format!("/proc/{}/fd/{}", std::process::id(), place.uplink.as_raw_fd());
    let (_internet, servers) = make_internet(Path::new(&uplink));
    let mut bench = Bench::at(place);
    let vm = VmId(6);
    bench.launch(vm).await;
    assert!(matches!(bench.fact().await, GuestEvent::Ready { .. }));
    let talk =
        |to: &str| format!("exec 3<>/dev/udp/{to}/7; echo hello >&3; head -n 1 <&3; exec 3>&-");
    let script = format!("{}; {}; ip -6 route", talk("203.0.113.7"), talk("2a00:113::7"));
    let argv = ["bash", "-c", &script].map(str::to_owned).to_vec();
    bench.host.arm(vm, Work::Command { argv }).await.unwrap();
    let answered = tokio::task::spawn_blocking(move || {
        servers.map(|server| {
            server.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut bytes = [0; 64];
            let (length, from) = server.recv_from(&mut bytes).expect("the guest speaks");
            assert_eq!(&bytes[..length], b"hello\n");
            server.send_to(b"answered\n", from).unwrap();
            from.ip().to_string()
        })
    });
    assert_eq!(answered.await.unwrap(), ["198.51.100.2", "2a00:51::1:0:2:1"]);
    assert_eq!(bench.fact().await, GuestEvent::RunnerExited { code: 0 });
    assert_eq!(bench.exit().await, GuestEnd::ShutDown);
    let log = String::from_utf8(bench.host.kept_log(vm, 10_000)).unwrap();
    assert_eq!(log.matches(" out answered\n").count(), 2, "{log}");
    bench.leave_nothing(vm).await;
}
