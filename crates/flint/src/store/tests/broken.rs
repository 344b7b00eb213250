//! Files that cannot be trusted: each is refused as it is, by name, with the cause and the way out.

use super::*;
use std::fs;

fn wal(directory: &Path) -> std::path::PathBuf {
    directory.join("flint.db-wal")
}

/// A store that was closed, with a rich world and some facts.
fn closed() -> (tempfile::TempDir, World) {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let empty = store.load().unwrap();
    let world = rich(empty.clone());
    let events = vec![Event::Tick; 500];
    store.commit(&empty, &world, Change { at: NOW, events: &events, ..Change::default() }).unwrap();
    (directory, world)
}

/// What a start and the doctor say of it, in one text each; the file stays as it is.
fn told(directory: &Path) -> [String; 2] {
    let path = directory.join(FILE);
    let before = fs::read(&path).unwrap();
    let errors = [refused(directory), look(directory).expect_err("the doctor refuses it too")];
    assert_eq!(fs::read(&path).unwrap(), before, "a refused file stays as it is");
    errors.map(|error| {
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        format!("{error}: {cause}; {}", error.help().unwrap_or_default())
    })
}

fn assert_told(directory: &Path, words: &[&str]) {
    for text in told(directory) {
        for word in words {
            assert!(text.contains(word), "no `{word}` in: {text}");
        }
    }
}

#[test]
fn a_file_that_was_cut_is_refused() {
    let (directory, _) = closed();
    let path = directory.path().join(FILE);
    let length = path.metadata().unwrap().len();
    for cut in [length - 4096, length / 2 + 100, 4096, 100] {
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..usize::try_from(cut).unwrap()]).unwrap();
        assert_told(directory.path(), &["flint.db", "move"]);
        fs::write(&path, whole).unwrap();
    }
    open(directory.path());
}

#[test]
fn flipped_bytes_anywhere_in_the_world_are_refused_and_nothing_panics() {
    let (directory, world) = closed();
    let path = directory.path().join(FILE);
    let raw = Connection::open(&path).unwrap();
    let sql =
        "select pageno from dbstat where name in ('vms', 'jobs', 'profiles', 'meta', 'hosts')";
    let mut statement = raw.prepare(sql).unwrap();
    let pages: Vec<i64> =
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    drop(statement);
    drop(raw);
    let whole = fs::read(&path).unwrap();
    let mut refusals = 0;
    for page in pages {
        let page = usize::try_from(page - 1).unwrap() * 4096;
        // The page's head, its list of cells, and its last cell.
        for (at, length) in [(0, 8), (8, 16), (4096 - 40, 40)] {
            let mut bytes = whole.clone();
            bytes[page + at..page + at + length].iter_mut().for_each(|byte| *byte ^= 0x5A);
            fs::write(&path, bytes).unwrap();
            match Sqlite::open(directory.path()).and_then(|mut store| store.load()) {
                Err(Error::Damaged { .. } | Error::Row { .. } | Error::Read { .. }) => {
                    refusals += 1
                }
                Err(other) => panic!("{other:?}"),
                Ok(loaded) => assert_eq!(loaded, world, "it was taken, and is another world"),
            }
            for name in ["flint.db-wal", "flint.db-shm"] {
                drop(fs::remove_file(directory.path().join(name)));
            }
        }
    }
    assert!(refusals > 10, "{refusals}");
    fs::write(&path, whole).unwrap();
    assert_eq!(open(directory.path()).load().unwrap(), world);
}

#[test]
fn a_write_ahead_log_of_another_store_is_refused_and_the_file_is_good_without_it() {
    let (directory, world) = closed();
    let other = tempfile::tempdir().unwrap();
    let mut store = open(other.path());
    let empty = store.load().unwrap();
    let mut full = rich(empty.clone());
    full.next_vm = 4_000;
    store.commit(&empty, &full, change(NOW, &[])).unwrap();
    fs::copy(wal(other.path()), wal(directory.path())).unwrap();
    drop(store);
    assert_told(directory.path(), &["flint.db-wal", "belongs to another store", "-shm", "move"]);
    fs::remove_file(wal(directory.path())).unwrap();
    drop(fs::remove_file(directory.path().join("flint.db-shm")));
    assert_eq!(open(directory.path()).load().unwrap(), world);
}

