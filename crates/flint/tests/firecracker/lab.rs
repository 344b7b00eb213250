//! A small host for one test: jails, cgroup, namespaces and disks under names of its own. All of it goes when the lab
//! goes, also after a panic and also when Flint's own clean-up failed.

use super::guest;
use super::leavings::{Leavings, group};
use super::talk::Talk;
use flint::net::{self, Attached, Egress, HostNet, Net};
use flint::sys::netns;
use flint::vmm::firecracker::{Action, Api, Filter, Firecracker, Jailer, Logger, Metrics, Options};
use flint::vmm::jail::{self, Jail, Jails, Running};
use flint::vmm::{Boot, Channel, Console, DiskRate, Drive, Vmm};
use flint_core::event::GuestEnd;
use flint_core::id::{Slot, VmId};
use flint_core::units::{MiB, Resources};
use serde_json::Value;
use std::env;
use std::error::Error;
use std::fmt::Debug;
use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tempfile::TempDir;

/// Longer than anything here takes on a busy machine; a test that waits this long has failed.
const DEADLINE: Duration = Duration::from_secs(30);

/// No user of any machine that runs tests.
const UID_BASE: u32 = 710_000;

/// No test here is about where a guest may go.
pub(crate) static EVERYWHERE: Egress = Egress::internet();

/// The one microVM that most tests need.
pub(crate) const VM: VmId = VmId(42);
/// Its slot.
pub(crate) const SLOT: Slot = Slot(3);

/// One test's host.
pub(crate) struct Lab {
    /// What is under test.
    pub(crate) vmm: Firecracker,
    /// The slots' networks.
    pub(crate) net: HostNet,
    /// Unique on this machine: starts the names of namespaces, and names the cgroup.
    pub(crate) name: String,
    options: Options,
    jails: jail::Options,
    slots: net::Options,
    _uplink: OwnedFd,
    // Dropped in this order: first what may hold the directory, then the directory.
    _leavings: Leavings,
    dir: TempDir,
}

impl Lab {
    /// A host whose guests are told this mode on their command line; see `guest/main.c`.
    pub(crate) fn new(mode: &str) -> Lab {
        let root = rustix::process::geteuid().is_root();
        assert!(root, "this tier needs root: it makes jails, users and namespaces");
        let kvm = fs::File::options().read(true).write(true).open("/dev/kvm");
        assert!(kvm.is_ok(), "this tier needs a `/dev/kvm` that opens: {kvm:?}");
        // Not in `/tmp`: it may be mounted `nodev`, and a jail holds device nodes.
        let dir = tempfile::Builder::new().prefix("flint-fc-").tempdir_in("/var/tmp").unwrap();
        let name = unique_name();
        let leavings = Leavings { name: name.clone() };
        // A namespace that leads nowhere: what the host's own is to a real Flint. It ends with its descriptor.
        let uplink = netns::unnamed().unwrap();
        let uplink_file = format!("/proc/{}/fd/{}", std::process::id(), uplink.as_raw_fd());
        let mut options = Options::new(program("FLINT_JAILER", "jailer"), engine());
        if let Some(file) = env::var_os("FLINT_SECCOMP_FILTER") {
            options.filter = Filter::File(file.into());
        }
        options.boot_args = Some(format!("flint={mode}"));
        let jails = jail::Options {
            dir: dir.path().join("jail"),
            logs: dir.path().join("logs"),
            uid_base: UID_BASE,
            gid_base: UID_BASE,
            cgroup: group(&name),
            allow_unfiltered: false,
        };
        fs::create_dir(&jails.logs).unwrap();
        let slots = net::Options {
            uplink_namespace: Some(uplink_file.into()),
            uplink: Some("lo".to_owned()),
            dns: vec![[192, 0, 2, 53].into()],
            ..net::Options::new(name.clone(), "10.213.0.0/16".parse().unwrap())
        };
        Lab {
            vmm: Firecracker::new(options.clone(), Jails::new(jails.clone())),
            net: HostNet::new(slots.clone()).unwrap(),
            name,
            slots,
            options,
            jails,
            _uplink: uplink,
            _leavings: leavings,
            dir,
        }
    }

    /// What the next daemon on this host has in hand: nothing but the same options.
    pub(crate) fn daemon_restarts(&mut self) {
        self.vmm = self.new_vmm();
    }

    /// The next microVMs get no seccomp filter, on any thread.
    pub(crate) fn take_filter_away(&mut self) {
        self.options.filter = Filter::Off;
        self.vmm = self.new_vmm();
    }

