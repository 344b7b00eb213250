//! Launch, destroy and the conversation, over small made-up seams.

use super::{Error, Host, LaunchOrder, Layout, Options, Told};
use crate::images::{self, Bundle, Images, Source};
use crate::net::{self, Attached, Egress, Net, Refusals, Tally};
use crate::vmm::{self, Boot, Channel, Console, DiskRate, Inventory, Nic, Vmm};
use flint_core::event::{Event, GuestEnd, GuestEvent, HostEvent};
use flint_core::id::{HostId, Slot, VmId};
use flint_core::units::{MiB, Resources, Timestamp};
use flint_wire::host::Admits;
use flint_wire::{Network, Secret, Work};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};

const VM: VmId = VmId(42);
const SLOT: Slot = Slot(3);

/// What was asked of the seams, in order.
type Calls = Arc<Mutex<Vec<String>>>;

struct FakeVmm {
    calls: Calls,
    /// The guests' ends of the channels that were opened.
    guests: mpsc::UnboundedSender<UnixStream>,
    end: watch::Sender<Option<GuestEnd>>,
}

struct FakeNet(Calls, Arc<Mutex<BTreeSet<Slot>>>);
struct FakeImages(Calls);

impl Vmm for FakeVmm {
    async fn boot(&self, boot: Boot) -> Result<(), vmm::Error> {
        let drives = boot.drives.iter().map(|d| if d.writable { "rw" } else { "ro" });
        let drives = drives.collect::<Vec<_>>().join(" ");
        self.calls.lock().unwrap().push(format!("boot {} with {drives}", boot.vm));
        Ok(())
    }

    async fn exited(&self, _vm: VmId) -> GuestEnd {
        let mut end = self.end.subscribe();
        let end = end.wait_for(Option::is_some).await.unwrap();
        end.unwrap()
    }

    async fn kill(&self, vm: VmId) -> Result<(), vmm::Error> {
        self.calls.lock().unwrap().push(format!("kill {vm}"));
        self.end.send_if_modified(|end| end.replace(GuestEnd::Killed).is_none());
        Ok(())
    }

    async fn channel(&self, vm: VmId) -> Result<Channel, vmm::Error> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let gone = |_| vmm::Error::Channel { vm, source: std::io::ErrorKind::NotFound.into() };
        self.guests.send(theirs).map_err(gone)?;
        Ok(ours)
    }

    async fn inventory(&self) -> Result<Inventory, vmm::Error> {
        Ok(Inventory { alive: BTreeSet::from([VM]), present: BTreeSet::from([VM]) })
    }
}

impl Net for FakeNet {
    async fn attach(&self, slot: Slot, uid: u32, _: &Egress) -> Result<Attached, net::Error> {
        self.0.lock().unwrap().push(format!("attach {slot} for uid {uid}"));
        self.1.lock().unwrap().insert(slot);
        let nic = Nic { netns: "/n".into(), tap: "vmtap0".into(), mac: "m".into() };
        let guest =
            Network { address: "a".into(), gateway: "g".into(), dns: Vec::new(), ipv6: None };
        Ok(Attached { nic, guest })
    }

    async fn detach(&self, slot: Slot) -> Result<(), net::Error> {
        self.0.lock().unwrap().push(format!("detach {slot}"));
        self.1.lock().unwrap().remove(&slot);
        Ok(())
    }

    async fn refusals(&self, _: Slot) -> Result<Refusals, net::Error> {
        let names = BTreeMap::from([("evil.example".to_owned(), 1)]);
        Ok(Refusals { refused: Tally { names, ..Tally::default() }, ..Refusals::default() })
    }

    async fn attached(&self) -> Result<BTreeSet<Slot>, net::Error> {
        Ok(self.1.lock().unwrap().clone())
    }
}

impl Images for FakeImages {
    async fn ensure(&self, source: &Source) -> Result<Bundle, images::Error> {
        self.0.lock().unwrap().push("ensure".to_owned());
        let (kernel, base) = (source.kernel.clone(), source.image.clone());
        Ok(Bundle { kernel, initramfs: "/i".into(), base, modules: Some("/m".into()) })
    }

