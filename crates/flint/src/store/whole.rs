//! Whether a store can be trusted. Looks at what a start and the next commit need, and never at history: that may be
//! many GiB.

use super::error::Error;
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

/// The name in the file alone, without what its write-ahead log adds. `None` where there is nothing to compare.
pub(super) fn instance_without_wal(path: &Path) -> Option<String> {
    let has_wal = std::fs::metadata(wal_path(path)).is_ok_and(|wal| wal.len() > 0);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let alone = has_wal.then(|| Connection::open_with_flags(immutable(path), flags))?.ok()?;
    world::instance(&alone).ok()?
}

/// Refuses a write-ahead log that makes another store of the file: one that was left beside a file put in its place.
///
/// # Errors
/// [`Error::Wal`].
pub(super) fn check_wal(
    connection: &Connection,
    path: &Path,
    alone: Option<&str>,
) -> Result<(), Error> {
    let Some(alone) = alone else { return Ok(()) };
    match world::instance(connection) {
        Ok(Some(both)) if both == alone => Ok(()),
        Ok(_) | Err(_) => Err(Error::Wal { path: wal_path(path), of: path.to_owned() }),
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
