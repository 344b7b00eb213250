//! The tricks that end a guest, one job each; what became of them is seen on the host.

use super::Play;
use super::desk::Guest;
use super::host::{Host, flood, row};
use super::table::Row;
use crate::demo::Github;
use anyhow::{Context, Result};
use std::thread;
use std::time::Duration;

/// The jobs.
pub(super) const WORKFLOW: &str = include_str!("tricks.yml");

const ROLES: [&str; 7] = ["flows", "stay", "freeze", "forge", "ask-again", "oversize", "garble"];

/// What the host's log shows when it has understood the intruder as the agent.
const PROOF: &str = "the intruder speaks as the agent";

/// What the daemon may have more of after everything: its caches, and pages that its allocator keeps.
const GROWTH: u64 = 64 << 20;

/// What a profile without other words allows, and those that the guest had for its runner.
const CONNECTIONS: u64 = 16_384 + 16;

/// Waits for all of them, and judges.
pub(super) fn judge(play: &mut Play, host: &mut Host, github: &Github) -> Result<Vec<Row>> {
    let (mut rows, mut held) = (Vec::new(), Vec::new());
    let before = host.memory()?;
    let mut open = ROLES.to_vec();
    while !open.is_empty() {
        // In the order in which the host has room for them.
        let mut guest = play.desk.take_any(&open, &["go"])?;
        open.retain(|role| *role != guest.who);
        let said = guest.hear()?;
        rows.push(match guest.who.as_str() {
            "flows" => flows(play, host, &mut guest, said)?,
            "ask-again" => asked(guest.hear()?),
            role => left(role, said.context("it says what it left")?),
        });
        // Who speaks as the agent is not to end by itself.
        match guest.who.as_str() {
            "forge" | "oversize" | "garble" => held.push(guest),
            // It may have been ended for it.
            "ask-again" => drop(guest.say(&["end"])),
            _ => guest.say(&["end"])?,
        }
    }
    // The neighbour and the intruder stay.
    host.until_left(2)?;
    for row in &mut rows {
        let vm = vm_of(host, &row.name)?;
        match row.name.as_str() {
            "stay" => {
                play.internet_ears.catch_up();
                let count = play.heard.count("beacon/");
                // A guest that is still there says so ten times in a second.
                thread::sleep(Duration::from_secs(1));
                play.internet_ears.catch_up();
                row.succeeded = play.heard.count("beacon/") > count;
                row.control = count > 0;
                row.how = format!("{count} signs of it before its end");
            }
            "forge" | "oversize" | "garble" => {
                row.control &= host.log(&vm)?.contains(PROOF);
                let grown = host.memory()?.saturating_sub(before);
                row.succeeded = grown > GROWTH || concluded(github, host, &row.name)?;
                row.how = format!("the daemon has {} MiB more", grown >> 20);
            }
            "ask-again" => row.control &= host.log(&vm)?.contains(PROOF),
            _ => {}
        }
        row.succeeded |= host.runs(&vm)?;
    }
    Ok(rows)
}

/// What a trick says of itself; `stay` has no other word than its beacons.
fn left(role: &str, said: Vec<String>) -> Row {
    let done = said.get(1).is_none_or(|word| word != "0");
    row(role, false, done, said.get(2).cloned().unwrap_or_default())
}

/// Whether it has the secret once more; a host that ended it before it could say so gave it nothing.
fn asked(told: Option<Vec<String>>) -> Row {
    let how = if told.is_some() { "" } else { "it was ended for it" };
    let has = told.is_some_and(|said| said.get(1).is_some_and(|word| word == "1"));
    row("ask-again", has, true, how.to_owned())
}

fn flows(play: &Play, host: &Host, guest: &mut Guest, said: Option<Vec<String>>) -> Result<Row> {
    let said = said.context("it says how many it tried")?;
    let tried = said.get(2).and_then(|word| word.parse().ok()).unwrap_or(0);
    let vm = vm_of(host, "flows")?;
    let vms = host.vms()?;
    let slot = vms.iter().find(|row| row.id == vm).context("its microVM is there")?.slot;
    let seen = play.stage.connections(slot)?;
    guest.say(&["measured"])?;
    Ok(flood("flood-connections", (tried, seen, CONNECTIONS)))
}

/// The microVM of a job.
fn vm_of(host: &Host, job: &str) -> Result<String> {
    let job = if job == "flood-connections" { "flows" } else { job };
    let jobs = host.jobs()?.jobs;
    let row = jobs.into_iter().find(|row| row.name == job);
    row.and_then(|row| row.vm).with_context(|| format!("job `{job}` has a microVM"))
}

/// Whether GitHub took the intruder's word for the runner's.
fn concluded(github: &Github, host: &Host, job: &str) -> Result<bool> {
    let jobs = host.jobs()?.jobs;
    let id = jobs.iter().find(|row| row.name == job).context("it is known")?.id;
    let conclusion = github.0.job(id).and_then(|job| job.conclusion);
    Ok(conclusion.as_deref() == Some("success"))
}
