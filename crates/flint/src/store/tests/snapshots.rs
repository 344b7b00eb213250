//! The world as it was at certain facts: exact, bounded, and there after the change from schema 1.

use super::super::snapshot::{self, EVERY, KEPT};
use super::*;

fn kept(directory: &Path) -> Vec<(i64, World)> {
    let raw = Connection::open(directory.join(FILE)).unwrap();
    let mut statement = raw.prepare("select seq, body from snapshots order by seq").unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get::<_, String>(1)?))).unwrap();
    let world = |text: String| -> World { serde_json::from_str(&text).unwrap() };
    rows.map(Result::unwrap).map(|(seq, text)| (seq, world(text))).collect()
}

fn started() -> Event {
    Event::Started {
        profiles: Default::default(),
        hosts: Default::default(),
        limits: Default::default(),
        scopes: Default::default(),
        readers: Default::default(),
    }
}

fn facts(at: Timestamp, events: &[Event]) -> Change<'_> {
    Change { at, events, ..Change::default() }
}

#[test]
fn a_start_keeps_the_world_as_it_was_before_with_the_number_of_its_last_fact() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let empty = store.load().unwrap();
    let full = rich(empty.clone());
    store.commit(&empty, &full, facts(NOW, &[started(), Event::Tick])).unwrap();
    store.commit(&full, &full, facts(NOW, &[Event::Tick])).unwrap();
    drop(store);
    let mut store = open(directory.path());
    let loaded = store.load().unwrap();
    store.commit(&loaded, &loaded, facts(NOW, &[started()])).unwrap();
    assert_eq!(kept(directory.path()), [(0, empty), (3, full)]);
}

#[test]
fn facts_of_one_commit_are_one_turn() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let world = store.load().unwrap();
    for count in [1, 3, 2] {
        store.commit(&world, &world, facts(NOW, &vec![Event::Tick; count])).unwrap();
    }
    let raw = Connection::open(directory.path().join(FILE)).unwrap();
    let mut statement = raw.prepare("select turn from events order by seq").unwrap();
    let turns: Vec<i64> =
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(turns, [1, 2, 2, 2, 5, 5]);
}

#[test]
fn a_daemon_that_runs_for_long_keeps_the_world_now_and_then() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let world = store.load().unwrap();
    let many = vec![Event::Tick; 256];
    for _ in 0..EVERY.div_ceil(256) * 2 {
        store.commit(&world, &world, facts(NOW, &many)).unwrap();
    }
    let seqs: Vec<i64> = kept(directory.path()).into_iter().map(|(seq, _)| seq).collect();
    assert_eq!(seqs.len(), 2, "{seqs:?}");
}

#[test]
fn a_daemon_that_is_started_again_and_again_does_not_push_out_the_days_before() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let world = store.load().unwrap();
    let days: Vec<i64> = (0..5).map(|day| day * 1_000).collect();
    for _ in &days {
        store.commit(&world, &world, facts(NOW, &[started()])).unwrap();
        store.commit(&world, &world, facts(NOW, &vec![Event::Tick; 999])).unwrap();
    }
    for _ in 0..3 * KEPT {
        store.commit(&world, &world, facts(NOW, &[started()])).unwrap();
    }
    let seqs: Vec<i64> = kept(directory.path()).into_iter().map(|(seq, _)| seq).collect();
    assert_eq!(seqs.len(), KEPT as usize);
    assert_eq!(seqs[..5], days);
    assert_eq!(seqs.last(), Some(&(5_000 + 3 * i64::from(KEPT) - 1)), "the newest stays");
}

#[test]
fn snapshots_of_a_huge_world_do_not_fill_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let mut world = store.load().unwrap();
    let mut wide = job(Some("linux-4"), JobState::Queued);
    wide.request.name = "x".repeat(20 << 20);
    world.jobs.insert(key(7), wide);
    let mut raw = Connection::open(directory.path().join(FILE)).unwrap();
    for _ in 0..5 {
        store.commit(&world, &world, facts(NOW, &[Event::Tick])).unwrap();
        snapshot::keep(&mut raw, &world, NOW).unwrap();
    }
    let seqs: Vec<i64> = kept(directory.path()).into_iter().map(|(seq, _)| seq).collect();
    assert_eq!(
        (seqs.len(), seqs.last()),
        (3, Some(&5)),
        "three of 20 MiB are under 64 MiB: {seqs:?}"
    );
}

/// A store as the first flint left it.
fn of_schema_1() -> (tempfile::TempDir, World) {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Sqlite::open_with(directory.path(), &MIGRATIONS[..1]).unwrap();
    let empty = store.load().unwrap();
    let world = rich(empty.clone());
    let raw = Connection::open(directory.path().join(FILE)).unwrap();
    // What commits of schema 1 wrote, without what is new.
    raw.execute("insert into events (at, body) values (?, '\"Tick\"')", [NOW.0.cast_signed()])
        .unwrap();
    let transaction = raw.unchecked_transaction().unwrap();
    world::write(&transaction, &empty, &world).unwrap();
    for record in [job_record(1, Some(10), NOW), vm_record(10, Some(1), NOW)] {
        history::add(&transaction, &record).unwrap();
    }
    transaction.commit().unwrap();
    raw.execute("insert into deliveries (guid, at) values ('guid-1', ?)", [NOW.0.cast_signed()])
        .unwrap();
    (directory, world)
}

/// Every row of every table of a file.
fn contents(path: &Path) -> Vec<(String, Vec<Vec<rusqlite::types::Value>>)> {
    let raw = Connection::open(path).unwrap();
    let mut statement =
        raw.prepare("select name from sqlite_schema where type = 'table' order by name").unwrap();
    let names = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    let rows = |name: String| {
        let mut statement = raw.prepare(&format!("select * from {name}")).unwrap();
        let columns = statement.column_count();
        let rows = statement
            .query_map([], |row| (0..columns).map(|column| row.get(column)).collect())
            .unwrap();
        let rows = rows.map(Result::unwrap).collect();
        (name, rows)
    };
    names.map(Result::unwrap).map(rows).collect()
}

#[test]
fn schema_1_becomes_the_newest_without_its_facts_and_an_equal_copy_is_beside_it() {
    let (directory, mut world) = of_schema_1();
    let before = contents(&directory.path().join(FILE));
    let mut store = open(directory.path());
    // A list of GitHub's finds these again; facts of that time name no scope.
    world.stray_runners.clear();
    assert_eq!(store.load().unwrap(), world);
    assert!(store.knows("guid-1").unwrap());
    assert_eq!(store.events(0, 10).unwrap().len(), 0);
    let history = store.history(&Query::Job(1)).unwrap();
    assert_eq!((history.jobs.len(), history.vms.len()), (1, 1));
    store.commit(&world, &world, facts(NOW, &[started()])).unwrap();
    assert_eq!(kept(directory.path()), [(1, world.clone())]);
    drop(store);
    let copy = backup_path(&directory.path().join(FILE), 1);
    assert_eq!(contents(&copy), before);
    // The copy is a store of its own.
    let other = tempfile::tempdir().unwrap();
    std::fs::copy(&copy, other.path().join(FILE)).unwrap();
    assert_eq!(open(other.path()).load().unwrap(), world);
}
