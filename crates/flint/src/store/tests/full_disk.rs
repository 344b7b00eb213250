//! A file that may not grow: wherever a commit finds no room, nothing of it is there, and the next one is whole.
//!
//! Disks that are really full are in `tests/net_store.rs`.

use super::*;
use std::collections::BTreeSet;

const GUID: &str = "guid-of-the-commit-that-finds-no-room";

/// A commit that writes to every table; long, so that each needs pages of its own.
fn large(empty: &World) -> (World, Vec<Event>, Vec<Record>) {
    let mut world = rich(empty.clone());
    let long = "x".repeat(9_000);
    for vm in world.vms.values_mut() {
        vm.trouble = Some(long.clone());
    }
    for breaker in world.breakers.values_mut() {
        breaker.why.clone_from(&long);
    }
    let mut wide = job(Some("linux-4"), JobState::Queued);
    wide.request.name = long.clone();
    world.jobs.insert(key(9), wide);
    let facts = vec![
        Event::Host(HostEvent::LaunchFailed { vm: VmId(1), why: long.clone() }),
        Event::Host(HostEvent::DestroyFailed { vm: VmId(1), why: long }),
    ];
    let records =
        (1..30).flat_map(|id| [job_record(id, Some(id), NOW), vm_record(id, Some(id), NOW)]);
    (world, facts, records.collect())
}

fn pages(store: &Sqlite, pragma: &str) -> i64 {
    store.connection().pragma_query_value(None, pragma, |row| row.get(0)).unwrap()
}

fn allow(store: &Sqlite, pages: i64) {
    let sql = format!("pragma max_page_count = {pages}");
    store.connection().query_row(&sql, [], |_| Ok(())).unwrap();
}

fn is_full(error: &Error) -> bool {
    let Error::Write { source, .. } = error else { return false };
    source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull)
        && error.help().is_some_and(|help| help.contains("make room"))
}

#[test]
fn wherever_a_commit_finds_no_room_nothing_of_it_is_stored_and_the_next_one_is_whole() {
    let mut failed_at = BTreeSet::new();
    let mut spare = 0;
    loop {
        let directory = tempfile::tempdir().unwrap();
        let mut store = open(directory.path());
        let empty = store.load().unwrap();
        let (world, events, records) = large(&empty);
        let change = Change { at: NOW, events: &events, deliveries: &[GUID], records: &records };
        allow(&store, pages(&store, "page_count") + spare);
        let Err(error) = store.commit(&empty, &world, change) else { break };
        assert!(is_full(&error), "{error:?}");
        let Error::Write { what, .. } = error else { panic!("{error:?}") };
        failed_at.insert(what);
        let nothing = |store: &mut Sqlite| {
            assert_eq!(store.load().unwrap(), empty);
            assert!(!store.knows(GUID).unwrap());
            assert_eq!(store.history(&Query::Newest(9)).unwrap(), History::default());
            assert!(store.events(0, 9).unwrap().is_empty());
        };
        nothing(&mut store);
        // Room again: the same commit is taken, by this daemon and for the next.
        allow(&store, 1 << 20);
        store.commit(&empty, &world, change).unwrap();
        drop(store);
        let mut store = open(directory.path());
        assert_eq!(store.load().unwrap(), world);
        assert!(store.knows(GUID).unwrap());
        assert_eq!(store.events(0, 9).unwrap().len(), 2);
        assert_eq!(store.history(&Query::Newest(99)).unwrap().vms.len(), 29);
        let whole: String =
            store.connection().query_row("pragma integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(whole, "ok");
        spare += 1;
    }
    for table in ["breakers", "jobs", "vms", "events", "jobs_done", "vms_done"] {
        assert!(failed_at.contains(table), "{table} found room always: {failed_at:?}");
    }
}

#[test]
fn a_start_whose_snapshot_finds_no_room_goes_on_without_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let empty = store.load().unwrap();
    let (world, _, _) = large(&empty);
    store.commit(&empty, &world, change(NOW, &[])).unwrap();
    allow(&store, pages(&store, "page_count") + 4);
    let events = [Event::Started {
        profiles: Default::default(),
        hosts: Default::default(),
        limits: Default::default(),
        scopes: Default::default(),
        readers: Default::default(),
    }];
    store.commit(&world, &world, Change { at: NOW, events: &events, ..Change::default() }).unwrap();
    let kept = "select count(*) from snapshots";
    let kept: i64 = store.connection().query_row(kept, [], |row| row.get(0)).unwrap();
    assert_eq!((kept, store.events(0, 9).unwrap().len()), (0, 1));
}

#[test]
fn a_store_that_may_not_be_written_any_more_says_so_and_goes_on_when_it_may() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let empty = store.load().unwrap();
    let world = rich(empty.clone());
    store.connection().pragma_update(None, "query_only", true).unwrap();
    let error = store.commit(&empty, &world, change(NOW, &[])).expect_err("it is read-only");
    assert!(error.help().unwrap().contains("mount it writable"), "{error:?}");
    assert_eq!(store.load().unwrap(), empty);
    store.connection().pragma_update(None, "query_only", false).unwrap();
    store.commit(&empty, &world, change(NOW, &[])).unwrap();
    assert_eq!(store.load().unwrap(), world);
}
