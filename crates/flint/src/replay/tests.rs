//! What a replay shows, what it refuses, and that stand-ins change nothing but names.

use super::*;
use crate::store::Entry;
use flint_core::ask::{AskFailure, Budget, Found, Question, Quota};
use flint_core::breaker::Breaker;
use flint_core::event::{
    Event, ForgeEvent, GuestEnd, GuestEvent, HostEvent, OperatorEvent, RegisterFailure,
};
use flint_core::forge::{Deliveries, Due, Repository};
use flint_core::host::Host;
use flint_core::id::{
    HostId, InstallationId, JobKey, ProfileId, RunnerId, RunnerName, ScopeId, VmId,
};
use flint_core::job::{Conclusion, Job, JobRequest};
use flint_core::limits::Limits;
use flint_core::plan::Action;
use flint_core::policy::{Admits, Origin, Repositories};
use flint_core::profile::{Profile, Timeouts};
use flint_core::scale_set::Source;
use flint_core::units::{MiB, Resources, Timestamp};
use flint_core::world::World;
use std::collections::BTreeSet;
use std::io::Read;
use std::time::Duration;

const NOW: Timestamp = Timestamp(1_790_000_000_000);
const VM: VmId = VmId(1);
const JOB: JobKey = JobKey { id: 7, attempt: 1 };
const INSTANCE: &str = "zqzqz7";

/// Each name of these tests has this in it, so that none can hide.
const MARK: &str = "zq";

fn profile_id(name: &str) -> ProfileId {
    ProfileId::new(name).unwrap()
}

fn profile(labels: &[&str], vcpus: u32) -> Profile {
    Profile {
        scope: None,
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        shape: Resources { vcpus, memory: MiB(4096), disk: MiB(20_480) },
        warm: 0,
        max: 4,
        priority: 0,
        admits: Admits::default(),
        repositories: Repositories {
            only: ["zqocto/*".to_owned()].into(),
            except: ["zqocto/zqsecret".to_owned()].into(),
        },
        sizes: None,
        made_of: None,
        source: Source::Webhook,
        timeouts: Timeouts {
            boot: Duration::from_secs(120),
            register: Duration::from_secs(120),
            idle: Duration::from_secs(240),
            job: Duration::from_secs(3_600),
        },
    }
}

fn scope() -> ScopeId {
    ScopeId::organization("zqOcto")
}

fn installation() -> InstallationId {
    InstallationId::new("zqocto")
}

fn started() -> Event {
    let capacity = Resources { vcpus: 4, memory: MiB(32_768), disk: MiB(1_048_576) };
    let host = Host { capacity, slots: 8, draining: false, seen: NOW, scan_at: NOW };
    let profiles = [
        (profile_id("zqlinux"), profile(&["zq-hosted", "zqlinux"], 2)),
        // Serves the same labels: the first by name gets the jobs.
        (profile_id("a-zqlinux"), profile(&["zq-hosted", "zqlinux"], 2)),
        (profile_id("zqbig"), profile(&["zqbig"], 64)),
    ];
    let limits = Limits {
        per_repository: Some(3),
        per_owner: None,
        repositories: [("zqocto/zqwidgets".to_owned(), 2)].into(),
        owners: [("zqocto".to_owned(), 3)].into(),
    };
    Event::Started {
        profiles: profiles.into(),
        hosts: [(HostId(0), host)].into(),
        limits,
        scopes: [(scope(), installation())].into(),
        readers: [installation()].into(),
    }
}

fn request(name: &str, labels: &[&str]) -> JobRequest {
    JobRequest {
        repository: "zqOcto/zqwidgets".to_owned(),
        workflow: "zqCI".to_owned(),
        name: name.to_owned(),
        labels: labels.iter().map(|label| (*label).to_owned()).collect(),
        run_id: 9,
        url: "https://zq.example/octo/widgets/actions/runs/9".to_owned(),
        scale_set: None,
        origin: Origin::PRIVATE,
    }
}

fn queued(id: u64, name: &str, labels: &[&str]) -> Event {
    let job = JobKey { id, attempt: 1 };
    Event::Forge(ForgeEvent::JobQueued { job, request: request(name, labels) })
}

