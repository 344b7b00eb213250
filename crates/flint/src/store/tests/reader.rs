//! The log read by another: beside a running daemon, after a crash, of a file that no daemon would take.

use super::*;

fn facts<'a>(at: Timestamp, events: &'a [Event]) -> Change<'a> {
    Change { at, events, ..Change::default() }
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

/// The numbers of the worlds and of the facts that a reader finds.
fn read(directory: &Path, since: Option<Timestamp>) -> Result<(Vec<u64>, Vec<u64>), Error> {
    let (mut worlds, mut numbers) = (Vec::new(), Vec::new());
    Reader::open(directory)?.read(since, &mut |entry| {
        match entry {
            Entry::World { seq, .. } => worlds.push(seq),
            Entry::Fact { seq, .. } => numbers.push(seq),
        }
        Ok::<(), Error>(())
    })?;
    Ok((worlds, numbers))
}

/// Starts at `NOW` and an hour later, two facts each.
fn two_starts(directory: &Path) -> Sqlite {
    let mut store = open(directory);
    let empty = store.load().unwrap();
    let world = rich(empty.clone());
    store.commit(&empty, &world, facts(NOW, &[started(), Event::Tick])).unwrap();
    let later = NOW.after(Duration::from_secs(3_600));
    store.commit(&world, &world, facts(later, &[started()])).unwrap();
    store.commit(&world, &world, facts(later, &[Event::Tick])).unwrap();
    store
}

#[test]
fn the_log_is_read_beside_the_daemon_that_writes_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = two_starts(directory.path());
    let reader = Reader::open(directory.path()).unwrap();
    let instance = store.load().unwrap().instance;
    assert_eq!(reader.instance().unwrap(), instance);
    let world = store.load().unwrap();
    // What comes now is not in its view, and it holds nobody up.
    store.commit(&world, &world, facts(NOW, &[Event::Tick])).unwrap();
    assert_eq!(read(directory.path(), None).unwrap(), (vec![0, 2], vec![1, 2, 3, 4, 5]));
    let mut seen = Vec::new();
    let end = reader.read(None, &mut |entry| {
        seen.push(entry);
        Ok::<(), Error>(())
    });
    end.unwrap();
    assert_eq!(seen.len(), 6);
    let Entry::World { world: body, version, .. } = &seen[3] else { panic!("{:?}", seen[3]) };
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    assert_eq!(**body, world);
}

#[test]
fn a_log_since_a_time_begins_with_the_last_world_before_it() {
    let directory = tempfile::tempdir().unwrap();
    drop(two_starts(directory.path()));
    let minutes = |n: u64| Some(NOW.after(Duration::from_secs(60 * n)));
    assert_eq!(read(directory.path(), minutes(90)).unwrap(), (vec![2], vec![3, 4]));
    assert_eq!(read(directory.path(), minutes(30)).unwrap().0, [0, 2]);
    assert_eq!(read(directory.path(), Some(Timestamp(0))).unwrap().0, [0, 2]);
}

#[test]
fn a_reader_leaves_nothing_beside_a_store_that_nobody_uses() {
    let directory = tempfile::tempdir().unwrap();
    drop(two_starts(directory.path()));
    let names = || {
        let entries = std::fs::read_dir(directory.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect::<std::collections::BTreeSet<_>>()
    };
    let before = (names(), std::fs::read(directory.path().join(FILE)).unwrap());
    read(directory.path(), None).unwrap();
    assert!(look(directory.path()).unwrap().is_some());
    assert_eq!((names(), std::fs::read(directory.path().join(FILE)).unwrap()), before);
}

#[test]
fn what_a_killed_daemon_committed_is_read_from_its_write_ahead_log() {
    let directory = tempfile::tempdir().unwrap();
    let killed = tempfile::tempdir().unwrap();
    let store = two_starts(directory.path());
    for name in [FILE, "flint.db-wal"] {
        std::fs::copy(directory.path().join(name), killed.path().join(name)).unwrap();
    }
    drop(store);
    assert_eq!(read(killed.path(), None).unwrap().1, [1, 2, 3, 4]);
}

#[test]
fn the_log_of_a_store_that_no_daemon_takes_is_read() {
    let directory = tempfile::tempdir().unwrap();
    drop(two_starts(directory.path()));
    let raw = Connection::open(directory.path().join(FILE)).unwrap();
    let root: i64 = raw
        .query_row("select rootpage from sqlite_schema where name = 'vms'", [], |row| row.get(0))
        .unwrap();
    drop(raw);
    let path = directory.path().join(FILE);
    let mut bytes = std::fs::read(&path).unwrap();
    let page = usize::try_from(root).unwrap();
    bytes[(page - 1) * 4096..page * 4096].fill(0xA5);
    std::fs::write(&path, bytes).unwrap();
    assert!(matches!(refused(directory.path()), Error::Damaged { .. }));
    assert!(matches!(look(directory.path()), Err(Error::Damaged { .. })));
    assert_eq!(read(directory.path(), None).unwrap().1, [1, 2, 3, 4]);
}

#[test]
fn without_a_store_or_with_one_of_another_version_a_reader_says_what_to_do() {
    let told = |directory: &Path| {
        let error = read(directory, None).expect_err("there is nothing to read");
        (error.to_string(), error.help().unwrap())
    };
    let none = tempfile::tempdir().unwrap();
    let (error, help) = told(none.path());
    assert!(error.contains("flint.db") && help.contains("--state-dir"), "{error} {help}");
    assert_eq!(std::fs::read_dir(none.path()).unwrap().count(), 0, "it makes no file");
    let old = tempfile::tempdir().unwrap();
    drop(Sqlite::open_with(old.path(), &MIGRATIONS[..1]).unwrap());
    let (error, help) = told(old.path());
    assert!(
        error.contains("version 1") && help.contains("a start of this flint"),
        "{error} {help}"
    );
    let fresh = tempfile::tempdir().unwrap();
    drop(open(fresh.path()));
    let (error, help) = told(fresh.path());
    assert!(
        error.contains("no snapshot") && help.contains("a start of this flint"),
        "{error} {help}"
    );
}
