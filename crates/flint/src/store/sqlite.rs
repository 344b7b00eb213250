//! The one real store: a SQLite file of which this process is the only writer.
//!
//! WAL with `synchronous=FULL`: what `commit` returned from is on disk, and a crash in it leaves the world before.

use super::error::Error;
use super::lock::Lock;
use super::rows::{
    StrayRunner, execute, integer, keys_of, read_map, to_json, write_map, write_rows,
};
use super::{Change, History, Query, Store, history, schema};
use flint_core::event::Event;
use flint_core::id::{HostId, VmId};
use flint_core::units::Timestamp;
use flint_core::world::World;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// The store's file in the state directory.
pub const FILE: &str = "flint.db";

/// The lock's file in the state directory.
pub const LOCK_FILE: &str = "flint.lock";

/// Commits between two prunings: rare enough to cost nothing, often enough that a flood stays bounded.
const PRUNE_EVERY: u32 = 512;

/// How long to wait for someone's `sqlite3` on the file. We are the only writer; a reader is done in less.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The store in a state directory.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    commits: u32,
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
        let mut connection = connect(&path)?;
        schema::check_owner(&connection, &path)?;
        set_up(&connection).map_err(|source| Error::Open { path: path.clone(), source })?;
        check_whole(&connection, &path)?;
        schema::migrate(&mut connection, &path, migrations)?;
        let mut store = Sqlite { connection, commits: 0, _lock: lock };
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
            let event = super::rows::from_json("events", &body)?;
            found.push((seq.cast_unsigned(), Timestamp(at.cast_unsigned()), event));
        }
        Ok(found)
    }

    /// Gives a new store its instance; an old one keeps its own.
    fn name(&mut self) -> Result<(), Error> {
        if self.meta("instance")?.is_some() {
            return Ok(());
        }
        let transaction = begin(&mut self.connection)?;
        write_meta(&transaction, "instance", &draw_instance()?)?;
        transaction.commit().map_err(|source| Error::Write { what: "the instance", source })
    }

    fn meta(&self, key: &str) -> Result<Option<String>, Error> {
        self.connection
            .query_row("select value from meta where key = ?", [key], |row| row.get(0))
            .optional()
            .map_err(|source| Error::Read { what: "meta", source })
    }

    /// A small part of the world that is kept as one text.
    fn whole<V: DeserializeOwned + Default>(&self, key: &str) -> Result<V, Error> {
        match self.meta(key)? {
            Some(text) => super::rows::from_json("meta", &text),
            None => Ok(V::default()),
        }
    }

    fn next_vm(&self) -> Result<u64, Error> {
        match self.meta("next_vm")? {
            Some(text) => super::rows::from_json("meta", &text),
            None => Ok(1),
        }
    }
}

impl Store for Sqlite {
    fn load(&mut self) -> Result<World, Error> {
        let stray_guests: BTreeMap<(HostId, VmId), ()> =
            read_map(&self.connection, "stray_guests")?;
        let stray_runners: BTreeMap<StrayRunner, ()> = read_map(&self.connection, "stray_runners")?;
        Ok(World {
            instance: self.meta("instance")?.unwrap_or_default(),
            profiles: read_map(&self.connection, "profiles")?,
            breakers: read_map(&self.connection, "breakers")?,
            hosts: read_map(&self.connection, "hosts")?,
            limits: self.whole("limits")?,
            forge: self.whole("forge")?,
            repositories: self.whole("repositories")?,
            jobs: read_map(&self.connection, "jobs")?,
            finished: read_map(&self.connection, "finished")?,
            vms: read_map(&self.connection, "vms")?,
            next_vm: self.next_vm()?,
            stray_guests: stray_guests.into_keys().collect(),
            stray_runners: stray_runners.into_keys().map(|key| key.0).collect(),
        })
    }

