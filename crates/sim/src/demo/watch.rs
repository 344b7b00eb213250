//! Watches the jobs from outside: microVMs as they come and go, their lines as they are printed, and the end.

use super::stage::GLANCE;
use super::{Seen, show};
use crate::github::FakeGithub;
use anyhow::Result;
use flint::api::{JobRow, Jobs, VmRow, Vms};
use flint::cli::client::Client;
use std::collections::BTreeMap;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// One line of a microVM: its name and its text.
type Line = (String, String);

/// Shows all that happens until every job has ended and no microVM is left.
pub(super) async fn until_done(
    client: Client,
    github: &FakeGithub,
    ids: &[u64],
    say: &(dyn Fn(&str) + Sync),
) -> Result<Seen> {
    let mut phases: BTreeMap<String, String> = BTreeMap::new();
    let mut followers = JoinSet::new();
    let (tell, mut lines) = mpsc::unbounded_channel::<Line>();
    loop {
        tokio::select! {
            Some((vm, text)) = lines.recv() => say(&show::line(&vm, &text)),
            () = tokio::time::sleep(GLANCE) => {
                let vms: Vms = client.get("/v1/vms").await?;
                for vm in &vms.vms {
                    if changed(&mut phases, vm) {
                        say(&format!("  {:<6} * {} ({})", vm.id, vm.phase, vm.profile));
                    }
                }
                for vm in &vms.vms {
                    if phases.insert(format!("{}/log", vm.id), String::new()).is_none() {
                        followers.spawn(follow(client.clone(), vm.id.clone(), tell.clone()));
                    }
                }
                let ended = |id: &u64| github.job(*id).is_some_and(|job| job.conclusion.is_some());
                if vms.vms.is_empty() && ids.iter().all(ended) {
                    break;
                }
            }
        }
    }
    drop(tell);
    while let Some((vm, text)) = lines.recv().await {
        say(&show::line(&vm, &text));
    }
    let jobs: Jobs = client.get("/v1/jobs?done=1").await?;
    let named = |row: JobRow| Some((named(github, ids, &row)?, row));
    let mut rows: Vec<(u64, JobRow)> = jobs.jobs.into_iter().filter_map(named).collect();
    rows.sort_by_key(|(id, _)| *id);
    rows.iter().for_each(|(_, row)| say(&show::waterfall(row)));
    let logs = rows.iter().map(|(id, _)| (*id, github.log(*id))).collect();
    let rows = rows.into_iter().map(|(_, row)| row).collect();
    Ok(Seen { rows, logs })
}

/// GitHub's number of the daemon's job, if it is one of these. A scale set tells of a job without its number.
fn named(github: &FakeGithub, ids: &[u64], row: &JobRow) -> Option<u64> {
    let is_it = |id: &&u64| {
        let job = github.job(**id);
        **id == row.id || job.is_some_and(|job| (job.run, &job.name) == (row.run, &row.name))
    };
    ids.iter().find(is_it).copied()
}

/// Whether the microVM is in another phase than when it was last seen.
fn changed(phases: &mut BTreeMap<String, String>, vm: &VmRow) -> bool {
    phases.insert(vm.id.clone(), vm.phase.clone()).as_ref() != Some(&vm.phase)
}

/// Passes a microVM's lines on until it is gone. Its log opens with its launch, a moment after its row is seen.
async fn follow(client: Client, vm: String, tell: mpsc::UnboundedSender<Line>) {
    let path = format!("/v1/logs/{vm}?follow=1");
    for _ in 0..100 {
        let mut rest = String::new();
        let take = |piece: &[u8]| {
            rest.push_str(&String::from_utf8_lossy(piece));
            while let Some((line, after)) = rest.split_once('\n') {
                // The receiver is gone only when the demo has failed.
                tell.send((vm.clone(), line.to_owned())).ok();
                rest = after.to_owned();
            }
            Ok(())
        };
        if client.stream(&path, take).await.is_ok() {
            return;
        }
        tokio::time::sleep(GLANCE).await;
    }
}
