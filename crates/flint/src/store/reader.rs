//! The store read by one who does not own it: beside a running daemon, after a dead one, or of a file that no daemon
//! would start with. Nothing is written.

use super::error::Error;
use super::rows::from_json;
use super::sqlite::FILE;
use super::{schema, whole, world};
use flint_core::event::Event;
use flint_core::units::Timestamp;
use flint_core::world::World;
use rusqlite::{Connection, OpenFlags};
use std::collections::VecDeque;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A daemon holds the file for moments only.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// One piece of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The world as it was after the fact of this number and its plan.
    World {
        /// The fact; 0 before the first.
        seq: u64,
        /// When it was written down.
        at: Timestamp,
        /// The flint that wrote it.
        version: String,
        /// The world.
        world: Box<World>,
    },
    /// A fact.
    Fact {
        /// Its number.
        seq: u64,
        /// When it was taken in.
        at: Timestamp,
        /// The number of the first fact that was planned for together with this one.
        turn: u64,
        /// The fact.
        event: Event,
    },
}

/// A reader; it sees the store as it was when it was opened.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    path: PathBuf,
}

impl Reader {
    /// Opens the store in `directory`, whose tables of the world need not be whole.
    ///
    /// # Errors
    /// [`Error`] when there is none, or when it is not of this flint's schema.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let path = directory.join(FILE);
        let connection = connect(&path)?;
        schema::check_owner(&connection, &path)?;
        let (found, known) = (schema::version(&connection, &path)?, schema::newest());
        if found != known {
            return Err(Error::Version { path, found, known });
        }
        // One state of the file for all that follows.
        connection
            .execute_batch("begin")
            .map_err(|source| Error::Open { path: path.clone(), source: Box::new(source) })?;
        Ok(Reader { connection, path })
    }

    /// The store's name.
    ///
    /// # Errors
    /// [`Error::Read`].
    pub fn instance(&self) -> Result<String, Error> {
        Ok(world::instance(&self.connection)?.unwrap_or_default())
    }

    /// Reads the log to its end, and the snapshots that lie in it: from the newest snapshot that is as old as
    /// `since`, else from the oldest.
    ///
    /// # Errors
    /// [`Error`] of the store, or what `take` answers.
    pub fn read<E: From<Error>>(
        &self,
        since: Option<Timestamp>,
        take: &mut impl FnMut(Entry) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut snapshots = self.snapshots(since)?;
        let first = *snapshots.front().ok_or(Error::NoSnapshot { path: self.path.clone() })?;
        let failed = |source| Error::Read { what: "events", source };
        let sql = "select seq, at, turn, body from events where seq > ? order by seq";
        let mut statement = self.connection.prepare(sql).map_err(failed)?;
        let mut rows = statement.query([first.cast_signed()]).map_err(failed)?;
        while let Some(row) = rows.next().map_err(failed)? {
            let number = |column| row.get::<_, i64>(column).map(i64::cast_unsigned);
            let seq = number(0).map_err(failed)?;
            while let Some(at) = snapshots.pop_front_if(|at| *at < seq) {
                take(self.snapshot(at)?)?;
            }
            let at = Timestamp(number(1).map_err(failed)?);
            let turn = number(2).map_err(failed)?;
            let body: String = row.get(3).map_err(failed)?;
            let event = from_json("events", &body)?;
            take(Entry::Fact { seq, at, turn, event })?;
        }
        for at in snapshots {
            take(self.snapshot(at)?)?;
        }
        Ok(())
    }

    /// The numbers of the snapshots to begin with and to come across.
    fn snapshots(&self, since: Option<Timestamp>) -> Result<VecDeque<u64>, Error> {
        let failed = |source| Error::Read { what: "snapshots", source };
        let since = since.map_or(0, |since| since.0.cast_signed());
        let sql = "select seq from snapshots where seq >= coalesce(\
                   (select max(seq) from snapshots where at <= ?), 0) order by seq";
        let mut statement = self.connection.prepare(sql).map_err(failed)?;
        let seqs = statement.query_map([since], |row| row.get::<_, i64>(0)).map_err(failed)?;
        seqs.map(|seq| seq.map(i64::cast_unsigned).map_err(failed)).collect()
    }

    fn snapshot(&self, seq: u64) -> Result<Entry, Error> {
        let sql = "select at, version, body from snapshots where seq = ?";
        let row = self.connection.query_row(sql, [seq.cast_signed()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get::<_, String>(2)?))
        });
        let (at, version, body) =
            row.map_err(|source| Error::Read { what: "snapshots", source })?;
        let world = Box::new(from_json("snapshots", &body)?);
        Ok(Entry::World { seq, at: Timestamp(at.cast_unsigned()), version, world })
    }
}

/// A file up to this size is read whole by [`look`]: some seconds.
const LOOK_WHOLE: u64 = 1 << 30;

/// A store that a daemon could start with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// Which file, how big, which schema.
    pub reading: String,
    /// Damage in its history, which keeps no daemon from running.
    pub damage: Option<String>,
}

/// Whether a daemon could start with the store in `directory`; `None`: there is none yet.
///
/// # Errors
/// [`Error`], as a start would say it.
pub fn look(directory: &Path) -> Result<Option<Health>, Error> {
    let path = directory.join(FILE);
    if !path.exists() {
        return Ok(None);
    }
    let failed = |source| Error::Open { path: path.clone(), source: Box::new(source) };
    drop(OpenOptions::new().write(true).open(&path).map_err(failed)?);
    let alone = whole::alone(&path);
    let connection = connect(&path)?;
    whole::check_wal(&connection, &path, alone.as_ref())?;
    schema::check_owner(&connection, &path)?;
    whole::check(&connection, &path)?;
    let (found, known) = (schema::version(&connection, &path)?, schema::newest());
    if found > known {
        return Err(Error::Version { path, found, known });
    }
    let size = fs::metadata(&path).map_or(0, |file| file.len());
    let damage = match size {
        0..=LOOK_WHOLE => whole::find(&connection)
            .map_err(|source| Error::Open { path: path.clone(), source: Box::new(source) })?,
        _ => None,
    };
    let next = if found < known { ", which the next start renews" } else { "" };
    let reading = format!("{}, {} MiB, schema {found}{next}", path.display(), size >> 20);
    Ok(Some(Health { reading, damage }))
}

/// Without a log beside it nobody writes the file: it is read as it lies there, and nothing appears beside it.
fn connect(path: &Path) -> Result<Connection, Error> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Open {
        path: path.to_owned(),
        source,
    };
    fs::File::open(path).map_err(|source| failed(Box::new(source)))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
    let has_wal = whole::wal_path(path).exists();
    let name = if has_wal { path.as_os_str().to_owned() } else { whole::immutable(path).into() };
    let opened = Connection::open_with_flags(name, flags).and_then(|connection| {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        Ok(connection)
    });
    opened.map_err(|source| failed(Box::new(source)))
}
