//! A store that has become big: it starts without reading it, answers without scanning it, and comes down by pieces.

use super::super::prune::{EVENTS_MAX, RECORDS_MAX, STEP_ROWS};
use super::*;
use std::collections::BTreeSet;

/// The tables that grow with time.
const HISTORY: [&str; 5] = ["events", "deliveries", "jobs_done", "vms_done", "snapshots"];

const PAGE: usize = 4096;

/// A store with this many rows in each table of history, `apart` between two of them, the newest at `NOW`.
fn grown(rows: u64, apart: Duration) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let world = store.load().unwrap();
    store.commit(&world, &world, change(NOW, &[])).unwrap();
    drop(store);
    let raw = Connection::open(directory.path().join(FILE)).unwrap();
    let apart = i64::try_from(apart.as_millis()).unwrap();
    let at = format!("{} - {apart} * ({rows} - n)", NOW.0);
    let Record::Job(job) = job_record(1, Some(1), NOW) else { panic!("it is a job") };
    let Record::Vm(vm) = vm_record(1, Some(1), NOW) else { panic!("it is a microVM") };
    let [job, vm, tick] =
        [to_text(&job), to_text(&vm), to_text(&Event::Tick)].map(|text| text.replace('\'', "''"));
    let fill = |into: &str, values: &str| {
        let sql = format!(
            "with recursive c(n) as (select 1 union all select n + 1 from c where n < {rows}) \
             insert into {into} select {values} from c"
        );
        raw.execute(&sql, []).unwrap();
    };
    fill("events (at, turn, body)", &format!("{at}, n, '{tick}'"));
    fill("deliveries (guid, at)", &format!("'guid-' || n, {at}"));
    let body = |text: &str| format!("replace('{text}', '\"id\":1', '\"id\":' || n)");
    fill("jobs_done (id, attempt, vm, completed, body)", &format!("n, 1, n, {at}, {}", body(&job)));
    fill("vms_done (id, job, attempt, gone, body)", &format!("n, n, 1, {at}, {}", body(&vm)));
    fill("snapshots (seq, at, version, body)", &format!("n, {at}, '0', '{{}}'"));
    raw.pragma_update(None, "wal_checkpoint", "truncate").ok();
    directory
}

fn to_text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

fn count(directory: &Path, table: &str) -> u64 {
    let raw = Connection::open(directory.join(FILE)).unwrap();
    let sql = format!("select count(*) from {table}");
    raw.query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap().cast_unsigned()
}

/// The pages of history that are not on the way to a young end, in percent of all pages.
fn old_pages(path: &Path) -> (BTreeSet<usize>, usize) {
    let raw = Connection::open(path).unwrap();
    let all: i64 = raw.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    let of_history = HISTORY.map(|table| format!("'{table}'")).join(", ");
    let sql = format!(
        "select s.name, s.pageno, s.pagetype = 'leaf' or s.pagetype = 'overflow', s.path from dbstat s \
         join sqlite_schema m on m.name = s.name where m.tbl_name in ({of_history}) order by s.name, s.path"
    );
    let mut statement = raw.prepare(&sql).unwrap();
    let rows = statement
        .query_map([], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, bool>(2)?))
        })
        .unwrap();
    let mut leaves: std::collections::BTreeMap<String, Vec<usize>> = Default::default();
    for row in rows {
        let (name, page, leaf) = row.unwrap();
        if leaf {
            leaves.entry(name).or_default().push(usize::try_from(page).unwrap());
        }
    }
    let old = leaves.values_mut().flat_map(|pages| {
        pages.pop();
        pages.iter().copied()
    });
    (old.collect(), usize::try_from(all).unwrap())
}

