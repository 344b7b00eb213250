//! The moments at which the world is kept as one text, so that the facts after it can be folded again.

use super::error::Error;
use super::rows::{execute, integer, to_json};
use super::sqlite::{begin, last_fact};
use flint_core::units::Timestamp;
use flint_core::world::World;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Transaction};

/// Facts between two snapshots: a few MiB of log, which fold in a second.
pub(super) const EVERY: usize = 10_000;

/// So many are kept: more than the facts that are kept can need.
pub(super) const KEPT: u32 = 32;

/// They weigh no more than this together, unless the newest alone does.
pub(super) const KEPT_BYTES: i64 = 64 << 20;

/// Keeps the world as it is after the last fact of the log, in a transaction of its own: a disk that has room for a
/// commit and none for this goes on.
///
/// # Errors
/// [`Error::Write`] or [`Error::Row`]; nothing has changed then.
pub(super) fn keep(connection: &mut Connection, world: &World, at: Timestamp) -> Result<(), Error> {
    let body = to_json("snapshots", world)?;
    let failed = |source| Error::Write { what: "snapshots", source };
    let transaction = begin(connection)?;
    let values = vec![
        Value::Integer(last_fact(&transaction)?),
        integer(at.0),
        Value::Text(env!("CARGO_PKG_VERSION").to_owned()),
        Value::Text(body),
    ];
    let sql = "insert or replace into snapshots (seq, at, version, body) values (?, ?, ?, ?)";
    execute(&transaction, "snapshots", sql, values)?;
    thin_out(&transaction).map_err(failed)?;
    transaction.commit().map_err(failed)
}

/// Too many or too heavy: the one goes whose neighbours are nearest, so that a daemon that is started again and again
/// does not push out the days before. The newest stays.
fn thin_out(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    for _ in 0..=KEPT {
        let sql = "select count(*), coalesce(sum(octet_length(body)), 0) from snapshots";
        let (count, bytes): (u32, i64) =
            transaction.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if count <= 1 || (count <= KEPT && bytes <= KEPT_BYTES) {
            return Ok(());
        }
        let between = "select seq from (select seq, lead(seq) over (order by seq) - lag(seq) over (order by seq) \
                       as gap from snapshots) where gap is not null order by gap, seq limit 1";
        let nearest: Option<i64> =
            transaction.query_row(between, [], |row| row.get(0)).optional()?;
        match nearest {
            Some(seq) => transaction.execute("delete from snapshots where seq = ?", [seq])?,
            None => transaction.execute(
                "delete from snapshots where seq = (select min(seq) from snapshots)",
                [],
            )?,
        };
    }
    Ok(())
}
