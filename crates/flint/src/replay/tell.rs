//! A replay for people: each fact on a line, and below it what followed.

use super::log::{Header, Names};
use super::say;
use super::walk::{Change, Step, Walk};
use crate::text::escaped;
use flint_core::id::JobKey;
use flint_core::plan::Because;

/// What the log is.
#[must_use]
pub fn opening(header: &Header) -> String {
    let names = match header.names {
        Names::Kept => "with its names",
        Names::Replaced => "with stand-ins for names",
    };
    let Header { version, instance, written, .. } = header;
    let written = say::time(*written);
    escaped(&format!("facts of {instance}, exported by flint {version} at {written}, {names}"))
}

/// One step, without an end of line.
#[must_use]
pub fn show_step(step: &Step) -> String {
    let mut lines = Vec::new();
    for told in &step.facts {
        lines.push(format!("#{} {} {}", told.seq, say::time(step.at), say::fact(&told.fact)));
        lines.extend(told.changes.iter().map(|change| format!("    {}", changed(change))));
    }
    lines.extend(step.planned.iter().map(|change| format!("    plan: {}", changed(change))));
    lines.extend(step.orders.iter().map(|order| format!("    order: {}", say::action(order))));
    lines.extend(
        step.waits.iter().map(|(job, cause)| format!("    {}", waits(*job, cause.as_ref()))),
    );
    lines.extend(step.notes.iter().map(|note| format!("    WRONG: {note}")));
    if !step.differs.is_empty() {
        lines.push(
            "    the daemon wrote down another world here; it goes on from that one:".to_owned(),
        );
        lines.extend(step.differs.iter().map(|change| format!("      {}", changed(change))));
    }
    // Texts of strangers are in it.
    lines.iter().map(|line| escaped(line)).collect::<Vec<_>>().join("\n")
}

/// The whole world after the last step, with what is due and what waits.
#[must_use]
pub fn show_world(walk: &Walk) -> String {
    let world = walk.world();
    let mut lines = Vec::new();
    let mut part = |title: &str, rows: Vec<String>| {
        lines.push(
            format!("{title}: {}", if rows.is_empty() { "none" } else { "" }).trim_end().to_owned(),
        );
        lines.extend(rows.iter().map(|row| format!("  {}", escaped(row))));
    };
    let rows = world.profiles.iter().map(|(id, row)| format!("{id}: {}", say::profile(row)));
    part("profiles", rows.collect());
    let rows = world.breakers.iter().map(|(id, row)| format!("{id}: {}", say::breaker(row)));
    part("breakers", rows.collect());
    let host = |row: &flint_core::host::Host| {
        format!("{}, heard of at {}", say::host(row), say::time(row.seen))
    };
    part("hosts", world.hosts.iter().map(|(id, row)| format!("{id}: {}", host(row))).collect());
    part("limits", vec![say::limits(&world.limits)]);
    let rows = world.installations.iter().map(|(id, i)| format!("{id}: {}", say::installation(i)));
    part("installations", rows.collect());
    let rows = world.scopes.iter().map(|(id, scope)| format!("{id}: {}", say::scope(scope)));
    part("scopes", rows.collect());
    let rows = world.repositories.keys().cloned();
    part("repositories", rows.collect());
    let rows = world.jobs.iter().map(|(key, row)| format!("{key}: {}", say::job_in_full(key, row)));
    part("jobs", rows.collect());
    let rows = world.finished.iter().map(|(key, at)| format!("{key}: {}", say::time(*at)));
    part("jobs that ended lately", rows.collect());
    let rows = world.vms.iter().map(|(id, row)| format!("{id}: {}", say::vm_in_full(row)));
    part("microVMs", rows.collect());
    let guests = world.stray_guests.iter().map(|(host, vm)| format!("{vm} on {host}"));
    let runners = world.stray_runners.iter();
    let runners = runners.map(|(vm, scope)| format!("runner of {vm} in {scope}"));
    part("strays", guests.chain(runners).collect());
    part("orders", walk.orders().iter().map(say::action).collect());
    part("waits", walk.waits().iter().map(|(job, cause)| waits(*job, Some(cause))).collect());
    lines.push(format!("next microVM: vm-{}", world.next_vm));
    lines.join("\n")
}

fn changed(change: &Change) -> String {
    let Change { what, from, to } = change;
    match (from, to) {
        (None, Some(to)) => format!("{what}: {to}"),
        (Some(from), None) => format!("{what} is gone, was: {from}"),
        (from, to) => {
            let [from, to] = [from, to].map(|side| side.as_deref().unwrap_or("nothing"));
            format!("{what}: {from} -> {to}")
        }
    }
}

fn waits(job: JobKey, cause: Option<&Because>) -> String {
    match cause {
        Some(because) => format!("wait: job {job}: {because}"),
        None => format!("wait: job {job} waits no more"),
    }
}