    /// A host whose configuration takes a VMM without a filter.
    pub(crate) fn allow_unfiltered(&mut self) {
        self.jails.allow_unfiltered = true;
        self.vmm = self.new_vmm();
    }

    /// A VMM that remembers nothing.
    pub(crate) fn new_vmm(&self) -> Firecracker {
        Firecracker::new(self.options.clone(), self.new_jails())
    }

    /// The jails, seen for the first time.
    pub(crate) fn new_jails(&self) -> Arc<Jails> {
        Jails::new(self.jails.clone())
    }

    /// How Firecracker is used here.
    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// The slots' networks, seen for the first time.
    pub(crate) fn new_net(&self) -> HostNet {
        HostNet::new(self.slots.clone()).unwrap()
    }

    /// Flint's state directory.
    pub(crate) fn state_dir(&self) -> &Path {
        self.dir.path()
    }

    /// The user of slot 0.
    pub(crate) fn uid_base(&self) -> u32 {
        self.jails.uid_base
    }

    /// The version of the programs, which Flint has looked at.
    pub(crate) async fn version(&self) -> String {
        Jailer::check(&self.options).await.unwrap().0
    }

    /// An order to boot [`VM`] without disks and network.
    pub(crate) fn boot(&self) -> Boot {
        Boot {
            vm: VM,
            slot: SLOT,
            shape: Resources { vcpus: 1, memory: MiB(128), disk: MiB(1) },
            kernel: kernel().to_owned(),
            initramfs: self.file("initramfs", b"none"),
            drives: Vec::new(),
            disk_rate: DiskRate::default(),
            nic: None,
            console: Console::Kept,
        }
    }

    /// Boots [`VM`] as [`Lab::boot`] says.
    pub(crate) async fn start(&self) {
        within("booting", self.vmm.boot(self.boot())).await.unwrap();
    }

    /// Starts a VMM that waits for its configuration, whose words go to files: its standard output is the console.
    pub(crate) async fn enter(&self, boot: &Boot) -> (Api, Arc<Running>) {
        let running = within("entering the jail", self.vmm.enter(boot)).await.unwrap().1;
        let api = self.vmm.api(boot.vm);
        api.up().await.unwrap();
        let logger = Logger { log_path: "firecracker.log", level: "Debug" };
        api.put("/logger", &logger).await.unwrap();
        api.put("/metrics", &Metrics { metrics_path: "metrics" }).await.unwrap();
        (api, running)
    }

    /// The slot's network, for the slot's user.
    pub(crate) async fn attach(&self) -> Attached {
        within("attaching", self.net.attach(SLOT, self.uid(), &EVERYWHERE)).await.unwrap()
    }

    /// As whom [`VM`] runs.
    pub(crate) fn uid(&self) -> u32 {
        UID_BASE + u32::from(SLOT.0)
    }

    /// Waits until the guest listens.
    pub(crate) async fn channel(&self) -> Channel {
        eventually("listening", async || self.vmm.channel(VM).await.ok()).await
    }

    /// Waits until the guest speaks.
    pub(crate) async fn talk(&self) -> Talk {
        Talk::open(self.channel().await).await.0
    }

    /// Waits until the guest is ready for work.
    pub(crate) async fn ready(&self) -> Talk {
        let mut talk = self.talk().await;
        talk.make_ready(&VM.to_string(), None).await;
        talk
    }

    /// Presses Ctrl-Alt-Del.
    pub(crate) async fn press_ctrl_alt_del(&self) {
        let keys = Action { action_type: "SendCtrlAltDel" };
        self.vmm.api(VM).put("/actions", &keys).await.unwrap();
    }

    /// Waits for the end of [`VM`]'s process.
    pub(crate) async fn end(&self) -> GuestEnd {
        within("ending", self.vmm.exited(VM)).await
    }

    /// Waits until the console holds this text.
    pub(crate) async fn printed(&self, text: &str) {
        self.printed_by(VM, text).await;
    }

    /// Waits until the console of a microVM holds this text.
    pub(crate) async fn printed_by(&self, vm: VmId, text: &str) {
        eventually(text, async || self.console_of(vm).contains(text).then_some(())).await;
    }

    /// What the guest has printed.
    pub(crate) fn console(&self) -> String {
        self.console_of(VM)
    }

    /// What one of several has printed.
    pub(crate) fn console_of(&self, vm: VmId) -> String {
        fs::read_to_string(self.jails.logs.join(format!("{vm}.console"))).unwrap_or_default()
    }

    /// The directory of [`VM`]'s jail.
    pub(crate) fn jail(&self) -> PathBuf {
        let engine = engine().canonicalize().unwrap();
        self.jails.dir.join(engine.file_name().unwrap()).join(VM.to_string())
    }

