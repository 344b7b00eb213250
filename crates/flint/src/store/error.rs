//! What can go wrong with the store.

use super::schema::{MIGRATIONS, backup_path};
use rusqlite::ErrorCode;
use std::io;
use std::path::{Path, PathBuf};

/// A store that could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The state directory is not there and cannot be made.
    #[error("cannot make the state directory `{path}`")]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The lock file cannot be opened or written, as in a read-only directory.
    #[error("cannot lock the state directory with `{path}`")]
    Lock {
        /// The lock file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another daemon holds the lock.
    #[error("cannot use `{path}`: {} holds it", holder(*pid))]
    Held {
        /// The lock file.
        path: PathBuf,
        /// The process that wrote its number into it, if it did.
        pid: Option<u32>,
    },
    /// The file is not a database, or another program's.
    #[error("cannot use `{path}` as the store: it was not made by flint")]
    Foreign {
        /// Which.
        path: PathBuf,
    },
    /// The file was written by a newer flint; or by an older one, for those who only read.
    #[error("cannot read `{path}`: its schema is version {found}, this flint knows up to {known}")]
    Version {
        /// Which.
        path: PathBuf,
        /// The file's schema version.
        found: u32,
        /// The newest this program knows.
        known: u32,
    },
    /// SQLite finds the file damaged.
    #[error("cannot trust the store `{path}`: {finding}")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// SQLite's first finding.
        finding: String,
    },
    /// The write-ahead log beside the file was written for another.
    #[error("cannot use `{path}` with `{of}`: it belongs to another store")]
    Wal {
        /// The log.
        path: PathBuf,
        /// The file.
        of: PathBuf,
    },
    /// No world from which facts could be folded.
    #[error("cannot export from `{path}`: there is no snapshot of the world in it")]
    NoSnapshot {
        /// Which.
        path: PathBuf,
    },
    /// The copy before a change of the schema could not be made.
    #[error("cannot back the store up to `{path}` before changing its schema")]
    Backup {
        /// The copy.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A change of the schema failed; the file is as it was before.
    #[error("cannot bring the store `{path}` from schema {from} to {to}")]
    Migrate {
        /// Which.
        path: PathBuf,
        /// The schema version it has.
        from: u32,
        /// The schema version it should get.
        to: u32,
        /// Why.
        source: rusqlite::Error,
    },
    /// The file cannot be opened or set up, as when it is read-only.
    #[error("cannot open the store `{path}`")]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A query failed.
    #[error("cannot read {what} from the store")]
    Read {
        /// Which table or question.
        what: &'static str,
        /// Why.
        source: rusqlite::Error,
    },
    /// A commit failed; nothing of it is stored.
    #[error("cannot write {what} to the store")]
    Write {
        /// Which table or step.
        what: &'static str,
        /// Why.
        source: rusqlite::Error,
    },
    /// A row does not hold what its table should, or a value cannot be written as JSON.
    #[error("cannot make sense of a row of `{table}` in the store")]
    Row {
        /// Which table.
        table: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// The kernel gave no random bytes for the instance.
    #[error("cannot draw a name for a new store")]
    Random {
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        let text = match self {
            Error::Held { pid: Some(pid), .. } => format!(
                "one daemon per state directory: stop process {pid}, or give this one another `--state-dir`"
            ),
            Error::Held { pid: None, .. } => {
                "one daemon per state directory: stop the other, or give this one another `--state-dir`"
                    .to_owned()
            }
            Error::Open { source, .. } if is_missing(source.as_ref()) => {
                "`--state-dir` (or `[host] state_dir`) names the directory of the daemon's store".to_owned()
            }
            Error::Open { source, .. } if is_full(source.as_ref()) => MAKE_ROOM.to_owned(),
            Error::Lock { source, .. } | Error::Directory { source, .. } if is_full(source) => {
                MAKE_ROOM.to_owned()
            }
            Error::Open { source, .. } => {
                let sqlite = source.downcast_ref::<rusqlite::Error>();
                sqlite.and_then(of_sqlite).unwrap_or(CANNOT_WRITE).to_owned()
            }
            Error::Lock { .. } | Error::Directory { .. } => CANNOT_WRITE.to_owned(),
            Error::Foreign { path } => format!("move `{}` away, or set `[host] state_dir`", path.display()),
            Error::Version { path, known, found } if found > known => format!(
                "run the newer flint again, or stop it and put `{}.bak-v{known}` back in place, without -wal and -shm",
                path.display()
            ),
            Error::Version { .. } | Error::NoSnapshot { .. } => {
                "a start of this flint's daemon brings it up to date and keeps a snapshot".to_owned()
            }
            Error::Damaged { path, .. } => mend(path),
            Error::Wal { path, of } => format!(
                "move `{}` (and the -shm beside it) away if `{}` was put there by hand; else move all three away",
                path.display(),
                of.display()
            ),
            Error::Backup { .. } => "is the disk full? The copy is as large as the store".to_owned(),
            Error::Read { source, .. } | Error::Write { source, .. } => of_sqlite(source)?.to_owned(),
            Error::Migrate { source, .. } => of_sqlite(source)?.to_owned(),
            _ => return None,
        };
        Some(text)
    }
}

/// For a file or a directory that does not let itself be written.
const CANNOT_WRITE: &str = "flint must be able to write there: run it as root, mount it writable, or set `[host] state_dir`";

const MAKE_ROOM: &str =
    "make room on the state directory's disk; a flint that runs goes on by itself then";

/// What SQLite's refusals of a single step ask for.
fn of_sqlite(error: &rusqlite::Error) -> Option<&'static str> {
    match error.sqlite_error_code()? {
        ErrorCode::DiskFull => {
            Some("make room on the state directory's disk; flint goes on by itself then")
        }
        ErrorCode::ReadOnly => Some(CANNOT_WRITE),
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
            Some("`flint doctor` says what can be done")
        }
        ErrorCode::SystemIoFailure => Some(
            "if the state directory's disk is full (`df`) make room; if it fails (`dmesg`) replace it",
        ),
        _ => None,
    }
}

fn is_full(error: &(dyn std::error::Error + 'static)) -> bool {
    let sqlite =
        error.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error_code);
    let io = error.downcast_ref::<io::Error>().map(io::Error::kind);
    sqlite == Some(ErrorCode::DiskFull)
        || matches!(io, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
}

fn is_missing(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// How to go on without a damaged file, and what that costs.
fn mend(path: &Path) -> String {
    let shown = path.display();
    let copy = (1u32..)
        .zip(MIGRATIONS)
        .map(|(version, _)| backup_path(path, version))
        .filter(|copy| copy.is_file())
        .last();
    let copy = match copy {
        Some(copy) => format!(
            " An older copy is `{}`: put it in its place to keep its history.",
            copy.display()
        ),
        None => String::new(),
    };
    format!(
        "stop flint and move `{shown}` (with its -wal and -shm) away. Lost are the history and \
         the log of facts; running microVMs are destroyed as strays, and their jobs fail. GitHub is asked for jobs \
         that wait; images, kernels and the configuration stay.{copy}"
    )
}

fn holder(pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!("another flint, process {pid},"),
        None => "another flint".to_owned(),
    }
}