    async fn scratch_for(&self, vm: VmId, size: MiB) -> Result<PathBuf, images::Error> {
        self.0.lock().unwrap().push(format!("scratch {vm} of {size}"));
        Ok("/s".into())
    }

    async fn drop_for(&self, vm: VmId) -> Result<(), images::Error> {
        self.0.lock().unwrap().push(format!("drop {vm}"));
        Ok(())
    }

    async fn held(&self) -> Result<BTreeSet<VmId>, images::Error> {
        Ok(BTreeSet::from([VmId(7)]))
    }
}

/// A host, and everything a test holds of its outside.
struct Bench {
    host: Host<FakeVmm, FakeNet, FakeImages>,
    calls: Calls,
    guests: mpsc::UnboundedReceiver<UnixStream>,
    end: watch::Sender<Option<GuestEnd>>,
    events: mpsc::Receiver<Told>,
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Bench::at(tempfile::tempdir().unwrap())
    }

    /// The next daemon over the same directory. What the first one held is given back: it ends with the test.
    fn next_daemon(self) -> (Self, impl Sized) {
        let Bench { dir, host, calls, guests, end, events } = self;
        (Bench::at(dir), (host, calls, guests, end, events))
    }

    fn at(dir: tempfile::TempDir) -> Self {
        let calls = Calls::default();
        let (to_guests, guests) = mpsc::unbounded_channel();
        let (end, _) = watch::channel(None);
        let (to_events, events) = mpsc::channel(64);
        let vmm = FakeVmm { calls: calls.clone(), guests: to_guests, end: end.clone() };
        let net = FakeNet(calls.clone(), Arc::default());
        let options = Options { id: HostId(0), layout: Layout::new(dir.path()), uid_base: 123 };
        let host = Host::new(options, vmm, net, FakeImages(calls.clone()), to_events);
        Bench { host, calls, guests, end, events, dir }
    }

    fn order() -> LaunchOrder {
        LaunchOrder {
            vm: VM,
            slot: SLOT,
            shape: Resources { vcpus: 2, memory: MiB(512), disk: MiB(2048) },
            source: Source { kernel: "/k".into(), image: "/b".into() },
            egress: Egress::internet(),
            disk_rate: DiskRate::default(),
            boot_timeout: Duration::from_secs(30),
            console: Console::Kept,
        }
    }

    async fn guest(&mut self) -> Agent {
        Agent(BufReader::new(self.guests.recv().await.unwrap()))
    }

    /// A host whose guest has been configured and is ready.
    async fn ready() -> (Self, Agent) {
        let mut bench = Bench::new();
        bench.host.launch(Bench::order()).await.unwrap();
        let mut agent = bench.guest().await;
        agent.greet(false).await;
        assert!(agent.read().await.contains(r#""say":"configure","hostname":"vm-42""#));
        agent.say(r#"{"seq":1,"say":"ready","kernel_ms":900,"agent_ms":100}"#).await;
        assert!(matches!(bench.fact().await, GuestEvent::Ready { .. }));
        assert_eq!(agent.read().await, r#"{"say":"ack","seq":1}"#);
        (bench, agent)
    }

    async fn fact(&mut self) -> GuestEvent {
        match self.told().await.settle() {
            Event::Guest { vm: VM, said } => said,
            other => panic!("no guest's fact: {other:?}"),
        }
    }

    /// A fact that nobody has kept yet.
    async fn told(&mut self) -> Told {
        self.events.recv().await.unwrap()
    }

    async fn exit(&mut self) -> GuestEnd {
        match self.told().await.event {
            Event::Host(HostEvent::Exited { vm: VM, end }) => end,
            other => panic!("not the end: {other:?}"),
        }
    }

    fn calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }
}

/// The guest's side of a channel.
struct Agent(BufReader<UnixStream>);

impl Agent {
    async fn read(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.0.read_line(&mut line).await.unwrap(), 0, "the host hung up");
            if !line.trim().is_empty() {
                return line.trim().to_owned();
            }
        }
    }

    async fn say(&mut self, line: &str) {
        self.0.write_all(format!("{line}\n").as_bytes()).await.unwrap();
    }

    async fn greet(&mut self, configured: bool) {
        let hello: BTreeMap<String, serde_json::Value> =
            serde_json::from_str(&self.read().await).unwrap();
        let nonce = hello.get("nonce").unwrap();
        self.say(&format!(
            r#"{{"seq":0,"say":"hello","protocol":1,"nonce":{nonce},"agent":"t","boot_id":"b","kernel":"k","configured":{configured}}}"#
        ))
        .await;
    }
}