    fn commit(&mut self, before: &World, after: &World, change: Change<'_>) -> Result<(), Error> {
        let prune = self.commits.is_multiple_of(PRUNE_EVERY);
        let transaction = begin(&mut self.connection)?;
        write_world(&transaction, before, after)?;
        write_change(&transaction, &change)?;
        if prune {
            history::prune(&transaction, change.at)?;
        }
        transaction.commit().map_err(|source| Error::Write { what: "a commit", source })?;
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

/// The file holds names of repositories and jobs: for its owner alone. SQLite gives -wal and -shm the same mode.
fn connect(path: &Path) -> Result<Connection, Error> {
    let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
    made.map_err(|source| Error::Directory { path: path.to_owned(), source })?;
    Connection::open(path).map_err(|source| Error::Open { path: path.to_owned(), source })
}

fn set_up(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    connection.pragma_update(None, "synchronous", "full")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // One shape per table, a handful of queries: all statements stay prepared.
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn check_whole(connection: &Connection, path: &Path) -> Result<(), Error> {
    let damaged = |finding: String| Error::Damaged { path: path.to_owned(), finding };
    let answer = connection.query_row("pragma quick_check(1)", [], |row| row.get::<_, String>(0));
    match answer {
        Ok(answer) if answer == "ok" => Ok(()),
        Ok(finding) => Err(damaged(finding)),
        Err(error) => Err(damaged(error.to_string())),
    }
}

fn begin(connection: &mut Connection) -> Result<Transaction<'_>, Error> {
    connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(|source| Error::Write { what: "a commit", source })
}

fn write_world(transaction: &Transaction<'_>, before: &World, after: &World) -> Result<(), Error> {
    write_map(transaction, "profiles", &before.profiles, &after.profiles)?;
    write_map(transaction, "breakers", &before.breakers, &after.breakers)?;
    write_map(transaction, "hosts", &before.hosts, &after.hosts)?;
    write_rows(transaction, "jobs", before.jobs.rows(), after.jobs.rows())?;
    write_rows(transaction, "finished", &before.finished, &after.finished)?;
    write_rows(transaction, "vms", &before.vms, &after.vms)?;
    let guests = |world: &World| keys_of(&world.stray_guests, |key| key);
    write_map(transaction, "stray_guests", &guests(before), &guests(after))?;
    let runners = |world: &World| keys_of(&world.stray_runners, StrayRunner);
    write_map(transaction, "stray_runners", &runners(before), &runners(after))?;
    write_whole(transaction, "limits", &before.limits, &after.limits)?;
    write_whole(transaction, "forge", &before.forge, &after.forge)?;
    write_whole(transaction, "repositories", &before.repositories, &after.repositories)?;
    if before.next_vm != after.next_vm {
        write_meta(transaction, "next_vm", &after.next_vm.to_string())?;
    }
    Ok(())
}

fn write_change(transaction: &Transaction<'_>, change: &Change<'_>) -> Result<(), Error> {
    for event in change.events {
        let values = vec![integer(change.at.0), Value::Text(to_json("events", event)?)];
        execute(transaction, "events", "insert into events (at, body) values (?, ?)", values)?;
    }
    for delivery in change.deliveries {
        let values = vec![Value::Text((*delivery).to_owned()), integer(change.at.0)];
        let sql = "insert or ignore into deliveries (guid, at) values (?, ?)";
        execute(transaction, "deliveries", sql, values)?;
    }
    change.records.iter().try_for_each(|record| history::add(transaction, record))
}

fn write_whole<V: Serialize + PartialEq>(
    transaction: &Transaction<'_>,
    key: &str,
    before: &V,
    after: &V,
) -> Result<(), Error> {
    if before == after {
        return Ok(());
    }
    write_meta(transaction, key, &to_json("meta", after)?)
}

fn write_meta(transaction: &Transaction<'_>, key: &str, value: &str) -> Result<(), Error> {
    let values = vec![Value::Text(key.to_owned()), Value::Text(value.to_owned())];
    let sql = "insert or replace into meta (key, value) values (?, ?)";
    execute(transaction, "meta", sql, values)
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
