//! The tables, one migration per version; a migration that was released is never edited.

use super::error::Error;
use rusqlite::backup::Progress;
use rusqlite::{Connection, ErrorCode, MAIN_DB, TransactionBehavior};
use std::fs::File;
use std::path::{Path, PathBuf};

/// `FLNT` in ASCII: tells our file from any other SQLite file.
pub(super) const APPLICATION_ID: i32 = 0x464c_4e54;

/// Version n of the schema is the first n of these, applied in order.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("schema/001.sql"),
    include_str!("schema/002.sql"),
    include_str!("schema/003.sql"),
];

/// Brings the file from its version to the newest of `migrations`, with a copy of it beside it before each change.
///
/// # Errors
/// [`Error`]; the file is as it was before the change that failed.
pub(super) fn migrate(
    connection: &mut Connection,
    path: &Path,
    migrations: &[&str],
) -> Result<(), Error> {
    let known = migrations.len();
    let known_version = u32::try_from(known).expect("there are fewer migrations than u32::MAX");
    let found = version(connection, path)?;
    if found > known_version {
        return Err(Error::Version { path: path.to_owned(), found, known: known_version });
    }
    for (from, sql) in (0u32..).zip(migrations).skip(found as usize) {
        // A new file has nothing to lose.
        if found > 0 {
            back_up(connection, &backup_path(path, from))?;
        }
        apply(connection, sql, from + 1).map_err(|source| Error::Migrate {
            path: path.to_owned(),
            from,
            to: from + 1,
            source,
        })?;
    }
    Ok(())
}

/// The version that this flint writes.
pub(super) fn newest() -> u32 {
    u32::try_from(MIGRATIONS.len()).expect("there are fewer migrations than u32::MAX")
}

/// `flint.db.bak-v<N>`, N being the version that it holds.
pub(super) fn backup_path(path: &Path, version: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".bak-v{version}"));
    PathBuf::from(name)
}

/// Refuses a file that another program made. A file without any table is a new one.
///
/// # Errors
/// [`Error::Foreign`], or [`Error::Open`] when SQLite cannot say.
pub(super) fn check_owner(connection: &Connection, path: &Path) -> Result<(), Error> {
    let tables = "select count(*) from sqlite_schema";
    let ask = || -> rusqlite::Result<(i32, i64)> {
        let id = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        Ok((id, connection.query_row(tables, [], |row| row.get(0))?))
    };
    match ask() {
        Ok((APPLICATION_ID, _) | (0, 0)) => Ok(()),
        Ok(_) => Err(Error::Foreign { path: path.to_owned() }),
        Err(source) => Err(match source.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => Error::Foreign { path: path.to_owned() },
            Some(ErrorCode::DatabaseCorrupt) => {
                Error::Damaged { path: path.to_owned(), finding: source.to_string() }
            }
            _ => Error::Open { path: path.to_owned(), source: Box::new(source) },
        }),
    }
}

/// The version of the file's schema; 0 of a new file.
///
/// # Errors
/// [`Error::Open`].
pub(super) fn version(connection: &Connection, path: &Path) -> Result<u32, Error> {
    let version = connection.pragma_query_value(None, "user_version", |row| row.get(0));
    version.map_err(|source| Error::Open { path: path.to_owned(), source: Box::new(source) })
}

/// One migration and its version number, or neither.
fn apply(connection: &mut Connection, sql: &str, to: u32) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Exclusive)?;
    transaction.execute_batch(sql)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", to)?;
    transaction.commit()
}

fn back_up(connection: &Connection, to: &Path) -> Result<(), Error> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Backup {
        path: to.to_owned(),
        source,
    };
    connection.backup(MAIN_DB, to, None::<fn(Progress)>).map_err(|e| failed(Box::new(e)))?;
    File::open(to).and_then(|copy| copy.sync_all()).map_err(|e| failed(Box::new(e)))
}