    /// The sum of one of Firecracker's counters over all lines of its metrics: each line has what came since the last.
    pub(crate) fn counted(&self, group: &str, name: &str) -> u64 {
        let metrics = fs::read_to_string(self.jail().join("root/metrics")).unwrap();
        let lines = metrics.lines().filter_map(|line| serde_json::from_str(line).ok());
        lines.map(|line: Value| line[group][name].as_u64().unwrap()).sum()
    }

    /// The process of [`VM`], as its record has it.
    pub(crate) fn pid(&self) -> u32 {
        let record = fs::read_to_string(self.jail().join("process")).unwrap();
        let stat = record.lines().nth(1).unwrap();
        stat.split(' ').next().unwrap().parse().unwrap()
    }

    /// A file of the lab with this content, made anew.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.file_path(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Where [`Lab::file`] puts a file.
    pub(crate) fn file_path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs the jailer for [`VM`] with Flint's arguments once more; returns its exit code and what it said.
    pub(crate) async fn run_jailer_again(&self) -> (Option<i32>, String) {
        let jail = Jail {
            dir: self.jail(),
            root: self.jail().join("root"),
            uid: self.uid(),
            gid: self.uid(),
            cgroups: Vec::new(),
            max_file: 0,
        };
        let jailer = Jailer { options: &self.options, jails_dir: &self.jails.dir, jail: &jail };
        let mut command = tokio::process::Command::new(&self.options.jailer);
        command.args(jailer.arguments(VM, None)).kill_on_drop(true);
        let output = within("running the jailer", command.output()).await.unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    /// Ends [`VM`] and its network, and looks that nothing of them is left anywhere.
    pub(crate) async fn destroy(&self) {
        within("killing", self.vmm.kill(VM)).await.unwrap();
        within("detaching", self.net.detach(SLOT)).await.unwrap();
        self.assert_nothing_left().await;
    }

    /// Looks that nothing of [`VM`] is left anywhere.
    pub(crate) async fn assert_nothing_left(&self) {
        let inventory = self.vmm.inventory().await.unwrap();
        assert!(inventory.present.is_empty() && inventory.alive.is_empty(), "{inventory:?}");
        assert!(self.net.attached().await.unwrap().is_empty());
        assert!(!self.jail().exists());
        assert_eq!(Leavings::of(&self.name), Vec::<String>::new());
    }
}

/// A disk file of one MiB that begins with this text.
pub(crate) fn disk(lab: &Lab, name: &str, text: &str, writable: bool) -> Drive {
    let mut content = text.as_bytes().to_vec();
    content.resize(1 << 20, 0);
    Drive { path: lab.file(name, &content), writable }
}

/// Waits for a future, within the deadline.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(DEADLINE, future).await;
    done.unwrap_or_else(|_| panic!("{what} takes longer than {DEADLINE:?}"))
}

/// Asks for a fact that nobody announces until it is there, within the deadline.
pub(crate) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let mut ticks = tokio::time::interval(Duration::from_millis(2));
    within(what, async {
        loop {
            if let Some(found) = ask().await {
                return found;
            }
            ticks.tick().await;
        }
    })
    .await
}

/// The text of an error with its causes.
pub(crate) fn told<T: Debug, E: Error + 'static>(result: Result<T, E>) -> String {
    let error = result.expect_err("this is refused");
    let (mut told, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    told
}

/// Firecracker itself.
pub(crate) fn engine() -> PathBuf {
    program("FLINT_FIRECRACKER", "firecracker")
}

fn program(variable: &str, name: &str) -> PathBuf {
    let in_path = || {
        let path = env::var_os("PATH")?;
        env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
    };
    let found = env::var_os(variable).map(PathBuf::from).or_else(in_path);
    found.unwrap_or_else(|| {
        panic!("this tier needs {name}: name it in {variable} or put it in PATH")
    })
}

/// The guest, built once for all tests of a run.
fn kernel() -> &'static Path {
    static GUEST: OnceLock<PathBuf> = OnceLock::new();
    GUEST.get_or_init(|| guest::build(Path::new(env!("CARGO_TARGET_TMPDIR"))))
}

/// At most nine letters and digits: the longest prefix that the network takes.
fn unique_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let lab = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("f{}x{}", base36(std::process::id()), base36(lab))
}

fn base36(mut number: u32) -> String {
    let mut digits = Vec::new();
    while number > 0 || digits.is_empty() {
        digits.push(char::from_digit(number % 36, 36).expect("a remainder of 36 is a digit"));
        number /= 36;
    }
    digits.into_iter().rev().collect()
}
