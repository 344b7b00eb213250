//! What the store promises: nothing lost, nothing half, nobody else's file.

#[path = "tests/broken.rs"]
mod broken;
#[path = "tests/full_disk.rs"]
mod full_disk;
#[path = "tests/long_history.rs"]
mod long_history;
#[path = "tests/reader.rs"]
mod reader;
#[path = "tests/snapshots.rs"]
mod snapshots;

use super::prune::{DELIVERIES_KEPT, EVENTS_KEPT, RECORDS_KEPT};
use super::schema::{MIGRATIONS, backup_path};
use super::sqlite::{FILE, LOCK_FILE};
use super::*;
use flint_core::breaker::Breaker;
use flint_core::event::{Event, ForgeEvent, GuestEvent, HostEvent};
use flint_core::forge::{Deliveries, Installation, Scope};
use flint_core::host::Host;
use flint_core::id::{
    HostId, InstallationId, JobKey, ProfileId, RunnerId, RunnerName, ScopeId, Slot,
};
use flint_core::job::{Conclusion, Job, JobRequest, JobState};
use flint_core::limits::Limits;
use flint_core::policy::{Admits, Origin};
use flint_core::profile::{Profile, Timeouts};
use flint_core::scale_set::Source;
use flint_core::units::{MiB, Resources};
use flint_core::vm::{Phase, Reason, Registration, Times, Vm};
use rusqlite::Connection;
use std::path::Path;
use std::time::Duration;

const NOW: Timestamp = Timestamp(1_790_000_000_000);

fn open(directory: &Path) -> Sqlite {
    Sqlite::open(directory).expect("the store opens")
}

fn refused(directory: &Path) -> Error {
    Sqlite::open(directory).expect_err("the store is refused")
}

fn profile_id(name: &str) -> ProfileId {
    ProfileId::new(name).expect("the name is a profile's")
}

fn shape() -> Resources {
    Resources { vcpus: 4, memory: MiB(8192), disk: MiB(20_480) }
}

fn job(profile: Option<&str>, state: JobState) -> Job {
    let request = JobRequest {
        repository: "octo/\"quoted\" 日本 \u{0}".to_owned(),
        workflow: String::new(),
        name: "build'; drop table jobs; --".to_owned(),
        labels: vec!["self-hosted".to_owned(), "linux".to_owned()],
        run_id: u64::MAX,
        url: "https://github.com/octo/x/actions/runs/1".to_owned(),
        scale_set: None,
        origin: Origin::PRIVATE,
    };
    Job { state, ..Job::queued(request, profile.map(profile_id), NOW) }
}

fn vm(phase: Phase, registration: Registration) -> Vm {
    Vm {
        scope: Some(ScopeId::organization("octo")),
        job: None,
        profile: profile_id("linux-4"),
        host: HostId(0),
        slot: Slot(3),
        shape: shape(),
        phase,
        since: NOW,
        registration,
        failures: 2,
        retry_at: Timestamp(u64::MAX),
        times: Times {
            planned: NOW,
            ready: Some(NOW.after(Duration::from_secs(1))),
            ..Times::default()
        },
        trouble: Some("cannot\nboot".to_owned()),
    }
}

fn key(id: u64) -> JobKey {
    JobKey { id, attempt: 1 }
}

