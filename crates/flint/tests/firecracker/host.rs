//! Launch and destroy with everything real but GitHub and the guest's Linux: disks, network, jail, agent's channel.

use super::lab::{Lab, SLOT, VM, told, within};
use flint::host::{self, Host, LaunchOrder, Layout};
use flint::images::{self, LocalImages, Source};
use flint::net::HostNet;
use flint::vmm::Console;
use flint::vmm::firecracker::Firecracker;
use flint_core::event::{Event, GuestEnd, GuestEvent, HostEvent};
use flint_core::id::{HostId, Slot, VmId};
use flint_core::units::{MiB, Resources, Timestamp};
use flint_wire::{Secret, Work};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use tokio::sync::mpsc;

/// A daemon's hands on the lab's host, and the facts they report.
struct Daemon {
    host: Host<Firecracker, HostNet, LocalImages>,
    facts: mpsc::Receiver<host::Told>,
}

impl Daemon {
    /// One that knows nothing but its configuration.
    fn start(lab: &Lab) -> Daemon {
        let (events, facts) = mpsc::channel(64);
        let layout = Layout::new(lab.state_dir());
        let options = host::Options { id: HostId(0), layout, uid_base: lab.uid_base() };
        let disks = LocalImages::new(&images::Options { state_dir: lab.state_dir().to_owned() });
        Daemon { host: Host::new(options, lab.new_vmm(), lab.new_net(), disks, events), facts }
    }

    async fn launch(&self, lab: &Lab) {
        within("launching", self.host.launch(order(lab))).await.unwrap();
    }

    async fn arm(&self, work: Work) {
        within("arming", self.host.arm(VM, work)).await.unwrap();
    }

    /// The next fact about [`VM`]'s guest.
    async fn guest_says(&mut self) -> GuestEvent {
        match within("reporting a fact", self.facts.recv()).await.map(host::Told::settle) {
            Some(Event::Guest { vm: VM, said }) => said,
            other => panic!("no word of the guest: {other:?}"),
        }
    }

    /// The last fact about [`VM`].
    async fn end(&mut self) -> GuestEnd {
        match within("reporting the end", self.facts.recv()).await.map(host::Told::settle) {
            Some(Event::Host(HostEvent::Exited { vm: VM, end })) => end,
            other => panic!("no end: {other:?}"),
        }
    }

    /// What is there of any microVM: running, and at all.
    async fn inventory(&self) -> (BTreeSet<VmId>, BTreeSet<VmId>) {
        match self.host.inventory(&BTreeSet::from([SLOT]), Timestamp(0)).await.unwrap() {
            HostEvent::Inventory { alive, present, .. } => (alive, present),
            other => panic!("{other:?}"),
        }
    }

    /// Destroys [`VM`] and looks that nothing of it is left, anywhere.
    async fn destroy(&self, lab: &Lab) {
        within("destroying", self.host.destroy(VM, Some(SLOT))).await.unwrap();
        assert_eq!(self.inventory().await, (BTreeSet::new(), BTreeSet::new()));
        assert!(!scratch(lab).exists());
        lab.assert_nothing_left().await;
    }
}

fn scratch(lab: &Lab) -> std::path::PathBuf {
    lab.state_dir().join("scratch").join(format!("{VM}.ext4"))
}

fn order(lab: &Lab) -> LaunchOrder {
    LaunchOrder {
        vm: VM,
        slot: SLOT,
        shape: Resources { vcpus: 1, memory: MiB(128), disk: MiB(64) },
        source: source(lab),
        egress: flint::net::Egress::internet(),
        disk_rate: flint::vmm::DiskRate::default(),
        boot_timeout: Duration::from_secs(30),
        console: Console::Kept,
    }
}

