//! Whether a store can be trusted. Looks at what a start and the next commit need, and never at history: that may be
//! many GiB.

use super::error::Error;
use super::sqlite::last_fact;
use super::world;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::path::{Path, PathBuf};

/// Read whole at each start, so checked whole.
pub(super) const WORLD: [&str; 10] = [
    "meta",
    "profiles",
    "breakers",
    "hosts",
    "jobs",
    "finished",
    "vms",
    "stray_guests",
    "stray_runners",
    "sqlite_sequence",
];

/// Where the next row of history goes: the way to the young end of a table or an index.
const ENDS: [(&str, &str); 7] = [
    ("events", "seq"),
    ("deliveries", "at"),
    ("jobs_done", "rowid"),
    ("jobs_done", "completed"),
    ("vms_done", "rowid"),
    ("vms_done", "gone"),
    ("snapshots", "seq"),
];

/// Checks what a start needs. A table that is not there yet is none of its business.
///
/// # Errors
/// [`Error::Damaged`] with the first finding.
pub(super) fn check(connection: &Connection, path: &Path) -> Result<(), Error> {
    let damaged = |finding: String| Error::Damaged { path: path.to_owned(), finding };
    // A disk that is full or fails is no damage: whoever threw the file away for it would lose it.
    let told = |error: rusqlite::Error, place: &str| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            damaged(format!("{place}{error}"))
        }
        _ => Error::Open { path: path.to_owned(), source: Box::new(error) },
    };
    let tables = tables(connection).map_err(|error| told(error, ""))?;
    let is_there = |name: &str| tables.iter().any(|table| table == name);
    for table in WORLD.into_iter().filter(|table| is_there(table)) {
        let sql = format!("pragma quick_check({table})");
        let answer: String = connection
            .query_row(&sql, [], |row| row.get(0))
            .map_err(|error| told(error, &format!("in table `{table}`: ")))?;
        if answer != "ok" {
            return Err(damaged(format!("in table `{table}`: {answer}")));
        }
    }
    for (table, column) in ENDS.into_iter().filter(|(table, _)| is_there(table)) {
        let sql = format!("select max({column}) from {table}");
        let end = connection.query_row(&sql, [], |_| Ok(()));
        end.map_err(|error| told(error, &format!("in table `{table}`: ")))?;
    }
    Ok(())
}

fn tables(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement =
        connection.prepare("select name from sqlite_schema where type = 'table'")?;
    statement.query_map([], |row| row.get(0))?.collect()
}

/// What a file says of itself without the write-ahead log beside it.
pub(super) struct Alone {
    instance: String,
    /// The number of its newest fact.
    last: i64,
}

/// The file alone; `None` where there is no log beside it, or nothing to compare.
pub(super) fn alone(path: &Path) -> Option<Alone> {
    let has_wal = std::fs::metadata(wal_path(path)).is_ok_and(|wal| wal.len() > 0);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let file = has_wal.then(|| Connection::open_with_flags(immutable(path), flags))?.ok()?;
    Some(Alone { instance: world::instance(&file).ok()??, last: last_fact(&file).ok()? })
}

/// Refuses a write-ahead log that was written for another file: one that was left beside a file put in its place. It
/// makes another store of it, or facts of another time, with a hole between them and the file's own.
///
/// # Errors
/// [`Error::Wal`].
pub(super) fn check_wal(
    connection: &Connection,
    path: &Path,
    alone: Option<&Alone>,
) -> Result<(), Error> {
    let Some(alone) = alone else { return Ok(()) };
    let fits = || -> Result<bool, Error> {
        let failed = |source| Error::Read { what: "events", source };
        let last = last_fact(connection)?;
        if world::instance(connection)?.as_ref() != Some(&alone.instance) {
            return Ok(false);
        }
        let next = "select min(seq) from events where seq > ?";
        let next: Option<i64> =
            connection.query_row(next, [alone.last], |row| row.get(0)).map_err(failed)?;
        let first = "select min(seq) from events";
        let first: Option<i64> =
            connection.query_row(first, [], |row| row.get(0)).map_err(failed)?;
        // Pruning may have taken all up to there, and then the log begins later.
        let follows = next == Some(alone.last + 1) || next == first;
        Ok(last == alone.last || (last > alone.last && follows))
    };
    match fits() {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(Error::Wal { path: wal_path(path), of: path.to_owned() }),
    }
}

/// The first damage of all that is there; reads the whole file.
///
/// # Errors
/// SQLite's.
pub(super) fn find(connection: &Connection) -> rusqlite::Result<Option<String>> {
    let answer = connection.query_row("pragma quick_check(1)", [], |row| row.get::<_, String>(0));
    match answer {
        Ok(answer) => Ok(Some(answer).filter(|answer| answer != "ok")),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseCorrupt) => {
            Ok(Some(error.to_string()))
        }
        Err(error) => Err(error),
    }
}

/// The file alone, for SQLite: a log beside it is not looked at, and nothing is written.
pub(super) fn immutable(path: &Path) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => {
                uri.push(char::from(*byte));
            }
            other => uri.push_str(&format!("%{other:02X}")),
        }
    }
    uri + "?immutable=1"
}

/// The write-ahead log beside a file.
pub(super) fn wal_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-wal");
    name.into()
}
