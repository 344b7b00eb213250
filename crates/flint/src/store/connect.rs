//! The file, opened for the one who writes it.

use super::error::Error;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// The most that the write-ahead log keeps on disk when nobody needs it.
const WAL_KEPT: i64 = 16 << 20;

/// How long to wait for someone's `sqlite3` on the file. We are the only writer; a reader is done in less.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The file holds names of repositories and jobs: for its owner alone. SQLite gives -wal and -shm the same mode.
///
/// # Errors
/// [`Error::Open`].
pub(super) fn connect(path: &Path) -> Result<Connection, Error> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Open {
        path: path.to_owned(),
        source,
    };
    let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    made.map_err(|source| failed(Box::new(source)))?;
    let connection = Connection::open(path).map_err(|source| failed(Box::new(source)))?;
    // A file that is refused stays as it is: closing it would write its log into it.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(|source| failed(Box::new(source)))?;
    Ok(connection)
}

/// How this process uses the file.
///
/// # Errors
/// SQLite's.
pub(super) fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    let pages: i64 = connection.pragma_query_value(None, "page_count", |row| row.get(0))?;
    if pages == 0 {
        // Only a new file can be made to give its free pages back; an old one reuses them.
        connection.pragma_update(None, "auto_vacuum", "incremental")?;
    }
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // A log that grew under a long reader shrinks again.
    connection.pragma_update(None, "journal_size_limit", WAL_KEPT)?;
    // One shape per table, a handful of queries: all statements stay prepared.
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

/// From now on closing the file writes its log into it.
///
/// # Errors
/// SQLite's.
pub(super) fn trust(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false).map(|_| ())
}