/// Files that pass as what a profile names: the test guest as kernel, a cpio of nothing, an empty ext4.
fn source(lab: &Lab) -> Source {
    let source = Source { kernel: lab.file_path("vmlinux"), image: lab.file_path("rootfs.ext4") };
    if !source.kernel.exists() {
        fs::copy(lab.boot().kernel, &source.kernel).unwrap();
        lab.file("initramfs.cpio", EMPTY_CPIO);
        empty_ext4(&source.image);
    }
    source
}

/// The trailer alone, in the format newc.
const EMPTY_CPIO: &[u8] = b"07070100000000000000000000000000000000000000010000000000000000\
    000000000000000000000000000000000000000B00000000TRAILER!!!\0\0\0\0";

fn empty_ext4(path: &Path) {
    fs::File::create_new(path).unwrap().set_len(4 << 20).unwrap();
    let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(path).output().unwrap();
    assert!(made.status.success(), "{made:?}");
}

fn command(words: &[&str]) -> Work {
    Work::Command { argv: words.iter().map(|&word| word.to_owned()).collect() }
}

#[tokio::test]
async fn a_job_goes_from_launch_to_nothing_left_and_each_step_is_a_fact() {
    let lab = Lab::new("agent");
    let mut daemon = Daemon::start(&lab);
    daemon.launch(&lab).await;
    assert!(matches!(daemon.guest_says().await, GuestEvent::Ready { .. }));
    let running = BTreeSet::from([VM]);
    assert_eq!(daemon.inventory().await, (running.clone(), running));

    let secret = "c2VjcmV0".repeat(700);
    daemon
        .arm(Work::Runner {
            jit_config: Secret::new(secret.clone()),
            admits: None,
            repositories: None,
            ca_certificates: None,
        })
        .await;
    assert_eq!(daemon.guest_says().await, GuestEvent::Listening);
    assert_eq!(daemon.guest_says().await, GuestEvent::Busy);
    assert_eq!(daemon.guest_says().await, GuestEvent::JobDone);
    assert_eq!(daemon.guest_says().await, GuestEvent::RunnerExited { code: 0 });
    assert_eq!(daemon.end().await, GuestEnd::ShutDown);

    daemon.destroy(&lab).await;
    let log = String::from_utf8(daemon.host.kept_log(VM, 1 << 20)).unwrap();
    assert!(log.contains("agent configured vm-42 192.168.241.2/29"), "{log}");
    assert!(log.contains(&format!("agent secret of {} bytes", secret.len())), "{log}");
    assert!(log.contains("out hello from the job"), "{log}");
    let console = String::from_utf8(daemon.host.kept_console(VM, 1 << 20)).unwrap();
    assert!(console.contains("flint-guest: bye"), "{console}");
    assert!(!log.contains(&secret[..64]) && !console.contains(&secret[..64]));
}

#[tokio::test]
async fn a_command_runs_once_and_gives_its_lines_and_its_exit_code() {
    let lab = Lab::new("agent");
    let daemon = Daemon::start(&lab);
    let mut lines = Vec::new();
    let words = vec!["net".to_owned()];
    let run = daemon.host.run_once(order(&lab), words, |line| lines.push(line.text.clone()));
    assert_eq!(within("running", run).await.unwrap(), 0);
    assert!(lines.contains(&"gateway 06:00:c0:a8:f1:01".to_owned()), "{lines:?}");
    daemon.destroy(&lab).await;
}