fn runner() -> RunnerName {
    RunnerName::of(VM, &profile_id("a-zqlinux"), INSTANCE, 1)
}

fn guest(said: GuestEvent) -> Event {
    Event::Guest { vm: VM, said }
}

/// The life of a job, a turn each; beside it one that no profile serves and one that is too big.
fn story() -> Vec<Vec<Event>> {
    let labels = ["ZQ-hosted", "zqlinux"];
    let job = request("zqbuild", &labels);
    let ended = |conclusion: &str| ForgeEvent::JobCompleted {
        job: JOB,
        request: job.clone(),
        runner: Some(runner()),
        conclusion: Conclusion(conclusion.to_owned()),
    };
    let began = ForgeEvent::JobStarted { job: JOB, request: job.clone(), runner: Some(runner()) };
    let runner = RunnerId(99);
    vec![
        vec![started()],
        vec![queued(7, "zqbuild", &labels), queued(8, "zq\u{1b}[2J\nnobody", &["zqnobody"])],
        vec![queued(9, "zqbig", &["zqbig"])],
        vec![Event::Host(HostEvent::LaunchBegan { vm: VM, committed: NOW })],
        vec![
            guest(GuestEvent::Ready { kernel_up: NOW, runner: None }),
            Event::Forge(ForgeEvent::Registered { vm: VM, scope: scope(), attempt: 1, runner }),
        ],
        vec![guest(GuestEvent::Listening)],
        vec![Event::Forge(began), guest(GuestEvent::Busy)],
        vec![Event::Tick],
        vec![guest(GuestEvent::JobDone), Event::Forge(ended("success"))],
        vec![guest(GuestEvent::RunnerExited { code: 0 })],
        vec![Event::Host(HostEvent::DestroyFailed { vm: VM, why: "zq is busy".to_owned() })],
        vec![Event::Host(HostEvent::Destroyed { vm: VM })],
        vec![Event::Forge(ForgeEvent::Deregistered { vm: VM })],
    ]
}

fn snapshot() -> Entry {
    let world = World { instance: INSTANCE.to_owned(), next_vm: 1, ..World::default() };
    let world = Box::new(world);
    Entry::World { seq: 40, at: NOW, version: "0.1.0".to_owned(), world }
}

/// The entries of a log, a second between two turns.
fn log(turns: Vec<Vec<Event>>) -> Vec<Entry> {
    let mut entries = vec![snapshot()];
    let mut seq = 40;
    for (n, events) in (0..).zip(turns) {
        let (at, turn) = (NOW.after(Duration::from_secs(n)), seq + 1);
        for event in events {
            seq += 1;
            entries.push(Entry::Fact { seq, at, turn, event });
        }
    }
    entries
}

fn header() -> Header {
    Header {
        format: FORMAT,
        version: "0.9.0".to_owned(),
        instance: INSTANCE.to_owned(),
        written: NOW,
        names: Names::Kept,
    }
}

fn text(entries: &[Entry]) -> String {
    let lines = entries.iter().map(|entry| entry_line(entry.clone()).unwrap());
    header_line(&header()).unwrap() + &lines.collect::<String>()
}

fn parsed(text: &str) -> Result<Vec<Entry>, Error> {
    let mut log = Log::open(text.as_bytes())?;
    let mut entries = Vec::new();
    while let Some(entry) = log.next_entry()? {
        entries.push(entry);
    }
    Ok(entries)
}

fn replayed(entries: Vec<Entry>) -> (Vec<Step>, Walk) {
    let mut walk = Walk::default();
    let mut steps: Vec<Step> = entries.into_iter().filter_map(|entry| walk.take(entry)).collect();
    steps.extend(walk.end());
    (steps, walk)
}

fn shown(steps: &[Step]) -> String {
    steps.iter().map(show_step).collect::<Vec<_>>().join("\n")
}

fn anonymous(entries: &[Entry]) -> Vec<Entry> {
    let mut names = Gathered::new(INSTANCE);
    entries.iter().cloned().for_each(|entry| names.add(entry));
    let stand_ins = names.finish();
    let mut entries = entries.to_vec();
    entries.iter_mut().for_each(|entry| stand_ins.replace(entry));
    entries
}

