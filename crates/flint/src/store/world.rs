//! The world's tables: read whole at a start, written where two worlds differ.

use super::error::Error;
use super::rows::{self, StrayRunner, execute, from_json, keys_of, read_map, to_json};
use flint_core::id::{HostId, ScopeId, VmId};
use flint_core::world::World;
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Transaction};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// The world as it was committed last.
///
/// # Errors
/// [`Error::Read`] or [`Error::Row`].
pub(super) fn read(connection: &Connection) -> Result<World, Error> {
    let stray_guests: BTreeMap<(HostId, VmId), ()> = read_map(connection, "stray_guests")?;
    let stray_runners: BTreeMap<StrayRunner, ScopeId> = read_map(connection, "stray_runners")?;
    Ok(World {
        instance: instance(connection)?.unwrap_or_default(),
        profiles: read_map(connection, "profiles")?,
        breakers: read_map(connection, "breakers")?,
        hosts: read_map(connection, "hosts")?,
        limits: whole(connection, "limits")?,
        installations: whole(connection, "installations")?,
        scopes: whole(connection, "scopes")?,
        runner_versions: whole(connection, "runner_versions")?,
        repositories: whole(connection, "repositories")?,
        scale_sets: whole(connection, "scale_sets")?,
        jobs: read_map(connection, "jobs")?,
        finished: read_map(connection, "finished")?,
        vms: read_map(connection, "vms")?,
        next_vm: next_vm(connection)?,
        stray_guests: stray_guests.into_keys().collect(),
        stray_runners: stray_runners.into_iter().map(|(key, scope)| (key.0, scope)).collect(),
    })
}

/// Writes what differs.
///
/// # Errors
/// [`Error::Write`] or [`Error::Row`].
pub(super) fn write(
    transaction: &Transaction<'_>,
    before: &World,
    after: &World,
) -> Result<(), Error> {
    rows::write_map(transaction, "profiles", &before.profiles, &after.profiles)?;
    rows::write_map(transaction, "breakers", &before.breakers, &after.breakers)?;
    rows::write_map(transaction, "hosts", &before.hosts, &after.hosts)?;
    rows::write_rows(transaction, "jobs", before.jobs.rows(), after.jobs.rows())?;
    rows::write_rows(transaction, "finished", &before.finished, &after.finished)?;
    rows::write_rows(transaction, "vms", &before.vms, &after.vms)?;
    let guests = |world: &World| keys_of(&world.stray_guests, |key| key);
    rows::write_map(transaction, "stray_guests", &guests(before), &guests(after))?;
    let runners = |world: &World| -> BTreeMap<StrayRunner, ScopeId> {
        let strays = world.stray_runners.iter();
        strays.map(|(vm, scope)| (StrayRunner(*vm), scope.clone())).collect()
    };
    rows::write_map(transaction, "stray_runners", &runners(before), &runners(after))?;
    write_whole(transaction, "limits", &before.limits, &after.limits)?;
    write_whole(transaction, "installations", &before.installations, &after.installations)?;
    write_whole(transaction, "scopes", &before.scopes, &after.scopes)?;
    write_whole(transaction, "runner_versions", &before.runner_versions, &after.runner_versions)?;
    write_whole(transaction, "repositories", &before.repositories, &after.repositories)?;
    write_whole(transaction, "scale_sets", &before.scale_sets, &after.scale_sets)?;
    if before.next_vm != after.next_vm {
        write_meta(transaction, "next_vm", &after.next_vm.to_string())?;
    }
    Ok(())
}

/// The name that a store gives itself, if it has one yet.
///
/// # Errors
/// [`Error::Read`].
pub(super) fn instance(connection: &Connection) -> Result<Option<String>, Error> {
    meta(connection, "instance")
}

/// Gives a store its name.
///
/// # Errors
/// [`Error::Write`].
pub(super) fn name(transaction: &Transaction<'_>, instance: &str) -> Result<(), Error> {
    write_meta(transaction, "instance", instance)
}

fn meta(connection: &Connection, key: &str) -> Result<Option<String>, Error> {
    connection
        .query_row("select value from meta where key = ?", [key], |row| row.get(0))
        .optional()
        .map_err(|source| Error::Read { what: "meta", source })
}

/// A small part of the world that is kept as one text.
fn whole<V: DeserializeOwned + Default>(connection: &Connection, key: &str) -> Result<V, Error> {
    match meta(connection, key)? {
        Some(text) => from_json("meta", &text),
        None => Ok(V::default()),
    }
}

fn next_vm(connection: &Connection) -> Result<u64, Error> {
    match meta(connection, "next_vm")? {
        Some(text) => from_json("meta", &text),
        None => Ok(1),
    }
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
