//! What has left the world: written with the commit that removed it, read newest first, pruned.

use super::error::Error;
use super::rows::{execute, from_json, integer, to_json};
use super::{History, Query};
use flint_core::id::VmId;
use flint_core::record::{JobRecord, Record, VmRecord};
use flint_core::units::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, Transaction, params_from_iter};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// GitHub redelivers for three days at most; a fourth is for clocks and queues.
pub(super) const DELIVERIES_KEPT: Duration = Duration::from_hours(4 * 24);

/// Long enough to look into last week's incident, short enough that facts of strangers do not pile up.
pub(super) const EVENTS_KEPT: Duration = Duration::from_hours(14 * 24);

/// About 100 MiB at the size of a `workflow_job` fact: a flood of webhooks must not fill the disk.
pub(super) const EVENTS_MAX: u64 = 200_000;

/// GitHub shows a run's own page for 90 days by default; ours need not outlive it.
pub(super) const RECORDS_KEPT: Duration = Duration::from_hours(90 * 24);

/// A busy host's 90 days; about 100 MiB.
pub(super) const RECORDS_MAX: u64 = 100_000;

/// Adds what left the world. A record that comes twice replaces itself.
///
/// # Errors
/// [`Error::Write`] or [`Error::Row`].
pub(super) fn add(transaction: &Transaction<'_>, record: &Record) -> Result<(), Error> {
    match record {
        Record::Job(done) => add_job(transaction, done),
        Record::Vm(gone) => add_vm(transaction, gone),
    }
}

fn add_job(transaction: &Transaction<'_>, done: &JobRecord) -> Result<(), Error> {
    let values = vec![
        integer(done.key.id),
        integer(done.key.attempt.into()),
        done.vm.map_or(Value::Null, |vm| integer(vm.0)),
        integer(done.completed.0),
        Value::Text(to_json("jobs_done", done)?),
    ];
    let sql = "insert or replace into jobs_done (id, attempt, vm, completed, body) values (?, ?, ?, ?, ?)";
    execute(transaction, "jobs_done", sql, values)
}

fn add_vm(transaction: &Transaction<'_>, gone: &VmRecord) -> Result<(), Error> {
    let values = vec![
        integer(gone.id.0),
        gone.job.map_or(Value::Null, |job| integer(job.id)),
        gone.job.map_or(Value::Null, |job| integer(job.attempt.into())),
        integer(gone.gone.0),
        Value::Text(to_json("vms_done", gone)?),
    ];
    let sql =
        "insert or replace into vms_done (id, job, attempt, gone, body) values (?, ?, ?, ?, ?)";
    execute(transaction, "vms_done", sql, values)
}

/// Answers a query.
///
/// # Errors
/// [`Error::Read`] or [`Error::Row`].
pub(super) fn read(connection: &Connection, query: &Query) -> Result<History, Error> {
    match *query {
        Query::Newest(count) => {
            let limit = || vec![integer(count.into())];
            Ok(History {
                jobs: jobs(connection, "order by completed desc, id desc limit ?", limit())?,
                vms: vms(connection, "order by gone desc, id desc limit ?", limit())?,
            })
        }
        Query::Job(id) => job_and_its_vms(connection, id),
        Query::Vm(vm) => Ok(History {
            jobs: jobs(connection, "where vm = ? order by completed desc", vec![integer(vm.0)])?,
            vms: vm_row(connection, vm)?,
        }),
    }
}

/// A job names its microVM, or the microVM names its job: either may have been known alone.
fn job_and_its_vms(connection: &Connection, id: u64) -> Result<History, Error> {
    let name = || vec![integer(id)];
    let jobs = jobs(connection, "where id = ? order by attempt desc", name())?;
    let newest_first = "where job = ? order by attempt desc, gone desc";
    let mut found = vms(connection, newest_first, name())?;
    for vm in jobs.iter().filter_map(|job| job.vm) {
        if found.iter().all(|record| record.id != vm) {
            found.extend(vm_row(connection, vm)?);
        }
    }
    Ok(History { jobs, vms: found })
}

fn vm_row(connection: &Connection, vm: VmId) -> Result<Vec<VmRecord>, Error> {
    vms(connection, "where id = ?", vec![integer(vm.0)])
}

fn jobs(connection: &Connection, rest: &str, values: Vec<Value>) -> Result<Vec<JobRecord>, Error> {
    bodies(connection, "jobs_done", rest, values)
}

fn vms(connection: &Connection, rest: &str, values: Vec<Value>) -> Result<Vec<VmRecord>, Error> {
    bodies(connection, "vms_done", rest, values)
}

/// The `body` of the rows of `table` that `rest` (our own text, never a stranger's) chooses.
pub(super) fn bodies<V: DeserializeOwned>(
    connection: &Connection,
    table: &'static str,
    rest: &str,
    values: Vec<Value>,
) -> Result<Vec<V>, Error> {
    let failed = |source| Error::Read { what: table, source };
    let sql = format!("select body from {table} {rest}");
    let mut statement = connection.prepare_cached(&sql).map_err(failed)?;
    let texts = statement
        .query_map(params_from_iter(values), |row| row.get::<_, String>(0))
        .map_err(failed)?;
    texts.map(|text| from_json(table, &text.map_err(failed)?)).collect()
}

/// Removes what is older or more than it may be.
///
/// # Errors
/// [`Error::Write`].
pub(super) fn prune(transaction: &Transaction<'_>, now: Timestamp) -> Result<(), Error> {
    let before = |kept: Duration| {
        let millis = u64::try_from(kept.as_millis()).unwrap_or(u64::MAX);
        vec![integer(now.0.saturating_sub(millis))]
    };
    execute(
        transaction,
        "deliveries",
        "delete from deliveries where at < ?",
        before(DELIVERIES_KEPT),
    )?;
    execute(transaction, "events", "delete from events where at < ?", before(EVENTS_KEPT))?;
    execute(
        transaction,
        "jobs_done",
        "delete from jobs_done where completed < ?",
        before(RECORDS_KEPT),
    )?;
    execute(transaction, "vms_done", "delete from vms_done where gone < ?", before(RECORDS_KEPT))?;
    let newest = "delete from events where seq <= (select max(seq) from events) - ?";
    execute(transaction, "events", newest, vec![integer(EVENTS_MAX)])?;
    for (table, time) in [("jobs_done", "completed"), ("vms_done", "gone")] {
        let sql = format!(
            "delete from {table} where rowid in \
             (select rowid from {table} order by {time} desc limit -1 offset ?)"
        );
        execute(transaction, table, &sql, vec![integer(RECORDS_MAX)])?;
    }
    Ok(())
}