#[test]
fn a_newer_write_ahead_log_beside_an_older_copy_of_the_same_store_is_refused() {
    let (directory, world) = closed();
    let copy = fs::read(directory.path().join(FILE)).unwrap();
    let mut store = open(directory.path());
    // Much is written after the copy was made, and is in the file when the daemon dies.
    let many = vec![Event::Tick; 500];
    let facts = |events| Change { at: NOW, events, ..Change::default() };
    store.commit(&world, &world, facts(&many)).unwrap();
    drop(store);
    let mut store = open(directory.path());
    store.commit(&world, &world, facts(&many[..3])).unwrap();
    let newer = fs::read(wal(directory.path())).unwrap();
    drop(store);
    // No table that both know of differs: only the facts between are missing.
    fs::write(directory.path().join(FILE), copy).unwrap();
    fs::write(wal(directory.path()), newer).unwrap();
    assert_told(directory.path(), &["flint.db-wal", "belongs to another store", "-shm", "move"]);
    fs::remove_file(wal(directory.path())).unwrap();
    drop(fs::remove_file(directory.path().join("flint.db-shm")));
    assert_eq!(open(directory.path()).load().unwrap(), world);
}

#[test]
fn the_doctor_finds_damage_in_history_that_no_start_looks_for() {
    let (directory, world) = closed();
    let mut store = open(directory.path());
    let records = [job_record(1, Some(1), NOW)];
    store.commit(&world, &world, change(NOW, &records)).unwrap();
    drop(store);
    let path = directory.path().join(FILE);
    let raw = Connection::open(&path).unwrap();
    let sql = "select rootpage from sqlite_schema where name = 'jobs_done_by_vm'";
    let page: i64 = raw.query_row(sql, [], |row| row.get(0)).unwrap();
    drop(raw);
    let mut bytes = fs::read(&path).unwrap();
    let end = usize::try_from(page).unwrap() * 4096;
    bytes[end - 4096..end].fill(0xA5);
    fs::write(&path, bytes).unwrap();
    let looked = look(directory.path()).unwrap().expect("it is there");
    assert!(looked.damage.is_some(), "{looked:?}");
    assert_eq!(open(directory.path()).load().unwrap(), world);
}

#[test]
fn a_write_ahead_log_of_another_program_is_refused_and_the_file_is_good_without_it() {
    let (directory, world) = closed();
    let other = tempfile::tempdir().unwrap();
    let theirs = Connection::open(other.path().join("theirs.db")).unwrap();
    theirs.pragma_update(None, "journal_mode", "wal").unwrap();
    theirs
        .execute_batch("create table theirs (id integer); insert into theirs values (1)")
        .unwrap();
    fs::copy(other.path().join("theirs.db-wal"), wal(directory.path())).unwrap();
    drop(theirs);
    assert_told(directory.path(), &["flint.db-wal", "belongs to another store", "-shm", "move"]);
    fs::remove_file(wal(directory.path())).unwrap();
    drop(fs::remove_file(directory.path().join("flint.db-shm")));
    assert_eq!(open(directory.path()).load().unwrap(), world);
}

#[test]
fn the_log_of_a_killed_daemon_is_its_own() {
    let (directory, world) = closed();
    let mut store = open(directory.path());
    let mut next = world.clone();
    next.next_vm += 1;
    store.commit(&world, &next, change(NOW, &[])).unwrap();
    let killed = tempfile::tempdir().unwrap();
    fs::copy(directory.path().join(FILE), killed.path().join(FILE)).unwrap();
    fs::copy(wal(directory.path()), wal(killed.path())).unwrap();
    drop(store);
    assert!(look(killed.path()).unwrap().is_some());
    assert_eq!(open(killed.path()).load().unwrap(), next);
}

#[test]
fn a_damaged_store_names_its_copy_and_says_what_is_lost() {
    let (directory, _) = closed();
    let path = directory.path().join(FILE);
    let length = path.metadata().unwrap().len();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(length / 2).unwrap();
    assert_told(
        directory.path(),
        &["destroyed as strays", "their jobs fail", "configuration stay"],
    );
    let [text, _] = told(directory.path());
    assert!(!text.contains("bak-v1"), "there is none: {text}");
    fs::write(backup_path(&path, 1), "a copy").unwrap();
    assert_told(directory.path(), &["flint.db.bak-v1"]);
}

#[test]
fn a_newer_store_is_refused_by_the_doctor_too() {
    let (directory, _) = closed();
    let raw = Connection::open(directory.path().join(FILE)).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    drop(raw);
    assert_told(directory.path(), &["flint.db", "version 99", "run the newer flint again"]);
}