/// A world with an entry of every kind, and every phase.
fn rich(mut world: World) -> World {
    let timeouts = Timeouts {
        boot: Duration::from_millis(1_500),
        register: Duration::from_secs(60),
        idle: Duration::from_secs(240),
        job: Duration::from_hours(6),
    };
    let labels = ["self-hosted", "linux"].map(str::to_owned).into();
    let admits = Admits::default();
    let profile = Profile {
        scope: None,
        labels,
        shape: shape(),
        warm: 1,
        max: 8,
        priority: 0,
        admits,
        repositories: flint_core::policy::Repositories::default(),
        timeouts,
        sizes: None,
        made_of: None,
        source: Source::Webhook,
    };
    world.profiles.insert(profile_id("linux-4"), profile);
    let breaker = Breaker {
        failures: 5,
        closed_until: Timestamp(u64::MAX),
        open: true,
        why: "no".to_owned(),
    };
    world.breakers.insert(profile_id("linux-4"), breaker);
    let host = Host { capacity: shape(), slots: 64, draining: false, seen: NOW, scan_at: NOW };
    world.hosts.insert(HostId(0), host);
    world.jobs.insert(key(7), job(Some("linux-4"), JobState::Queued));
    world.jobs.insert(JobKey { id: u64::MAX, attempt: u32::MAX }, job(None, JobState::Elsewhere));
    world.jobs.insert(key(8), job(Some("linux-4"), JobState::Running(VmId(2))));
    world.finished.insert(key(6), NOW);
    let stopping =
        Phase::Stopping { reason: Reason::JobDone, host_clean: true, forge_clean: false };
    let held = Registration::Held { attempt: 2, runner: RunnerId(99) };
    let lives = [
        (Phase::Launching, Registration::None),
        (Phase::Warm, Registration::None),
        (Phase::Registering, Registration::Asked { attempt: 1 }),
        (Phase::Listening, held.clone()),
        (Phase::Busy(Some(key(8))), held.clone()),
        (Phase::Busy(None), held.clone()),
        (Phase::Retiring(Reason::Surplus), held.clone()),
        (stopping, held),
    ];
    for (id, (phase, registration)) in (1..).zip(lives) {
        world.vms.insert(VmId(id), vm(phase, registration));
    }
    world.next_vm = 9;
    world.stray_guests.insert((HostId(0), VmId(77)));
    let (octo, installation) = (ScopeId::organization("octo"), InstallationId::new("octo"));
    let deliveries = Some(Deliveries { until: NOW, ..Deliveries::default() });
    let known = Installation { deliveries, limited_until: NOW, ..Installation::default() };
    world.installations.insert(installation.clone(), known);
    world.scopes.insert(octo.clone(), Scope::of(installation));
    world.stray_runners.insert(VmId(78), octo);
    world
}

fn job_record(id: u64, vm: Option<u64>, completed: Timestamp) -> Record {
    Record::Job(JobRecord {
        key: key(id),
        job: job(Some("linux-4"), JobState::Queued),
        vm: vm.map(VmId),
        runner: Some(RunnerName::told("somebody's")),
        conclusion: Conclusion("success".to_owned()),
        completed,
    })
}

fn vm_record(id: u64, job: Option<u64>, gone: Timestamp) -> Record {
    Record::Vm(VmRecord {
        id: VmId(id),
        vm: vm(Phase::Warm, Registration::None),
        reason: Reason::JobDone,
        job: job.map(key),
        gone,
    })
}

fn change<'a>(at: Timestamp, records: &'a [Record]) -> Change<'a> {
    Change { at, events: &[], deliveries: &[], records }
}

#[test]
fn a_rich_world_comes_back_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let empty = store.load().unwrap();
    let world = rich(empty.clone());
    store.commit(&empty, &world, change(NOW, &[])).unwrap();
    drop(store);
    assert_eq!(open(directory.path()).load().unwrap(), world);
}

#[test]
fn a_commit_removes_what_is_gone_and_changes_what_differs() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let empty = store.load().unwrap();
    let full = rich(empty.clone());
    store.commit(&empty, &full, change(NOW, &[])).unwrap();
    let mut less = full.clone();
    less.vms.remove(&VmId(1));
    less.vms.get_mut(&VmId(2)).unwrap().phase = Phase::Listening;
    less.jobs.remove(&key(7));
    less.stray_guests.clear();
    less.stray_runners.clear();
    store.commit(&full, &less, change(NOW, &[])).unwrap();
    assert_eq!(store.load().unwrap(), less);
    let mut none = empty;
    none.next_vm = less.next_vm;
    store.commit(&less, &none, change(NOW, &[])).unwrap();
    assert_eq!(store.load().unwrap(), none);
}

