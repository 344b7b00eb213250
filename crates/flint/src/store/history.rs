//! What has left the world: written with the commit that removed it, read newest first by an index.

use super::error::Error;
use super::rows::{execute, from_json, integer, to_json};
use super::{History, Query};
use flint_core::id::VmId;
use flint_core::record::{JobRecord, Record, VmRecord};
use rusqlite::types::Value;
use rusqlite::{Connection, Transaction, params_from_iter};
use serde::de::DeserializeOwned;

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
                // As the indexes are ordered: by any other second key, each question would sort all of history.
                jobs: jobs(connection, "order by completed desc, rowid desc limit ?", limit())?,
                vms: vms(connection, "order by gone desc, rowid desc limit ?", limit())?,
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