#[test]
fn the_next_daemon_takes_over_a_job_and_hears_its_end() {
    let lab = Lab::new("busy");
    in_a_daemons_life(async {
        let mut daemon = Daemon::start(&lab);
        daemon.launch(&lab).await;
        daemon.guest_says().await;
        daemon
            .arm(Work::Runner {
                jit_config: Secret::new("a secret".to_owned()),
                admits: None,
                repositories: None,
                ca_certificates: None,
            })
            .await;
        daemon.guest_says().await;
        assert_eq!(daemon.guest_says().await, GuestEvent::Busy);
    });
    in_a_daemons_life(async {
        let mut next = Daemon::start(&lab);
        assert_eq!(next.inventory().await.0, BTreeSet::from([VM]));
        next.host.adopt(VM, SLOT);
        lab.press_ctrl_alt_del().await;
        // What the last daemon had not acknowledged comes again before the end.
        let end = loop {
            match within("reporting the end", next.facts.recv()).await.map(host::Told::settle) {
                Some(Event::Host(HostEvent::Exited { vm: VM, end })) => break end,
                Some(Event::Guest { .. }) => {}
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(end, GuestEnd::ShutDown);
        next.destroy(&lab).await;
    });
}

/// Runs this as a process would: all tasks end with it, wherever they are.
fn in_a_daemons_life(life: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(life);
}

#[tokio::test]
async fn a_daemon_that_knows_nothing_but_the_id_destroys_everything_of_it() {
    let lab = Lab::new("agent");
    let mut daemon = Daemon::start(&lab);
    daemon.launch(&lab).await;
    daemon.guest_says().await;
    let stranger = Daemon::start(&lab);
    stranger.destroy(&lab).await;
    assert!(stranger.host.launch(order(&lab)).await.is_err(), "a late order finds a tombstone");
    assert_eq!(stranger.inventory().await, (BTreeSet::new(), BTreeSet::new()));
    lab.assert_nothing_left().await;
}

#[tokio::test]
async fn a_guest_that_crashes_in_its_job_is_reported_and_removed() {
    let lab = Lab::new("agent");
    let mut daemon = Daemon::start(&lab);
    daemon.launch(&lab).await;
    daemon.guest_says().await;
    daemon.arm(command(&["fault"])).await;
    assert_eq!(daemon.end().await, GuestEnd::Crashed);
    daemon.destroy(&lab).await;
}

#[tokio::test]
async fn a_launch_that_fails_half_way_leaves_what_destroy_removes() {
    let lab = Lab::new("agent");
    let daemon = Daemon::start(&lab);
    let order = order(&lab);
    let head = fs::read(&order.source.kernel).unwrap()[..256].to_vec();
    lab.file("vmlinux", &head);
    let refused = within("launching", daemon.host.launch(order)).await;
    let told = told(refused);
    assert!(told.contains("PUT /") && scratch(&lab).exists() && lab.jail().exists(), "{told}");
    daemon.destroy(&lab).await;
}

#[tokio::test]
async fn a_guest_that_never_answers_is_reported_at_its_deadline() {
    let lab = Lab::new("poweroff");
    let mut daemon = Daemon::start(&lab);
    let order = LaunchOrder { boot_timeout: Duration::from_millis(300), ..order(&lab) };
    within("launching", daemon.host.launch(order)).await.unwrap();
    match daemon.guest_says().await {
        GuestEvent::Failed { why } => assert!(why.contains("did not answer in time"), "{why}"),
        other => panic!("{other:?}"),
    }
    daemon.destroy(&lab).await;
}

#[tokio::test]
async fn microvms_side_by_side_have_their_own_gateway_user_and_disk() {
    let lab = Lab::new("agent");
    let daemon = Daemon::start(&lab);
    let source = source(&lab);
    let runs = (0..3).map(|n| {
        let order = LaunchOrder {
            vm: VmId(VM.0 + u64::from(n)),
            slot: Slot(SLOT.0 + n),
            source: source.clone(),
            ..order(&lab)
        };
        let daemon = &daemon;
        async move {
            let (mut lines, words) = (Vec::new(), vec!["net".to_owned()]);
            let run = daemon.host.run_once(order, words, |line| lines.push(line.text.clone()));
            let code = within("running", run).await.unwrap();
            (code, lines)
        }
    });
    for (code, lines) in futures_util::future::join_all(runs).await {
        assert_eq!(code, 0, "{lines:?}");
    }
    daemon.destroy(&lab).await;
}