#[test]
fn a_commit_writes_only_the_rows_that_differ() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let empty = store.load().unwrap();
    let world = rich(empty.clone());
    store.commit(&empty, &world, change(NOW, &[])).unwrap();
    let reader = Connection::open(directory.path().join(FILE)).unwrap();
    reader.execute("update vms set body = 'untouched' where id = 1", []).unwrap();
    let mut next = world.clone();
    next.vms.get_mut(&VmId(2)).unwrap().failures = 3;
    store.commit(&world, &next, change(NOW, &[])).unwrap();
    let body: String =
        reader.query_row("select body from vms where id = 1", [], |row| row.get(0)).unwrap();
    assert_eq!(body, "untouched");
}

#[test]
fn a_new_store_has_a_name_of_its_own_and_keeps_it() {
    let [one, two] = [(), ()].map(|()| tempfile::tempdir().unwrap());
    let name = open(one.path()).load().unwrap().instance;
    assert_eq!(name.len(), 6);
    assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "{name}");
    assert_eq!(open(one.path()).load().unwrap().instance, name);
    assert_ne!(open(two.path()).load().unwrap().instance, name);
    assert_eq!(open(two.path()).load().unwrap().next_vm, 1);
    assert!(!backup_path(&one.path().join(FILE), 1).exists(), "a new store has nothing to copy");
}

#[test]
fn a_commit_that_fails_in_the_middle_stores_nothing_of_itself() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let empty = store.load().unwrap();
    // The last step of a commit cannot be done: the table for records is not there.
    let saboteur = Connection::open(directory.path().join(FILE)).unwrap();
    saboteur.execute("alter table vms_done rename to elsewhere", []).unwrap();
    let records = [vm_record(1, None, NOW)];
    let world = rich(empty.clone());
    let with = Change { deliveries: &["guid-1"], ..change(NOW, &records) };
    let error = store.commit(&empty, &world, with).expect_err("the table is away");
    assert!(matches!(error, Error::Write { what: "vms_done", .. }), "{error:?}");
    assert_eq!(store.load().unwrap(), empty);
    assert!(!store.knows("guid-1").unwrap());
    saboteur.execute("alter table elsewhere rename to vms_done", []).unwrap();
    store.commit(&empty, &world, with).unwrap();
    assert_eq!(store.load().unwrap(), world);
}

#[test]
fn a_crash_before_the_commit_leaves_the_world_before() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let empty = store.load().unwrap();
    let world = rich(empty.clone());
    store.commit(&empty, &world, change(NOW, &[])).unwrap();
    drop(store);
    let raw = Connection::open(directory.path().join(FILE)).unwrap();
    raw.execute_batch("begin immediate; delete from vms; delete from jobs;").unwrap();
    drop(raw);
    assert_eq!(open(directory.path()).load().unwrap(), world);
}

#[test]
fn events_are_kept_in_their_order_with_their_time() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let world = store.load().unwrap();
    let events = [
        Event::Started {
            profiles: rich(world.clone()).profiles,
            hosts: rich(world.clone()).hosts,
            limits: Limits::default(),
            scopes: [(ScopeId::organization("octo"), InstallationId::new("octo"))].into(),
            readers: [InstallationId::new("octo")].into(),
        },
        Event::Forge(ForgeEvent::Registered {
            vm: VmId(1),
            scope: ScopeId::organization("octo"),
            attempt: 1,
            runner: RunnerId(5),
        }),
        Event::Host(HostEvent::Inventory {
            host: HostId(0),
            alive: [VmId(1)].into(),
            present: [VmId(1), VmId(2)].into(),
            asked: NOW,
        }),
        Event::Guest { vm: VmId(1), said: GuestEvent::RunnerExited { code: -1 } },
        Event::Tick,
    ];
    store.commit(&world, &world, Change { at: NOW, events: &events, ..Change::default() }).unwrap();
    let found = store.events(0, 100).unwrap();
    let facts: Vec<&Event> = found.iter().map(|(_, _, event)| event).collect();
    assert_eq!(facts, events.iter().collect::<Vec<_>>());
    assert!(found.iter().all(|(_, at, _)| *at == NOW));
    assert_eq!(store.events(found[3].0, 100).unwrap().len(), 1);
}