/// Whoever reads one of these pages is told that the file is damaged.
fn ruin(path: &Path, pages: &BTreeSet<usize>) {
    let mut bytes = std::fs::read(path).unwrap();
    for page in pages {
        bytes[(page - 1) * PAGE..page * PAGE].fill(0xA5);
    }
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_start_and_a_commit_read_nothing_of_a_long_history() {
    let directory = grown(20_000, Duration::from_millis(1));
    let path = directory.path().join(FILE);
    let (old, all) = old_pages(&path);
    assert!(old.len() * 10 > all * 9, "{} of {all} pages are history", old.len());
    ruin(&path, &old);
    let mut store = open(directory.path());
    let world = store.load().unwrap();
    let full = rich(world.clone());
    let fresh = [job_record(99_999, Some(99_999), NOW), vm_record(99_999, Some(99_999), NOW)];
    let facts = [Event::Started {
        profiles: full.profiles.clone(),
        hosts: full.hosts.clone(),
        limits: Default::default(),
        scopes: Default::default(),
        readers: Default::default(),
    }];
    let change = Change { at: NOW, events: &facts, deliveries: &["zzz"], records: &fresh };
    store.commit(&world, &full, change).unwrap();
    assert_eq!(store.load().unwrap(), full);
    assert_eq!(store.history(&Query::Newest(1)).unwrap().vms.len(), 1);
    // It is really ruined.
    assert!(matches!(store.history(&Query::Job(5)), Err(Error::Read { .. })));
}

#[test]
fn a_damaged_young_end_of_the_log_is_found_at_the_start() {
    let directory = grown(5_000, Duration::from_millis(1));
    let path = directory.path().join(FILE);
    let raw = Connection::open(&path).unwrap();
    let end = "select pageno from dbstat where name = 'events' and pagetype = 'leaf' order by path desc limit 1";
    let end: i64 = raw.query_row(end, [], |row| row.get(0)).unwrap();
    drop(raw);
    ruin(&path, &BTreeSet::from([usize::try_from(end).unwrap()]));
    let error = refused(directory.path());
    assert!(error.to_string().contains("in table `events`"), "{error}");
}

#[test]
fn no_question_about_history_scans_it() {
    let directory = grown(1, Duration::ZERO);
    let raw = Connection::open(directory.path().join(FILE)).unwrap();
    let questions = [
        "select body from jobs_done order by completed desc, rowid desc limit ?",
        "select body from vms_done order by gone desc, rowid desc limit ?",
        "select body from jobs_done where vm = ? order by completed desc",
        "select body from vms_done where id = ?",
        "select body from jobs_done where id = ? order by attempt desc",
        "select body from vms_done where job = ? order by attempt desc, gone desc",
        "select exists (select 1 from deliveries where guid = ?)",
    ];
    for question in questions {
        let mut plan = raw.prepare(&format!("explain query plan {question}")).unwrap();
        let steps = plan.query_map([1], |row| row.get::<_, String>("detail")).unwrap();
        for step in steps.map(Result::unwrap) {
            let walks_an_index = step.starts_with("SCAN") && step.contains("USING INDEX");
            assert!(
                !step.starts_with("SCAN") || step.contains("CONSTANT") || walks_an_index,
                "{question}: {step}"
            );
        }
    }
}

#[test]
fn a_store_that_is_too_big_comes_down_by_a_bounded_piece_per_commit() {
    let rows = EVENTS_MAX + u64::from(STEP_ROWS) * 2 + 500;
    let directory = grown(rows, Duration::ZERO);
    let mut store = open(directory.path());
    let world = store.load().unwrap();
    let mut before = HISTORY.map(|table| count(directory.path(), table));
    let commits = (rows - RECORDS_MAX).div_ceil(u64::from(STEP_ROWS)) + 1;
    for _ in 0..commits {
        store.commit(&world, &world, change(NOW, &[])).unwrap();
        let after = HISTORY.map(|table| count(directory.path(), table));
        for (before, after) in before.iter().zip(after).take(4) {
            assert!(
                before - after <= u64::from(STEP_ROWS),
                "{before} became {after} in one commit"
            );
        }
        before = after;
    }
    assert_eq!(before[0], EVENTS_MAX);
    assert_eq!(before[1], rows, "deliveries are bounded by age alone");
    assert_eq!([before[2], before[3]], [RECORDS_MAX; 2]);
    let newest = store.history(&Query::Newest(1)).unwrap();
    assert_eq!((newest.jobs[0].key.id, newest.vms[0].id.0), (rows, rows), "the newest stay");
    let oldest = count_below(directory.path(), "snapshots", rows - EVENTS_MAX);
    assert_eq!(oldest, 0, "a snapshot before the log's beginning is of no use");
}

fn count_below(directory: &Path, table: &str, seq: u64) -> i64 {
    let raw = Connection::open(directory.join(FILE)).unwrap();
    let sql = format!("select count(*) from {table} where seq < ?");
    raw.query_row(&sql, [seq.cast_signed()], |row| row.get(0)).unwrap()
}

#[test]
fn what_is_too_old_goes_by_pieces_and_its_room_is_given_back() {
    let directory = grown(30_000, Duration::from_millis(1));
    let path = directory.path().join(FILE);
    let before = path.metadata().unwrap().len();
    let mut store = open(directory.path());
    let world = store.load().unwrap();
    let later = NOW.after(RECORDS_KEPT + Duration::from_secs(60));
    for _ in 0..120 {
        store.commit(&world, &world, change(later, &[])).unwrap();
    }
    for table in ["events", "deliveries", "jobs_done", "vms_done"] {
        assert_eq!(count(directory.path(), table), 0, "{table}");
    }
    assert_eq!(count(directory.path(), "snapshots"), 1);
    drop(store);
    let after = path.metadata().unwrap().len();
    assert!(after * 3 < before, "{before} bytes became {after}");
}

#[test]
fn large_facts_go_a_few_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let world = store.load().unwrap();
    let long = "x".repeat(3 << 20);
    let fact = Event::Host(HostEvent::LaunchFailed { vm: VmId(1), why: long });
    for _ in 0..6 {
        let events = std::slice::from_ref(&fact);
        store.commit(&world, &world, Change { at: NOW, events, ..Change::default() }).unwrap();
    }
    drop(store);
    let mut store = open(directory.path());
    let later = NOW.after(EVENTS_KEPT + Duration::from_secs(1));
    let mut left = Vec::new();
    for _ in 0..4 {
        store.commit(&world, &world, change(later, &[])).unwrap();
        left.push(count(directory.path(), "events"));
    }
    assert_eq!(left, [5, 4, 3, 2], "one of them is more than a step takes");
}

#[test]
fn damage_in_old_history_keeps_nothing_from_being_written() {
    let directory = grown(5_000, Duration::from_millis(1));
    let path = directory.path().join(FILE);
    let (old, _) = old_pages(&path);
    ruin(&path, &old);
    let mut store = open(directory.path());
    let world = store.load().unwrap();
    let later = NOW.after(RECORDS_KEPT + Duration::from_secs(60));
    // This commit wants to prune what cannot be read.
    store.commit(&world, &rich(world.clone()), change(later, &[])).unwrap();
    assert_eq!(store.load().unwrap(), rich(world));
}
