//! How entries of the world become rows, and which rows differ between two worlds.

use super::error::Error;
use flint_core::id::{HostId, JobKey, ProfileId, VmId};
use flint_core::rows::{Difference, Rows};
use rusqlite::types::Value;
use rusqlite::{Connection, Row, Transaction, params_from_iter};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};

/// A key of one of the world's maps, as columns.
pub(super) trait Key: Ord + Clone {
    /// The key's columns, in order.
    const COLUMNS: &'static [&'static str];

    /// Its values, in the same order.
    fn values(&self) -> Vec<Value>;

    /// Read back from a row that begins with these columns.
    fn read(row: &Row<'_>) -> rusqlite::Result<Self>;
}

/// A `u64` as SQLite's signed integer, bit by bit: every value comes back as it was.
pub(super) fn integer(number: u64) -> Value {
    Value::Integer(number.cast_signed())
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

impl Key for VmId {
    const COLUMNS: &'static [&'static str] = &["id"];

    fn values(&self) -> Vec<Value> {
        vec![integer(self.0)]
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        unsigned(row, 0).map(VmId)
    }
}

impl Key for JobKey {
    const COLUMNS: &'static [&'static str] = &["id", "attempt"];

    fn values(&self) -> Vec<Value> {
        vec![integer(self.id), integer(self.attempt.into())]
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(JobKey { id: unsigned(row, 0)?, attempt: row.get(1)? })
    }
}

impl Key for HostId {
    const COLUMNS: &'static [&'static str] = &["id"];

    fn values(&self) -> Vec<Value> {
        vec![integer(self.0.into())]
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        row.get(0).map(HostId)
    }
}

impl Key for ProfileId {
    const COLUMNS: &'static [&'static str] = &["name"];

    fn values(&self) -> Vec<Value> {
        vec![Value::Text(self.as_str().to_owned())]
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let name: String = row.get(0)?;
        ProfileId::new(&name).map_err(|bad| {
            rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(bad))
        })
    }
}

impl Key for (HostId, VmId) {
    const COLUMNS: &'static [&'static str] = &["host", "vm"];

    fn values(&self) -> Vec<Value> {
        vec![integer(self.0.0.into()), integer(self.1.0)]
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok((HostId(row.get(0)?), VmId(unsigned(row, 1)?)))
    }
}

/// A stray runner's key; its column has another name than a microVM's own row.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StrayRunner(pub(super) VmId);

impl Key for StrayRunner {
    const COLUMNS: &'static [&'static str] = &["vm"];

    fn values(&self) -> Vec<Value> {
        self.0.values()
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        VmId::read(row).map(StrayRunner)
    }
}

/// All of a table.
///
/// # Errors
/// [`Error::Read`] or [`Error::Row`].
pub(super) fn read_map<K: Key, V: DeserializeOwned, M: FromIterator<(K, V)>>(
    connection: &Connection,
    table: &'static str,
) -> Result<M, Error> {
    let failed = |source| Error::Read { what: table, source };
    let columns = K::COLUMNS.join(", ");
    let sql = format!("select {columns}, body from {table}");
    let mut statement = connection.prepare_cached(&sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let key = K::read(row).map_err(failed)?;
        let body: String = row.get(K::COLUMNS.len()).map_err(failed)?;
        entries.push((key, from_json(table, &body)?));
    }
    Ok(entries.into_iter().collect())
}

/// Writes the entries of `after` that `before` has not or has otherwise, and removes those that are gone.
///
/// # Errors
/// [`Error::Write`] or [`Error::Row`].
pub(super) fn write_map<K: Key, V: Serialize + PartialEq>(
    transaction: &Transaction<'_>,
    table: &'static str,
    before: &BTreeMap<K, V>,
    after: &BTreeMap<K, V>,
) -> Result<(), Error> {
    for (key, value) in after {
        if before.get(key) != Some(value) {
            write_row(transaction, table, Difference::Now(key, value))?;
        }
    }
    let mut gone = before.keys().filter(|key| !after.contains_key(*key));
    gone.try_for_each(|key| write_row::<K, V>(transaction, table, Difference::Gone(key)))
}

/// The same for maps that know how they differ.
///
/// # Errors
/// [`Error::Write`] or [`Error::Row`].
pub(super) fn write_rows<K: Key, V: Serialize + PartialEq + Clone>(
    transaction: &Transaction<'_>,
    table: &'static str,
    before: &Rows<K, V>,
    after: &Rows<K, V>,
) -> Result<(), Error> {
    after.since(before).try_for_each(|difference| write_row(transaction, table, difference))
}

fn write_row<K: Key, V: Serialize>(
    transaction: &Transaction<'_>,
    table: &'static str,
    difference: Difference<'_, K, V>,
) -> Result<(), Error> {
    match difference {
        Difference::Now(key, value) => {
            let mut values = key.values();
            values.push(Value::Text(to_json(table, value)?));
            let marks = vec!["?"; values.len()].join(", ");
            let columns = K::COLUMNS.join(", ");
            let sql = format!("insert or replace into {table} ({columns}, body) values ({marks})");
            execute(transaction, table, &sql, values)
        }
        Difference::Gone(key) => {
            let same = K::COLUMNS.join(" = ? and ");
            let sql = format!("delete from {table} where {same} = ?");
            execute(transaction, table, &sql, key.values())
        }
    }
}

/// A set as a map to nothing, so that it is stored like one.
pub(super) fn keys_of<T: Clone, K: Key>(set: &BTreeSet<T>, key: fn(T) -> K) -> BTreeMap<K, ()> {
    set.iter().cloned().map(|entry| (key(entry), ())).collect()
}

/// One statement of a commit.
///
/// # Errors
/// [`Error::Write`].
pub(super) fn execute(
    transaction: &Transaction<'_>,
    what: &'static str,
    sql: &str,
    values: Vec<Value>,
) -> Result<(), Error> {
    let failed = |source| Error::Write { what, source };
    let mut statement = transaction.prepare_cached(sql).map_err(failed)?;
    statement.execute(params_from_iter(values)).map_err(failed)?;
    Ok(())
}

/// A value as the text of a `body` column.
///
/// # Errors
/// [`Error::Row`].
pub(super) fn to_json<V: Serialize>(table: &'static str, value: &V) -> Result<String, Error> {
    serde_json::to_string(value).map_err(|source| Error::Row { table, source })
}

/// The value of a `body` column.
///
/// # Errors
/// [`Error::Row`].
pub(super) fn from_json<V: DeserializeOwned>(table: &'static str, text: &str) -> Result<V, Error> {
    serde_json::from_str(text).map_err(|source| Error::Row { table, source })
}