#[test]
fn a_delivery_is_known_once_it_is_committed() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let world = store.load().unwrap();
    assert!(!store.knows("guid-1").unwrap());
    let with = |guids| Change { at: NOW, deliveries: guids, ..Change::default() };
    store.commit(&world, &world, with(&["guid-1", "guid-2"])).unwrap();
    store.commit(&world, &world, with(&["guid-1"])).unwrap();
    drop(store);
    let mut store = open(directory.path());
    assert!(store.knows("guid-1").unwrap() && store.knows("guid-2").unwrap());
}

#[test]
fn what_is_too_old_is_pruned_and_the_rest_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let world = store.load().unwrap();
    let records = [
        job_record(1, None, NOW),
        vm_record(1, None, NOW),
        job_record(2, None, NOW.after(RECORDS_KEPT)),
        vm_record(2, None, NOW.after(RECORDS_KEPT)),
    ];
    let old = Change { at: NOW, events: &[Event::Tick], deliveries: &["old"], records: &records };
    store.commit(&world, &world, old).unwrap();
    let young =
        NOW.after(RECORDS_KEPT.max(EVENTS_KEPT).max(DELIVERIES_KEPT) + Duration::from_secs(1));
    drop(store);
    // The first commit after a start prunes.
    let mut store = open(directory.path());
    let with = Change { at: young, events: &[Event::Tick], deliveries: &["young"], records: &[] };
    store.commit(&world, &world, with).unwrap();
    assert!(!store.knows("old").unwrap() && store.knows("young").unwrap());
    assert_eq!(store.events(0, 100).unwrap().len(), 1);
    let left = store.history(&Query::Newest(100)).unwrap();
    assert_eq!(left.jobs.iter().map(|job| job.key.id).collect::<Vec<_>>(), [2]);
    assert_eq!(left.vms.iter().map(|vm| vm.id.0).collect::<Vec<_>>(), [2]);
}

#[test]
fn history_is_newest_first_and_joins_jobs_with_their_microvms() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let world = store.load().unwrap();
    let later = |seconds| NOW.after(Duration::from_secs(seconds));
    let records = [
        job_record(1, Some(10), later(1)),
        vm_record(10, Some(1), later(2)),
        // The microVM never heard which job it had; the job knows.
        job_record(2, Some(11), later(3)),
        vm_record(11, None, later(4)),
        // A record that comes twice replaces itself.
        job_record(2, Some(11), later(5)),
    ];
    store.commit(&world, &world, change(NOW, &records)).unwrap();
    let jobs = |history: &History| history.jobs.iter().map(|job| job.key.id).collect::<Vec<_>>();
    let vms = |history: &History| history.vms.iter().map(|vm| vm.id.0).collect::<Vec<_>>();
    let newest = store.history(&Query::Newest(1)).unwrap();
    assert_eq!((jobs(&newest), vms(&newest)), (vec![2], vec![11]));
    let all = store.history(&Query::Newest(10)).unwrap();
    assert_eq!((jobs(&all), vms(&all)), (vec![2, 1], vec![11, 10]));
    for (id, vm) in [(1, 10), (2, 11)] {
        let one = store.history(&Query::Job(id)).unwrap();
        assert_eq!((jobs(&one), vms(&one)), (vec![id], vec![vm]));
        let one = store.history(&Query::Vm(VmId(vm))).unwrap();
        assert_eq!((jobs(&one), vms(&one)), (vec![id], vec![vm]));
    }
    assert_eq!(store.history(&Query::Job(99)).unwrap(), History::default());
}

#[test]
fn a_second_daemon_is_told_who_holds_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let first = open(directory.path());
    let error = refused(directory.path());
    let path = directory.path().join(LOCK_FILE);
    let me = std::process::id();
    let expected =
        format!("cannot use `{}`: another flint, process {me}, holds it", path.display());
    assert_eq!(error.to_string(), expected);
    assert!(error.help().unwrap().contains("--state-dir"));
    drop(first);
    open(directory.path());
}