#[tokio::test]
async fn a_launch_is_disks_network_process_and_a_destroy_undoes_it_in_reverse() {
    let bench = Bench::new();
    bench.host.launch(Bench::order()).await.unwrap();
    let launch =
        ["ensure", "scratch vm-42 of 2 GiB", "attach 3 for uid 126", "boot vm-42 with ro rw ro"];
    assert_eq!(bench.calls(), launch);
    bench.host.destroy(VM, None).await.unwrap();
    assert_eq!(bench.calls(), ["kill vm-42", "detach 3", "drop vm-42"]);
    bench.host.destroy(VM, Some(SLOT)).await.unwrap();
    assert_eq!(bench.calls(), ["kill vm-42", "detach 3", "drop vm-42"]);
}

#[tokio::test]
async fn the_last_lines_of_a_log_say_where_the_guest_might_not_go() {
    let bench = Bench::new();
    bench.host.launch(Bench::order()).await.unwrap();
    bench.host.destroy(VM, None).await.unwrap();
    let log = String::from_utf8(bench.host.kept_log(VM, 1_000)).unwrap();
    assert!(log.ends_with(" agent egress: refused: the name evil.example, once\n"), "{log}");
}

#[tokio::test]
async fn what_a_guest_was_refused_is_known_while_it_is_there_and_afterwards() {
    let bench = Bench::new();
    bench.host.launch(Bench::order()).await.unwrap();
    let refused = ["egress: refused: the name evil.example, once"];
    assert_eq!(bench.host.refused(VM).await, refused);
    bench.host.destroy(VM, None).await.unwrap();
    assert_eq!(bench.host.refused(VM).await, refused);
    assert!(bench.host.refused(VmId(7)).await.is_empty());
}

#[tokio::test]
async fn a_launch_that_comes_after_the_destroy_is_refused() {
    let bench = Bench::new();
    bench.host.destroy(VM, Some(SLOT)).await.unwrap();
    bench.calls();
    assert!(matches!(bench.host.launch(Bench::order()).await, Err(Error::Destroyed { vm: VM })));
    assert!(bench.calls().is_empty());
}

#[tokio::test]
async fn a_repeated_destroy_leaves_the_slots_next_owner_its_network() {
    let bench = Bench::new();
    bench.host.launch(Bench::order()).await.unwrap();
    bench.host.destroy(VM, Some(SLOT)).await.unwrap();
    bench.host.launch(LaunchOrder { vm: VmId(43), ..Bench::order() }).await.unwrap();
    bench.calls();
    bench.host.destroy(VM, Some(SLOT)).await.unwrap();
    assert_eq!(bench.calls(), ["kill vm-42", "drop vm-42"]);
}

#[tokio::test]
async fn an_inventory_names_all_that_is_there_and_removes_networks_nobody_owns() {
    let bench = Bench::new();
    bench.host.launch(Bench::order()).await.unwrap();
    for slot in [1, 2] {
        bench.host.net.attach(Slot(slot), 0, &Egress::internet()).await.unwrap();
    }
    bench.calls();
    let found = bench.host.inventory(&BTreeSet::from([Slot(2)]), Timestamp(7)).await.unwrap();
    let HostEvent::Inventory { alive, present, .. } = found else { panic!("no inventory") };
    assert_eq!((alive, present), (BTreeSet::from([VM]), BTreeSet::from([VM, VmId(7)])));
    assert_eq!(bench.calls(), ["detach 1"]);
}

