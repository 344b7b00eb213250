//! The one real store: a SQLite file of which this process is the only writer.
//!
//! WAL with `synchronous=FULL`: what `commit` returned from is on disk, and a crash in it leaves the world before.

use super::connect::{connect, set_up, trust};
use super::error::Error;
use super::lock::Lock;
use super::rows::{execute, from_json, integer, to_json};
use super::{Change, History, Query, Store, history, prune, schema, snapshot, whole, world};
use crate::error::chain;
use flint_core::event::Event;
use flint_core::units::Timestamp;
use flint_core::world::World;
use rusqlite::types::Value;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::fs;
use std::path::Path;

/// The store's file in the state directory.
pub const FILE: &str = "flint.db";

/// The lock's file in the state directory.
pub const LOCK_FILE: &str = "flint.lock";

/// Commits between two prunings: rare enough to cost nothing, often enough that a flood stays bounded.
const PRUNE_EVERY: u32 = 512;

/// The store in a state directory.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    commits: u32,
    /// More is to be pruned than the last step did.
    behind: bool,
    /// Facts since the last snapshot.
    unkept: usize,
    /// Dropped last: the file is closed before another may open it.
    _lock: Lock,
}

impl Sqlite {
    /// Opens the store in `directory`, makes it when there is none, brings its schema up to date. Blocks.
    ///
    /// # Errors
    /// [`Error`]: the directory cannot be written, another daemon holds it, or the file is not ours, damaged or newer.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        Self::open_with(directory, schema::MIGRATIONS)
    }

    /// As `open`, with these migrations.
    pub(super) fn open_with(directory: &Path, migrations: &[&str]) -> Result<Self, Error> {
        fs::create_dir_all(directory)
            .map_err(|source| Error::Directory { path: directory.to_owned(), source })?;
        let lock = Lock::take(&directory.join(LOCK_FILE))?;
        let path = directory.join(FILE);
        let alone = whole::alone(&path);
        let mut connection = connect(&path)?;
        whole::check_wal(&connection, &path, alone.as_ref())?;
        schema::check_owner(&connection, &path)?;
        set_up(&connection)
            .map_err(|source| Error::Open { path: path.clone(), source: Box::new(source) })?;
        whole::check(&connection, &path)?;
        schema::migrate(&mut connection, &path, migrations)?;
        trust(&connection)
            .map_err(|source| Error::Open { path: path.clone(), source: Box::new(source) })?;
        let mut store = Sqlite { connection, commits: 0, behind: false, unkept: 0, _lock: lock };
        store.name()?;
        Ok(store)
    }

    /// The facts after number `after` (0: from the first one kept), oldest first, each with its number and time.
    ///
    /// # Errors
    /// [`Error`] when the log cannot be read.
    pub fn events(&self, after: u64, most: u32) -> Result<Vec<(u64, Timestamp, Event)>, Error> {
        let failed = |source| Error::Read { what: "events", source };
        let sql = "select seq, at, body from events where seq > ? order by seq limit ?";
        let mut statement = self.connection.prepare_cached(sql).map_err(failed)?;
        let mut rows = statement.query((after.cast_signed(), most)).map_err(failed)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next().map_err(failed)? {
            let seq: i64 = row.get(0).map_err(failed)?;
            let at: i64 = row.get(1).map_err(failed)?;
            let body: String = row.get(2).map_err(failed)?;
            let event = from_json("events", &body)?;
            found.push((seq.cast_unsigned(), Timestamp(at.cast_unsigned()), event));
        }
        Ok(found)
    }

    /// For tests that make the file's life hard.
    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Gives a new store its instance; an old one keeps its own.
    fn name(&mut self) -> Result<(), Error> {
        if world::instance(&self.connection)?.is_some() {
            return Ok(());
        }
        let transaction = begin(&mut self.connection)?;
        world::name(&transaction, &draw_instance()?)?;
        transaction.commit().map_err(|source| Error::Write { what: "the instance", source })
    }

    /// At each start, and after many facts. Without it facts can still be folded from an older one.
    fn keep_snapshot(&mut self, world: &World, change: &Change<'_>) {
        let starts = change.events.iter().any(|event| matches!(event, Event::Started { .. }));
        self.unkept += change.events.len();
        if !starts && self.unkept < snapshot::EVERY {
            return;
        }
        self.unkept = 0;
        if let Err(error) = snapshot::keep(&mut self.connection, world, change.at) {
            tracing::warn!(error = %chain(&error), "cannot keep a snapshot of the world");
        }
    }

    /// After the commit: what is damaged in history must not keep the world from being written.
    fn prune(&mut self, now: Timestamp) {
        if !self.behind && !self.commits.is_multiple_of(PRUNE_EVERY) {
            return;
        }
        self.behind = match prune::step(&mut self.connection, now) {
            Ok(behind) => behind,
            Err(error) => {
                tracing::warn!(error = %chain(&error), "cannot prune the store's history");
                false
            }
        };
    }
}

