//! Removes what is older or more than it may be, a bounded piece at a time.
//!
//! No step scans: each begins at the old end of an index, and what is too many is told by numbers that only grow.

use super::error::Error;
use super::rows::integer;
use super::sqlite::begin;
use flint_core::units::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, Transaction, params_from_iter};
use std::time::Duration;

/// GitHub redelivers for three days at most; a fourth is for clocks and queues. These are not bounded by number: one
/// that is forgotten would be taken for new.
pub(super) const DELIVERIES_KEPT: Duration = Duration::from_hours(4 * 24);

/// Long enough to look into last week's incident, short enough that facts of strangers do not pile up.
pub(super) const EVENTS_KEPT: Duration = Duration::from_hours(14 * 24);

/// About 100 MiB at the size of a `workflow_job` fact: a flood of webhooks must not fill the disk.
pub(super) const EVENTS_MAX: u64 = 200_000;

/// GitHub shows a run's own page for 90 days by default; ours need not outlive it.
pub(super) const RECORDS_KEPT: Duration = Duration::from_hours(90 * 24);

/// A busy host's 90 days; about 100 MiB.
pub(super) const RECORDS_MAX: u64 = 100_000;

/// Rows of one table that one step removes. A commit brings 256 facts at most, so a step after each commit gains.
pub(super) const STEP_ROWS: u32 = 500;

/// And their bytes: a row may be large, and the controller waits for the step.
const STEP_BYTES: i64 = 1 << 20;

/// Free pages that are left for the next rows; beyond it, and beyond a quarter of the file, they go back.
const SPARE_PAGES: i64 = 1_024;

/// Pages that one step gives back.
const STEP_PAGES: i64 = 256;

/// One step, in a transaction of its own; whether more is left to do.
///
/// # Errors
/// [`Error::Write`]; nothing has changed then.
pub(super) fn step(connection: &mut Connection, now: Timestamp) -> Result<bool, Error> {
    let transaction = begin(connection)?;
    let mut left = events(&transaction, now)?;
    for table in &TABLES {
        left |= table.too_old(&transaction, now)?;
        left |= table.too_many(&transaction)?;
    }
    let written = |source| Error::Write { what: "the end of a pruning", source };
    transaction.commit().map_err(written)?;
    // One after the other: each alone is a few MiB for the disk.
    if left { Ok(true) } else { give_back(connection).map_err(written) }
}

/// From the old end of the log, so that it never lacks its middle: those too old, and those too many. A clock that
/// was once ahead keeps facts longer than they should be, but not more of them.
fn events(transaction: &Transaction<'_>, now: Timestamp) -> Result<bool, Error> {
    let failed = |source| Error::Write { what: "events", source };
    let oldest = before(now, EVENTS_KEPT);
    let newest: Option<i64> = transaction
        .query_row("select max(seq) from events", [], |row| row.get(0))
        .map_err(failed)?;
    let surplus = newest.unwrap_or(0).saturating_sub_unsigned(EVENTS_MAX);
    let (mut last, mut bytes, mut rows, mut left) = (None, 0, 0, false);
    let sql = "select seq, at, octet_length(body) from events order by seq";
    let mut statement = transaction.prepare_cached(sql).map_err(failed)?;
    let mut found = statement.query([]).map_err(failed)?;
    while let Some(row) = found.next().map_err(failed)? {
        let seq: i64 = row.get(0).map_err(failed)?;
        let at: i64 = row.get(1).map_err(failed)?;
        if seq > surplus && at >= oldest {
            break;
        }
        if bytes >= STEP_BYTES || rows >= STEP_ROWS {
            left = true;
            break;
        }
        (last, rows) = (Some(seq), rows + 1);
        bytes += row.get::<_, i64>(2).map_err(failed)?;
    }
    if let Some(last) = last {
        run(
            transaction,
            "events",
            "delete from events where seq <= ?",
            vec![Value::Integer(last)],
        )?;
        // Nobody can fold from there any more. The newest stays: the facts after it are still to come.
        let useless =
            "delete from snapshots where seq < ? and seq < (select max(seq) from snapshots)";
        run(transaction, "snapshots", useless, vec![Value::Integer(last)])?;
    }
    Ok(left)
}

/// A table that is pruned by the time of its rows.
struct Table {
    name: &'static str,
    key: &'static str,
    time: &'static str,
    kept: Duration,
    /// At most so many by key, which grows with each row.
    most: Option<u64>,
}

const TABLES: [Table; 3] = [
    Table { name: "deliveries", key: "guid", time: "at", kept: DELIVERIES_KEPT, most: None },
    Table {
        name: "jobs_done",
        key: "rowid",
        time: "completed",
        kept: RECORDS_KEPT,
        most: Some(RECORDS_MAX),
    },
    Table {
        name: "vms_done",
        key: "rowid",
        time: "gone",
        kept: RECORDS_KEPT,
        most: Some(RECORDS_MAX),
    },
];

impl Table {
    fn too_old(&self, transaction: &Transaction<'_>, now: Timestamp) -> Result<bool, Error> {
        let Table { name, key, time, .. } = self;
        let sql = format!(
            "delete from {name} where {key} in \
             (select {key} from {name} where {time} < ? order by {time} limit ?)"
        );
        let values = vec![Value::Integer(before(now, self.kept)), integer(STEP_ROWS.into())];
        Ok(run(transaction, self.name, &sql, values)? >= STEP_ROWS as usize)
    }

    fn too_many(&self, transaction: &Transaction<'_>) -> Result<bool, Error> {
        let Table { name, key, most: Some(most), .. } = self else { return Ok(false) };
        let sql = format!(
            "delete from {name} where {key} in (select {key} from {name} \
             where {key} <= (select max({key}) from {name}) - ? order by {key} limit ?)"
        );
        let values = vec![integer(*most), integer(STEP_ROWS.into())];
        Ok(run(transaction, self.name, &sql, values)? >= STEP_ROWS as usize)
    }
}

/// Gives free pages back to the file system, in a store that was made so that it can (see `set_up`); whether more
/// are left. Rows that come reuse free pages anyway.
fn give_back(connection: &Connection) -> rusqlite::Result<bool> {
    let ask = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
    let (free, all) = (ask("freelist_count")?, ask("page_count")?);
    if free <= SPARE_PAGES || free < all / 4 {
        return Ok(false);
    }
    // A page is given back each time it is asked for the next row, though it has none.
    let mut giving = connection.prepare(&format!("pragma incremental_vacuum({STEP_PAGES})"))?;
    let mut pages = giving.query([])?;
    while pages.next()?.is_some() {}
    Ok(ask("freelist_count")? < free)
}

fn before(now: Timestamp, kept: Duration) -> i64 {
    let millis = u64::try_from(kept.as_millis()).unwrap_or(u64::MAX);
    now.0.saturating_sub(millis).cast_signed()
}

fn run(
    transaction: &Transaction<'_>,
    what: &'static str,
    sql: &str,
    values: Vec<Value>,
) -> Result<usize, Error> {
    let failed = |source| Error::Write { what, source };
    let mut statement = transaction.prepare_cached(sql).map_err(failed)?;
    statement.execute(params_from_iter(values)).map_err(failed)
}