#[test]
fn the_life_of_a_job_is_shown_with_what_followed_from_each_fact() {
    let (steps, _) = replayed(parsed(&text(&log(story()))).unwrap());
    insta::assert_snapshot!(shown(&steps), @r#"
    #41 2026-09-21T14:13:20.000Z the daemon started: profiles a-zqlinux zqbig zqlinux; hosts h-0; scopes zqocto
        profile a-zqlinux: [zq-hosted zqlinux], 2 vCPUs, 4 GiB memory, 20 GiB disk, warm 0, max 4, priority 0
        profile zqbig: [zqbig], 64 vCPUs, 4 GiB memory, 20 GiB disk, warm 0, max 4, priority 0
        profile zqlinux: [zq-hosted zqlinux], 2 vCPUs, 4 GiB memory, 20 GiB disk, warm 0, max 4, priority 0
        h-0: 8 slots, 4 vCPUs, 32 GiB memory, 1024 GiB disk
        installation zqocto: takes calls from 1970-01-01T00:00:00.000Z on
        scope zqocto: takes registrations; reached by zqocto
        limits: none a repository, none an owner -> 3 a repository, none an owner; zqocto/zqwidgets 2; zqocto 3
        order: scan h-0
        order: ask GitHub about failed deliveries of zqocto since 2026-09-20T14:10:20.000Z
        order: ask GitHub about our runners in zqocto
        order: ask GitHub about active repositories in zqocto
        order: ask GitHub about releases of its runner, as zqocto
    #42 2026-09-21T14:13:21.000Z GitHub: job 7 is queued: `zqbuild` of zqCI in zqOcto/zqwidgets, for [ZQ-hosted zqlinux]
        job 7: queued for a-zqlinux
        repository zqOcto/zqwidgets: is followed
    #43 2026-09-21T14:13:21.000Z GitHub: job 8 is queued: `zq\u{1b}[2J\nnobody` of zqCI in zqOcto/zqwidgets, for [zqnobody]
        job 8: queued for no profile
        plan: vm-1: launching; try 1 is asked for
        order: launch vm-1 on h-0 in slot 0 for a-zqlinux
        order: register vm-1 on h-0 in zqocto as `vm-1-a-zqlinux-zqzqz7`, try 1
        wait: job 7: vm-1 is on its way to it, or to a job like it
        wait: job 8: no profile has all the labels it asks for
    #44 2026-09-21T14:13:22.000Z GitHub: job 9 is queued: `zqbig` of zqCI in zqOcto/zqwidgets, for [zqbig]
        job 9: queued for zqbig
        wait: job 9: its shape is bigger than any host: 64 vCPUs, 4 GiB memory, 20 GiB disk
    #45 2026-09-21T14:13:23.000Z host: vm-1 is being launched, planned at 2026-09-21T14:13:20.000Z
    #46 2026-09-21T14:13:24.000Z guest: vm-1 is ready, its kernel ran at 2026-09-21T14:13:20.000Z
        vm-1: launching; try 1 is asked for -> registering; try 1 is asked for
    #47 2026-09-21T14:13:24.000Z GitHub: vm-1 is registered in zqocto, try 1, runner 99
        vm-1: registering; try 1 is asked for -> registering; try 1 is runner 99
    #48 2026-09-21T14:13:25.000Z guest: the runner of vm-1 listens
        vm-1: registering; try 1 is runner 99 -> listening; try 1 is runner 99
    #49 2026-09-21T14:13:26.000Z GitHub: job 7 began on `vm-1-a-zqlinux-zqzqz7`
        job 7: queued for a-zqlinux -> runs in vm-1
        vm-1: listening; try 1 is runner 99 -> busy with job 7; try 1 is runner 99
    #50 2026-09-21T14:13:26.000Z guest: the runner of vm-1 has a job
        wait: job 7 waits no more
    #51 2026-09-21T14:13:27.000Z time passed
    #52 2026-09-21T14:13:28.000Z guest: the job in vm-1 is done
    #53 2026-09-21T14:13:28.000Z GitHub: job 7 ended with `success` on `vm-1-a-zqlinux-zqzqz7`
        job 7 is gone, was: runs in vm-1
    #54 2026-09-21T14:13:29.000Z guest: the runner of vm-1 ended with 0
        vm-1: busy with job 7; try 1 is runner 99 -> stopping: JobDone, host not clean; try 1 is runner 99
        order: destroy vm-1 on h-0, slot 0
    #55 2026-09-21T14:13:30.000Z host: vm-1 could not be destroyed: zq is busy
        vm-1: stopping: JobDone, host not clean; try 1 is runner 99 -> stopping: JobDone, host not clean; try 1 is runner 99; trouble: zq is busy
    #56 2026-09-21T14:13:31.000Z host: nothing is left of vm-1
        vm-1 is gone, was: stopping: JobDone, host not clean; try 1 is runner 99; trouble: zq is busy
    #57 2026-09-21T14:13:32.000Z GitHub: vm-1 has no registration left
    "#);
}

#[test]
fn the_world_at_a_fact_is_shown_whole() {
    let mut entries = log(story());
    entries.truncate(9);
    let (_, walk) = replayed(entries);
    insta::assert_snapshot!(show_world(&walk), @r#"
    profiles:
      a-zqlinux: [zq-hosted zqlinux], 2 vCPUs, 4 GiB memory, 20 GiB disk, warm 0, max 4, priority 0
      zqbig: [zqbig], 64 vCPUs, 4 GiB memory, 20 GiB disk, warm 0, max 4, priority 0
      zqlinux: [zq-hosted zqlinux], 2 vCPUs, 4 GiB memory, 20 GiB disk, warm 0, max 4, priority 0
    breakers: none
    hosts:
      h-0: 8 slots, 4 vCPUs, 32 GiB memory, 1024 GiB disk, heard of at 2026-09-21T14:13:20.000Z
    limits:
      3 a repository, none an owner; zqocto/zqwidgets 2; zqocto 3
    installations:
      zqocto: takes calls from 1970-01-01T00:00:00.000Z on
    scopes:
      zqocto: takes registrations; reached by zqocto
    repositories:
      zqOcto/zqwidgets
    jobs:
      7: queued for a-zqlinux; `zqbuild` of zqCI in zqOcto/zqwidgets, for [ZQ-hosted zqlinux]; attempt 1, since 2026-09-21T14:13:21.000Z
      8: queued for no profile; `zq\u{1b}[2J\nnobody` of zqCI in zqOcto/zqwidgets, for [zqnobody]; attempt 1, since 2026-09-21T14:13:21.000Z
      9: queued for zqbig; `zqbig` of zqCI in zqOcto/zqwidgets, for [zqbig]; attempt 1, since 2026-09-21T14:13:22.000Z
    jobs that ended lately: none
    microVMs:
      vm-1: a-zqlinux, h-0 slot 0, 2 vCPUs, 4 GiB memory, 20 GiB disk; listening; try 1 is runner 99; since 2026-09-21T14:13:25.000Z
    strays: none
    orders:
      scan h-0
      ask GitHub about failed deliveries of zqocto since 2026-09-20T14:10:20.000Z
      ask GitHub about our runners in zqocto
      ask GitHub about releases of its runner, as zqocto
      ask GitHub about active repositories in zqocto
    waits:
      wait: job 7: vm-1 is on its way to it, or to a job like it
      wait: job 8: no profile has all the labels it asks for
      wait: job 9: its shape is bigger than any host: 64 vCPUs, 4 GiB memory, 20 GiB disk
    next microVM: vm-2
    "#);
}

#[test]
fn a_log_comes_back_as_it_was_written() {
    let entries = log(story());
    assert_eq!(parsed(&text(&entries)).unwrap(), entries);
    assert_eq!(Log::open(text(&entries).as_bytes()).unwrap().header(), &header());
}

#[test]
fn facts_of_one_commit_are_planned_for_together() {
    let together = log(vec![vec![started()], vec![queued(1, "zq", &["zqlinux"]), completed(1)]]);
    let apart = log(vec![vec![started()], vec![queued(1, "zq", &["zqlinux"])], vec![completed(1)]]);
    let launches = |entries| {
        let (steps, _) = replayed(entries);
        let orders = steps.into_iter().flat_map(|step| step.orders);
        orders.filter(|order| matches!(order, Action::Launch { .. })).count()
    };
    assert_eq!((launches(together), launches(apart)), (0, 1));
}

fn completed(id: u64) -> Event {
    Event::Forge(ForgeEvent::JobCompleted {
        job: JobKey { id, attempt: 1 },
        request: request("zq", &["zqlinux"]),
        runner: None,
        conclusion: Conclusion("zqword".to_owned()),
    })
}

#[test]
fn a_world_that_the_daemon_wrote_otherwise_is_shown_and_taken() {
    let mut entries = log(story());
    entries.truncate(2);
    let Entry::World { world, .. } = snapshot() else { panic!("it is a world") };
    entries.push(Entry::World { seq: 41, at: NOW, version: "0.2.0".to_owned(), world });
    let (steps, walk) = replayed(entries);
    assert!(shown(&steps).contains("h-0 is gone"), "{}", shown(&steps));
    assert!(walk.world().hosts.is_empty());
}

#[test]
fn what_audit_finds_is_shown() {
    let mut entries = log(vec![vec![Event::Tick]]);
    let Entry::World { world, .. } = &mut entries[0] else { panic!("it is a world") };
    world.finished.insert(JOB, NOW);
    world.jobs.insert(JOB, Job::queued(request("zq", &[]), None, NOW));
    let (steps, _) = replayed(entries);
    let wrong = "WRONG: job 7 has completed, and its row is still here";
    assert!(shown(&steps).contains(wrong), "{}", shown(&steps));
}

/// An error as a person reads it.
fn refused(text: &str) -> String {
    let error = parsed(text).expect_err("it is no good log");
    let help = error.help();
    crate::error::Problem::new(crate::error::Exit::Failed, error).help(help).render(false)
}

#[test]
fn what_is_no_log_is_refused_with_the_line_the_cause_and_the_way_out() {
    let good = text(&log(story()));
    let lines: Vec<&str> = good.lines().collect();
    let with = |n: usize, line: &str| {
        let mut lines = lines.clone();
        lines[n] = line;
        lines.join("\n")
    };
    let without = |n: usize| {
        let mut lines = lines.clone();
        lines.remove(n);
        lines.join("\n")
    };
    let newer = lines[2].replace("Started", "Reincarnated");
    let both = lines[2].replacen('{', &format!("{{\"world\":{},", world_of(lines[1])), 1);
    let refusals = [
        ("empty", String::new()),
        ("no header", without(0)),
        ("no JSON at all", "hello\n".to_owned()),
        ("another format", with(0, &lines[0].replace("\"flint-events\":1", "\"flint-events\":2"))),
        ("header alone", lines[0].to_owned()),
        ("no world", without(1)),
        ("no JSON", with(3, "{\"seq\": 42, oops}")),
        ("not text", with(3, "\u{fffd}\u{1b}[2J")),
        ("cut", good[..good.len() - 20].to_owned()),
        ("a newer fact", with(2, &newer)),
        ("both", with(2, &both)),
        ("neither", with(2, "{\"seq\":41,\"at\":0}")),
        ("a gap", without(5)),
        ("twice", with(5, lines[4])),
        ("a number that cannot be", with(3, &lines[3].replace("\"seq\":42", "\"seq\":-1"))),
    ];
    let told = refusals.map(|(name, text)| format!("{name}\n{}", refused(&text)));
    insta::assert_snapshot!(told.join("\n"), @r#"
    empty
    error: cannot replay an empty file
      help: `flint export -o FILE` writes such a log
    no header
    error: cannot find an event log's header in line 1
      because: missing field `flint-events` at line 1 column 364
      help: `flint export -o FILE` writes such a log
    no JSON at all
    error: cannot find an event log's header in line 1
      because: expected value at line 1 column 1
      help: `flint export -o FILE` writes such a log
    another format
    error: cannot read a log of format 2: this flint knows format 1
      help: replay it with the flint that exported it
    header alone
    error: cannot fold from line 2: the world before the facts is missing
      help: the lines of `flint export` must stay whole and in their order
    no world
    error: cannot fold from line 2: the world before the facts is missing
      help: the lines of `flint export` must stay whole and in their order
    no JSON
    error: cannot read line 4 as JSON
      because: key must be a string at line 1 column 13
      help: was the file changed after `flint export`? Export it again
    not text
    error: cannot read line 4 as JSON
      because: expected value at line 1 column 1
      help: was the file changed after `flint export`? Export it again
    cut
    error: cannot read line 19 as JSON
      because: EOF while parsing a string at line 1 column 63
      help: the file was cut: its first 18 lines can be replayed
    a newer fact
    error: cannot make sense of line 3
      because: unknown variant `Reincarnated`, expected one of `Started`, `Forge`, `Host`, `Guest`, `Operator`, `Tick` at line 1 column 61
      help: flint 0.9.0 exported it, and this is flint 0.1.0: replay it with that one
    both
    error: cannot make sense of line 3: it must hold either a fact or a world
      help: was the file changed after `flint export`? Export it again
    neither
    error: cannot make sense of line 3: it must hold either a fact or a world
      help: was the file changed after `flint export`? Export it again
    a gap
    error: cannot follow line 6: its number is 45, and the one before is 43
      help: the lines of `flint export` must stay whole and in their order
    twice
    error: cannot follow line 6: its number is 43, and the one before is 43
      help: the lines of `flint export` must stay whole and in their order
    a number that cannot be
    error: cannot make sense of line 4
      because: invalid value: integer `-1`, expected u64 at line 1 column 9
      help: flint 0.9.0 exported it, and this is flint 0.1.0: replay it with that one
    "#);
}

fn world_of(line: &str) -> String {
    serde_json::from_str::<serde_json::Value>(line).unwrap()["world"].to_string()
}

#[test]
fn a_gigantic_line_is_not_taken_into_memory() {
    let endless = std::io::BufReader::new(std::io::repeat(b'x'));
    let error = Log::open_with(endless, 1_000).expect_err("it never ends");
    assert!(matches!(error, Error::TooLong { line: 1, limit: 1_000 }), "{error:?}");
    let header = header_line(&header()).unwrap();
    let endless = header.as_bytes().chain(std::io::repeat(b'['));
    let mut log = Log::open_with(std::io::BufReader::new(endless), 1_000).unwrap();
    let error = log.next_entry().expect_err("it never ends");
    assert!(matches!(error, Error::TooLong { line: 2, .. }), "{error:?}");
}

/// Every fact and every row that holds a text, each text with the mark.
fn every_text() -> Vec<Entry> {
    let mut turns = story();
    let why = || "zq: no such device".to_owned();
    let transient = RegisterFailure::Transient;
    let stranger = Some(RunnerName::told("zq-hosted 12"));
    let second = Some(RunnerName::of(VmId(3), &profile_id("zqgone"), INSTANCE, 2));
    let other = JobKey { id: 10, attempt: 1 };
    turns.push(vec![
        Event::Forge(ForgeEvent::RegisterFailed {
            vm: VM,
            scope: ScopeId::enterprise("zqbig"),
            attempt: 1,
            failure: transient,
            why: why(),
        }),
        Event::Forge(ForgeEvent::DeregisterFailed { vm: VM, why: why() }),
        Event::Host(HostEvent::LaunchFailed { vm: VM, why: why() }),
        Event::Host(HostEvent::Exited { vm: VM, end: GuestEnd::Crashed }),
        guest(GuestEvent::Failed { why: why() }),
        Event::Operator(OperatorEvent::Reset { profile: profile_id("zqelse") }),
        Event::Forge(ForgeEvent::JobStarted {
            job: other,
            request: request("zqother", &[]),
            runner: stranger,
        }),
        Event::Forge(ForgeEvent::JobStarted {
            job: JOB,
            request: request("zq", &[]),
            runner: second,
        }),
        completed(10),
    ]);
    turns.push(answers());
    let mut entries = log(turns);
    // The world of the story's middle has a microVM, jobs and, here, bad luck.
    let (_, walk) = replayed(entries[..12].to_vec());
    let mut world = walk.world().clone();
    let breaker =
        Breaker { failures: 1, closed_until: NOW, open: false, why: "zq failed".to_owned() };
    world.breakers.insert(profile_id("zqlinux"), breaker.clone());
    let due = Due { at: NOW, failures: 1, why: Some("zq is away".to_owned()) };
    let known = world.scopes.get_mut(&scope()).unwrap();
    (known.breaker, known.runners, known.repositories) = (breaker, due.clone(), due.clone());
    let deliveries = Deliveries { until: NOW, due: due.clone() };
    world.installations.get_mut(&installation()).unwrap().deliveries = Some(deliveries);
    world.stray_runners.insert(VmId(70), ScopeId::repository("zqocto", "zqwidgets"));
    let repository = Repository { heard: NOW, jobs: due };
    world.repositories.insert("zqelse/zqthings".to_owned(), repository);
    world.vms.get_mut(&VM).unwrap().trouble = Some("zq trouble".to_owned());
    let Entry::Fact { seq, .. } = entries[entries.len() - 1] else { panic!("it is a fact") };
    let version = "0.1.0".to_owned();
    entries.push(Entry::World { seq, at: NOW, version, world: Box::new(world) });
    entries
}

/// What GitHub and the host answered when they were asked.
fn answers() -> Vec<Event> {
    let repository = || "zqocto/zqgadgets".to_owned();
    let why = || "zq: no answer".to_owned();
    let failed =
        |question| ForgeEvent::AskFailed { question, failure: AskFailure::Transient, why: why() };
    let quota = Quota { budget: Budget::App, limit: 5_000, remaining: 10, resets: NOW };
    let told = [
        ForgeEvent::DeliveriesRead { installation: installation(), asked: NOW },
        ForgeEvent::RepositoriesListed {
            scope: scope(),
            active: [repository()].into(),
            asked: NOW,
        },
        ForgeEvent::JobsListed { repository: repository(), queued: [JOB].into(), asked: NOW },
        ForgeEvent::JobAsked { job: JOB, found: Found::Held, asked: NOW },
        ForgeEvent::RunAsked {
            run: 7,
            repository: repository(),
            origin: Some(Origin::PRIVATE),
            over: false,
            asked: NOW,
        },
        failed(Question::Run { run: 7, repository: repository() }),
        failed(Question::Jobs { repository: repository() }),
        failed(Question::Job { job: JOB, repository: repository() }),
        failed(Question::Runners { scope: scope() }),
        failed(Question::RunnerReleases { installation: installation() }),
        ForgeEvent::Runners { scope: scope(), registered: [VM].into(), asked: NOW },
        ForgeEvent::QuotaLeft { installation: installation(), quota },
    ];
    let scan = Event::Host(HostEvent::ScanFailed { host: HostId(0), why: why() });
    told.map(Event::Forge).into_iter().chain([scan]).collect()
}

/// The texts in a value, without the names of its fields.
fn texts(value: &serde_json::Value, found: &mut BTreeSet<String>) {
    match value {
        serde_json::Value::String(text) => drop(found.insert(text.clone())),
        serde_json::Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        serde_json::Value::Object(fields) => fields.values().for_each(|item| texts(item, found)),
        _ => {}
    }
}

#[test]
fn no_name_and_no_strangers_text_survives_the_stand_ins() {
    let raw = every_text();
    // Whatever is no word of the core's own has the mark: the test would not see a field that had not.
    let mut found = BTreeSet::new();
    for entry in &raw {
        let line = entry_line(entry.clone()).unwrap();
        texts(&serde_json::from_str(&line).unwrap(), &mut found);
    }
    let ours = [
        "",
        "0.1.0",
        "Tick",
        "Admitted",
        "Queued",
        "Elsewhere",
        "Listening",
        "Busy",
        "JobDone",
        "Crashed",
        "Transient",
        "None",
        "Launching",
        "success",
        "Registering",
        "App",
        "Held",
        "Warm",
        "Webhook",
    ];
    let unmarked: Vec<&String> = found
        .iter()
        .filter(|text| !text.to_ascii_lowercase().contains(MARK) && !ours.contains(&text.as_str()))
        .collect();
    assert!(unmarked.is_empty(), "{unmarked:?}");
    let lines: String =
        anonymous(&raw).into_iter().map(|entry| entry_line(entry).unwrap()).collect();
    assert!(!lines.to_ascii_lowercase().contains(MARK), "{lines}");
    for piece in ["octo", "widgets", "nobody", "hosted", "device", "example", "CI"] {
        assert!(!lines.contains(piece), "{piece}: {lines}");
    }
}

/// An order without its names.
fn bare(action: &Action) -> String {
    match action {
        Action::Launch { vm, host, slot, profile: _ } => format!("launch {vm} {host} {slot}"),
        Action::Register { vm, host, attempt, .. } => format!("register {vm} {host} {attempt}"),
        Action::Deregister { vm, scope: _, names } => format!("deregister {vm} {}", names.len()),
        Action::Destroy { vm, host, slot } => format!("destroy {vm} {host} {slot:?}"),
        Action::Scan { host } => format!("scan {host}"),
        Action::Ask { question: Question::Jobs { .. } } => "ask for jobs".to_owned(),
        Action::Ask { question: Question::Job { job, .. } } => format!("ask for {job}"),
        Action::Ask { question: Question::Run { run, .. } } => format!("ask for run {run}"),
        Action::Ask { question: Question::Runners { .. } } => "ask for runners".to_owned(),
        Action::Ask { question: Question::RunnerReleases { .. } } => "ask for releases".to_owned(),
        Action::Ask { question: Question::Repositories { .. } } => "ask who is active".to_owned(),
        Action::Ask { question: Question::Deliveries { since, .. } } => {
            format!("ask for deliveries since {since}")
        }
    }
}

#[test]
fn with_stand_ins_the_same_is_decided() {
    let raw = every_text();
    let (steps, walk) = replayed(raw.clone());
    let (others, other) = replayed(anonymous(&raw));
    assert_eq!(steps.len(), others.len());
    for (one, two) in steps.iter().zip(&others) {
        let orders = |step: &Step| step.orders.iter().map(bare).collect::<Vec<_>>();
        assert_eq!(orders(one), orders(two));
        let waits = |step: &Step| {
            let kind = |cause| std::mem::discriminant::<flint_core::plan::Because>(cause);
            step.waits
                .iter()
                .map(|(job, cause)| (*job, cause.as_ref().map(kind)))
                .collect::<Vec<_>>()
        };
        assert_eq!(waits(one), waits(two));
        let count = |step: &Step| (step.planned.len(), step.notes.clone());
        assert_eq!(count(one), count(two));
        let changes =
            |step: &Step| step.facts.iter().map(|told| told.changes.len()).collect::<Vec<_>>();
        assert_eq!(changes(one), changes(two));
    }
    assert!(steps.iter().any(|step| !step.orders.is_empty()));
    assert_eq!(walk.world().vms.len(), other.world().vms.len());
    // It is the profile that is first by name.
    let first = |walk: &Walk| walk.world().vms.values().next().map(|vm| vm.profile.clone());
    assert_eq!(first(&walk), Some(profile_id("a-zqlinux")));
    assert_eq!(first(&other), Some(profile_id("profile-1")));
}

#[test]
fn the_same_log_gives_the_same_stand_ins_and_the_same_name_the_same_one() {
    let raw = every_text();
    assert_eq!(anonymous(&raw), anonymous(&raw));
    let told = shown(&replayed(anonymous(&raw)).0);
    // The labels of the job, one of them in capitals, are those of its profile.
    assert!(told.contains("profile profile-1: [label-1 label-3]"), "{told}");
    assert!(told.contains("for [label-1 label-3]"), "{told}");
    assert!(told.contains("vm-1-profile-1-anonym"), "{told}");
}