impl Store for Sqlite {
    fn load(&mut self) -> Result<World, Error> {
        world::read(&self.connection)
    }

    fn commit(&mut self, before: &World, after: &World, change: Change<'_>) -> Result<(), Error> {
        self.keep_snapshot(before, &change);
        let transaction = begin(&mut self.connection)?;
        world::write(&transaction, before, after)?;
        write_change(&transaction, &change)?;
        transaction.commit().map_err(|source| Error::Write { what: "a commit", source })?;
        self.prune(change.at);
        self.commits = self.commits.wrapping_add(1);
        Ok(())
    }

    fn knows(&mut self, delivery: &str) -> Result<bool, Error> {
        self.connection
            .query_row(
                "select exists (select 1 from deliveries where guid = ?)",
                [delivery],
                |row| row.get(0),
            )
            .map_err(|source| Error::Read { what: "deliveries", source })
    }

    fn history(&mut self, query: &Query) -> Result<History, Error> {
        history::read(&self.connection, query)
    }
}

/// The one writer begins to write.
///
/// # Errors
/// [`Error::Write`].
pub(super) fn begin(connection: &mut Connection) -> Result<Transaction<'_>, Error> {
    connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|source| Error::Write { what: "a commit", source })
}

fn write_change(transaction: &Transaction<'_>, change: &Change<'_>) -> Result<(), Error> {
    let turn = last_fact(transaction)? + 1;
    for event in change.events {
        let body = Value::Text(to_json("events", event)?);
        let values = vec![integer(change.at.0), Value::Integer(turn), body];
        let sql = "insert into events (at, turn, body) values (?, ?, ?)";
        execute(transaction, "events", sql, values)?;
    }
    for delivery in change.deliveries {
        let values = vec![Value::Text((*delivery).to_owned()), integer(change.at.0)];
        let sql = "insert or ignore into deliveries (guid, at) values (?, ?)";
        execute(transaction, "deliveries", sql, values)?;
    }
    change.records.iter().try_for_each(|record| history::add(transaction, record))
}

/// The number of the newest fact, also when it is pruned; 0 before the first.
///
/// # Errors
/// [`Error::Read`].
pub(super) fn last_fact(connection: &Connection) -> Result<i64, Error> {
    let sql = "select coalesce(max(seq), 0) from sqlite_sequence where name = 'events'";
    let last = connection.prepare_cached(sql).and_then(|mut ask| ask.query_row([], |r| r.get(0)));
    last.map_err(|source| Error::Read { what: "events", source })
}

/// Six of `a-z 0-9`. 252 is the last multiple of 36 in a byte: higher bytes would favour the first letters.
fn draw_instance() -> Result<String, Error> {
    const LETTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut name = String::with_capacity(6);
    while name.len() < 6 {
        let mut bytes = [0u8; 16];
        rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
            .map_err(|errno| Error::Random { source: errno.into() })?;
        let fair = bytes.iter().filter(|byte| **byte < 252).map(|byte| usize::from(*byte % 36));
        name.extend(fair.take(6 - name.len()).map(|index| char::from(LETTERS[index])));
    }
    Ok(name)
}