#[test]
fn a_change_of_the_schema_leaves_a_copy_of_the_file_before() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let empty = store.load().unwrap();
    let world = rich(empty.clone());
    store.commit(&empty, &world, change(NOW, &[])).unwrap();
    drop(store);
    let known = u32::try_from(MIGRATIONS.len()).unwrap();
    let mut next = MIGRATIONS.to_vec();
    next.push("alter table vms add column note text;");
    let mut store = Sqlite::open_with(directory.path(), &next).unwrap();
    assert_eq!(store.load().unwrap(), world);
    drop(store);
    let backup = backup_path(&directory.path().join(FILE), known);
    let copy = Connection::open(&backup).unwrap();
    let version: u32 = copy.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    let vms: u32 = copy.query_row("select count(*) from vms", [], |row| row.get(0)).unwrap();
    assert_eq!((version, vms), (known, 8));
    let error = refused(directory.path());
    assert!(matches!(error, Error::Version { found, .. } if found == known + 1), "{error:?}");
    assert!(error.help().unwrap().contains(&format!("flint.db.bak-v{known}")));
}

#[test]
fn a_change_of_the_schema_that_fails_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let world = open(directory.path()).load().unwrap();
    let mut broken = MIGRATIONS.to_vec();
    broken.push("create table half (id integer); this is no SQL;");
    let error = Sqlite::open_with(directory.path(), &broken).expect_err("it is no SQL");
    assert!(matches!(error, Error::Migrate { from: 3, to: 4, .. }), "{error:?}");
    assert_eq!(open(directory.path()).load().unwrap(), world);
    let raw = Connection::open(directory.path().join(FILE)).unwrap();
    let half = "select count(*) from sqlite_schema where name = 'half'";
    let half: u32 = raw.query_row(half, [], |row| row.get(0)).unwrap();
    assert_eq!(half, 0);
}

#[test]
fn another_programs_database_is_refused_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    let other = Connection::open(&path).unwrap();
    other.execute_batch("create table theirs (id integer)").unwrap();
    drop(other);
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(refused(directory.path()), Error::Foreign { .. }));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[test]
fn a_file_that_is_no_database_is_refused_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE);
    let text = "this is a diary, not a database; ".repeat(100);
    std::fs::write(&path, &text).unwrap();
    assert!(matches!(refused(directory.path()), Error::Foreign { .. }));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
}

#[test]
fn a_damaged_file_is_refused_and_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let empty = store.load().unwrap();
    store.commit(&empty, &rich(empty.clone()), change(NOW, &[])).unwrap();
    drop(store);
    let path = directory.path().join(FILE);
    let mut bytes = std::fs::read(&path).unwrap();
    let page = 4096;
    bytes[page..3 * page].fill(0xA5);
    std::fs::write(&path, bytes).unwrap();
    let error = refused(directory.path());
    assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
    assert!(error.help().unwrap().contains("-wal"));
}

#[test]
fn a_row_that_is_no_json_is_an_error_not_a_panic() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let raw = Connection::open(directory.path().join(FILE)).unwrap();
    raw.execute("insert into vms (id, body) values (1, '{}')", []).unwrap();
    assert!(matches!(store.load(), Err(Error::Row { table: "vms", .. })));
}

/// Even root can make no file in `/proc`.
#[test]
fn a_directory_that_takes_no_files_is_an_error_with_help() {
    let error = refused(Path::new("/proc/self"));
    assert!(matches!(error, Error::Lock { .. }), "{error:?}");
    let error = refused(Path::new("/proc/self/no-such-directory"));
    assert!(matches!(error, Error::Directory { .. }), "{error:?}");
    assert!(error.help().unwrap().contains("state_dir"));
}

#[test]
fn nobody_else_may_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let world = store.load().unwrap();
    store.commit(&world, &rich(world.clone()), change(NOW, &[])).unwrap();
    for file in [FILE, "flint.db-wal", "flint.db-shm", LOCK_FILE] {
        let mode = directory.path().join(file).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
}