#[tokio::test]
async fn what_a_guest_says_becomes_facts_each_once() {
    let (mut bench, mut agent) = Bench::ready().await;
    let work = Work::Runner {
        jit_config: Secret::new("s3cret".to_owned()),
        admits: None,
        repositories: None,
        ca_certificates: None,
    };
    bench.host.arm(VM, work).await.unwrap();
    assert!(agent.read().await.contains(r#""kind":"runner","jit_config":"s3cret""#));
    let said = ["listening", "job_started", "listening", "job_started", "job_done"];
    for (seq, say) in (2..).zip(said) {
        agent.say(&format!(r#"{{"seq":{seq},"say":"{say}"}}"#)).await;
    }
    agent.say(r#"{"seq":7,"say":"from_the_future"}"#).await;
    agent.say(r#"{"seq":8,"say":"exited","code":0}"#).await;
    let mut facts = Vec::new();
    for _ in 0..4 {
        facts.push(bench.fact().await);
    }
    let once = [
        GuestEvent::Listening,
        GuestEvent::Busy,
        GuestEvent::JobDone,
        GuestEvent::RunnerExited { code: 0 },
    ];
    assert_eq!(facts, once);
    bench.end.send_replace(Some(GuestEnd::ShutDown));
    drop(agent);
    assert_eq!(bench.exit().await, GuestEnd::ShutDown);
}

#[tokio::test]
async fn an_agent_that_cannot_refuse_strangers_gets_no_secret_that_not_everybody_may_use() {
    let (mut bench, mut agent) = Bench::ready().await;
    let admits = Some(Admits { public: true, forks: false });
    let work = Work::Runner {
        jit_config: Secret::new("s3cret".to_owned()),
        admits,
        repositories: None,
        ca_certificates: None,
    };
    assert!(bench.host.arm(VM, work).await.is_err());
    let GuestEvent::Failed { why } = bench.fact().await else { panic!("it has failed") };
    assert!(why.contains("build the kernel bundle anew with `make kernel`"), "{why}");
    let mut rest = String::new();
    agent.0.read_to_string(&mut rest).await.unwrap();
    assert!(!rest.contains("s3cret"), "{rest}");
}

#[tokio::test]
async fn an_agent_that_cannot_install_certificates_gets_no_work_that_needs_them() {
    let (mut bench, mut agent) = Bench::ready().await;
    let work = Work::Runner {
        jit_config: Secret::new("s3cret".to_owned()),
        admits: None,
        repositories: None,
        ca_certificates: Some("-----BEGIN CERTIFICATE-----".to_owned()),
    };
    assert!(bench.host.arm(VM, work).await.is_err());
    let GuestEvent::Failed { why } = bench.fact().await else { panic!("it has failed") };
    assert!(why.contains("`github.ca_certificate`: build the kernel bundle anew"), "{why}");
    let mut rest = String::new();
    agent.0.read_to_string(&mut rest).await.unwrap();
    assert!(!rest.contains("s3cret"), "{rest}");
}

#[tokio::test]
async fn work_waits_until_the_guest_is_configured_and_comes_once() {
    let mut bench = Bench::new();
    bench.host.launch(Bench::order()).await.unwrap();
    let work = || Work::Command { argv: vec!["true".to_owned()] };
    let agent = async {
        let mut agent = Agent(BufReader::new(bench.guests.recv().await.unwrap()));
        agent.greet(false).await;
        let configure = agent.read().await;
        agent.say(r#"{"seq":1,"say":"ready","kernel_ms":1,"agent_ms":1}"#).await;
        (configure, agent.read().await, agent)
    };
    let (said, armed) = tokio::join!(agent, bench.host.arm(VM, work()));
    armed.unwrap();
    assert!(said.0.contains("configure") && said.1.contains("command"));
    let second = bench.host.arm(VM, work());
    let third = bench.host.arm(VM, work());
    let (second, third) = tokio::join!(biased_timeout(second), third);
    assert!(second.is_none() && matches!(third, Err(Error::Armed { vm: VM })));
}

/// `None` when it is not done at once.
async fn biased_timeout<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(Duration::ZERO, future).await.ok()
}

#[tokio::test]
async fn a_cut_in_the_middle_of_a_line_is_healed_by_a_new_hello() {
    let (mut bench, mut agent) = Bench::ready().await;
    bench.host.arm(VM, Work::Command { argv: vec!["a".to_owned()] }).await.unwrap();
    assert!(agent.read().await.contains("command"));
    agent.0.write_all(br#"{"seq":2,"say":"lis"#).await.unwrap();
    drop(agent);
    let mut agent = bench.guest().await;
    agent.say(r#"tening"}"#).await;
    agent.greet(true).await;
    assert!(agent.read().await.contains("command"), "nothing showed that the work arrived");
    agent.say(r#"{"seq":1,"say":"ready","kernel_ms":900,"agent_ms":100}"#).await;
    agent.say(r#"{"seq":2,"say":"listening"}"#).await;
    assert_eq!(bench.fact().await, GuestEvent::Listening);
}

#[tokio::test]
async fn a_guest_that_makes_no_sense_fails_with_its_consoles_last_words() {
    let (mut bench, mut agent) = Bench::ready().await;
    let console = bench.dir.path().join("logs/vm-42.console");
    std::fs::write(console, "Kernel panic - not syncing: of course").unwrap();
    agent.say("][").await;
    let GuestEvent::Failed { why } = bench.fact().await else { panic!("no failure") };
    assert!(why.contains("does not make sense") && why.contains("not syncing"), "{why}");
    bench.end.send_replace(Some(GuestEnd::ShutDown));
    assert_eq!(bench.exit().await, GuestEnd::Crashed);
}

#[tokio::test]
async fn a_line_without_end_fails_the_guest_not_the_daemon() {
    let (mut bench, mut agent) = Bench::ready().await;
    let flood = vec![b'x'; 2 * flint_wire::LINE_MAX];
    // The host hangs up in the middle of it.
    let _ = agent.0.write_all(&flood).await;
    assert!(matches!(bench.fact().await, GuestEvent::Failed { .. }));
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_never_answers_fails_at_the_boot_deadline() {
    let mut bench = Bench::new();
    bench.host.launch(Bench::order()).await.unwrap();
    let began = tokio::time::Instant::now();
    let GuestEvent::Failed { why } = bench.fact().await else { panic!("no failure") };
    assert!(why.contains("did not answer in time; its console is empty"), "{why}");
    assert_eq!(began.elapsed().as_secs(), 30);
}

#[tokio::test]
async fn an_adopted_guest_goes_on_where_it_was() {
    let mut bench = Bench::new();
    bench.host.adopt(VM, SLOT);
    let mut agent = bench.guest().await;
    agent.greet(true).await;
    agent.say(r#"{"seq":17,"say":"job_done"}"#).await;
    assert_eq!(agent.read().await, r#"{"say":"ack","seq":16}"#);
    assert_eq!(bench.fact().await, GuestEvent::JobDone);
    assert_eq!(agent.read().await, r#"{"say":"ack","seq":17}"#);
}

#[tokio::test]
async fn a_fact_is_acknowledged_when_it_is_kept_and_what_follows_it_not_before() {
    let (mut bench, mut agent) = Bench::ready().await;
    agent.say(r#"{"seq":2,"say":"listening"}"#).await;
    agent.say(r#"{"seq":3,"say":"log","stream":"out","text":"after it"}"#).await;
    let listening = bench.told().await;
    agent.say(r#"{"seq":4,"say":"job_started"}"#).await;
    let started = bench.told().await;
    // All is heard, and nothing can be said of it.
    assert_eq!(biased_timeout(agent.read()).await, None);
    listening.settle();
    assert_eq!(agent.read().await, r#"{"say":"ack","seq":3}"#);
    started.settle();
    assert_eq!(agent.read().await, r#"{"say":"ack","seq":4}"#);
}

#[tokio::test]
async fn a_daemon_that_died_before_its_commit_leaves_the_fact_to_the_next_one() {
    let (mut bench, mut agent) = Bench::ready().await;
    agent.say(r#"{"seq":2,"say":"listening"}"#).await;
    agent.say(r#"{"seq":3,"say":"log","stream":"out","text":"once"}"#).await;
    drop(bench.told().await);
    let (mut next, _first) = bench.next_daemon();
    next.host.adopt(VM, SLOT);
    let mut agent = next.guest().await;
    agent.greet(true).await;
    agent.say(r#"{"seq":2,"say":"listening"}"#).await;
    agent.say(r#"{"seq":3,"say":"log","stream":"out","text":"once"}"#).await;
    agent.say(r#"{"seq":4,"say":"log","stream":"out","text":"and more"}"#).await;
    assert_eq!(agent.read().await, r#"{"say":"ack","seq":1}"#);
    assert_eq!(next.fact().await, GuestEvent::Listening);
    assert_eq!(agent.read().await, r#"{"say":"ack","seq":4}"#);
    let log = String::from_utf8(next.host.kept_log(VM, 10_000)).unwrap();
    let texts: Vec<_> =
        log.lines().filter_map(|line| line.split_once(" out ")).map(|(_, t)| t).collect();
    assert_eq!(texts, ["once", "and more"]);
    let shown: Vec<_> = next.host.log(VM).unwrap().past.into_iter().map(|line| line.text).collect();
    assert_eq!(shown, ["once", "and more"]);
}

#[tokio::test]
async fn an_acknowledgement_that_was_lost_with_its_connection_is_given_again() {
    let (mut bench, agent) = Bench::ready().await;
    drop(agent);
    let mut agent = bench.guest().await;
    agent.greet(true).await;
    agent.say(r#"{"seq":1,"say":"ready","kernel_ms":900,"agent_ms":100}"#).await;
    assert_eq!(agent.read().await, r#"{"say":"ack","seq":1}"#);
}

#[tokio::test]
async fn a_whole_conversation_with_an_agent_of_the_oldest_version_has_not_changed_by_a_byte() {
    let golden = include_str!("../../../wire/tests/golden/conversation-1.txt");
    let mut bench = Bench::new();
    bench.host.launch(Bench::order()).await.unwrap();
    let mut agent = bench.guest().await;
    let mut nonce = String::new();
    for line in golden.lines() {
        if let Some(host) = line.strip_prefix("> ") {
            if host.contains("jit_config") {
                let work = Work::Runner {
                    jit_config: Secret::new("e30=".to_owned()),
                    admits: None,
                    repositories: None,
                    ca_certificates: None,
                };
                bench.host.arm(VM, work).await.unwrap();
            }
            let said = agent.read().await;
            if host.contains("{nonce}") {
                nonce = field(&said, "nonce");
            }
            let random = [
                ("{nonce}", &nonce),
                ("{entropy}", &field(&said, "entropy")),
                ("{time}", &field(&said, "time_unix_ns")),
            ];
            let expected = random
                .iter()
                .fold(host.to_owned(), |line, (name, value)| line.replace(name, value));
            assert_eq!(said, expected);
        } else if let Some(guest) = line.strip_prefix("< ") {
            agent.say(&guest.replace("{nonce}", &nonce)).await;
            if ["ready", "listening", "job_started", "job_done", "exited"]
                .iter()
                .any(|say| guest.contains(&format!(r#""say":"{say}""#)))
            {
                bench.fact().await;
            }
        }
    }
    let log = String::from_utf8(bench.host.kept_log(VM, 10_000)).unwrap();
    for text in [
        "2 out √ Connected to GitHub",
        "5 err a line that was longer",
        "6 agent 9 lines were lost here",
    ] {
        assert!(log.contains(text), "{log}");
    }
}

/// A field of a line as text, without its quotes; empty when it has none.
fn field(line: &str, name: &str) -> String {
    let fields: BTreeMap<String, serde_json::Value> = serde_json::from_str(line).unwrap();
    fields
        .get(name)
        .map_or_else(String::new, |value| value.to_string().trim_matches('"').to_owned())
}

#[tokio::test]
async fn an_agent_of_a_newer_version_or_with_a_garbled_hello_fails_with_the_reason() {
    for (protocol, why) in [
        ("2", "speaks version 2, this flint version 1"),
        ("0", "version 0"),
        ("\"two\"", "message `hello`"),
    ] {
        let mut bench = Bench::new();
        bench.host.launch(Bench::order()).await.unwrap();
        let mut agent = bench.guest().await;
        let nonce = field(&agent.read().await, "nonce");
        let rest = r#""agent":"t","boot_id":"b","kernel":"k","configured":false"#;
        agent
            .say(&format!(
                r#"{{"seq":0,"say":"hello","protocol":{protocol},"nonce":"{nonce}",{rest}}}"#
            ))
            .await;
        let GuestEvent::Failed { why: said } = bench.fact().await else { panic!("no failure") };
        assert!(said.contains(why), "{said}");
    }
}

#[tokio::test]
async fn what_a_guest_said_before_it_died_is_heard_before_its_end() {
    let (mut bench, mut agent) = Bench::ready().await;
    agent.say(r#"{"seq":2,"say":"exited","code":3}"#).await;
    bench.end.send_replace(Some(GuestEnd::ShutDown));
    drop(agent);
    assert_eq!(bench.fact().await, GuestEvent::RunnerExited { code: 3 });
    assert_eq!(bench.exit().await, GuestEnd::ShutDown);
}

#[tokio::test]
async fn an_end_is_told_at_once_although_the_stream_broke_before_it() {
    let (mut bench, agent) = Bench::ready().await;
    bench.guests.close();
    drop(agent);
    tokio::time::pause();
    // Time to see the cut and to knock again in vain.
    tokio::time::advance(Duration::from_millis(200)).await;
    let died = tokio::time::Instant::now();
    bench.end.send_replace(Some(GuestEnd::Crashed));
    assert_eq!(bench.exit().await, GuestEnd::Crashed);
    assert!(died.elapsed() < Duration::from_secs(1), "{:?}", died.elapsed());
}

#[tokio::test]
async fn a_run_prints_the_commands_lines_and_gives_its_code() {
    let mut bench = Bench::new();
    let (mut guests, end) = (bench.guests, bench.end.clone());
    let agent = async {
        let mut agent = Agent(BufReader::new(guests.recv().await.unwrap()));
        agent.greet(false).await;
        agent.read().await;
        agent.say(r#"{"seq":1,"say":"ready","kernel_ms":1,"agent_ms":1}"#).await;
        assert!(agent.read().await.contains("command"));
        for n in 2..200 {
            agent.say(&format!(r#"{{"seq":{n},"say":"log","stream":"out","text":"{n}"}}"#)).await;
        }
        agent.say(r#"{"seq":200,"say":"exited","code":5}"#).await;
        agent.say(r#"{"seq":201,"say":"bye"}"#).await;
        end.send_replace(Some(GuestEnd::ShutDown));
    };
    let mut printed = Vec::new();
    let argv = vec!["seq".to_owned()];
    let run = bench.host.run_once(Bench::order(), argv, |line| printed.push(line.text.clone()));
    let ((), code) = tokio::join!(agent, run);
    assert_eq!(code.unwrap(), 5);
    assert_eq!(printed, (2..200).map(|n| n.to_string()).collect::<Vec<_>>());
    bench.events.close();
    assert_eq!(bench.calls.lock().unwrap().last().unwrap(), "drop vm-42");
}
