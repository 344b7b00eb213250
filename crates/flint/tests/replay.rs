//! `flint export` and `flint replay` as a person types them.
#![cfg(test)]

use flint::store::{Change, Sqlite, Store};
use flint_core::event::{Event, ForgeEvent};
use flint_core::id::JobKey;
use flint_core::job::JobRequest;
use flint_core::policy::Origin;
use flint_core::units::Timestamp;
use std::path::Path;
use std::process::{Command, Output, Stdio};

const NOW: Timestamp = Timestamp(1_790_000_000_000);

/// A store with a start and two jobs that nobody serves.
fn store() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let mut store = Sqlite::open(directory.path()).unwrap();
    let mut world = store.load().unwrap();
    let queued = |id| {
        let request = JobRequest {
            repository: "octo/widgets".to_owned(),
            workflow: "CI".to_owned(),
            name: "build".to_owned(),
            labels: vec!["linux".to_owned()],
            run_id: 1,
            url: String::new(),
            scale_set: None,
            origin: Origin::PRIVATE,
        };
        Event::Forge(ForgeEvent::JobQueued { job: JobKey { id, attempt: 1 }, request })
    };
    let started = Event::Started {
        profiles: Default::default(),
        hosts: Default::default(),
        limits: Default::default(),
        scopes: Default::default(),
        readers: Default::default(),
    };
    for event in [started, queued(7), queued(8)] {
        let before = world.clone();
        let _records = flint_core::fold::fold(&mut world, NOW, event.clone());
        let events = std::slice::from_ref(&event);
        store.commit(&before, &world, Change { at: NOW, events, ..Change::default() }).unwrap();
    }
    directory
}

fn flint(words: &[&str], state: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flint"));
    command.args(words).env_clear().env("FLINT_STATE_DIR", state).current_dir(state);
    command.stdin(Stdio::null()).output().unwrap()
}

/// What it printed, when it ended well.
fn told(words: &[&str], state: &Path) -> String {
    let output = flint(words, state);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn an_export_is_replayed_step_by_step_and_in_part() {
    let directory = store();
    let here = directory.path();
    assert_eq!(told(&["export", "-o", "log"], here), "3 facts in log\n");
    let all = told(&["replay", "log"], here);
    let steps = |text: &str| text.lines().filter(|line| line.starts_with('#')).count();
    assert_eq!(steps(&all), 3, "{all}");
    assert!(all.contains("wait: job 7: no profile has all the labels it asks for"), "{all}");
    assert!(all.contains("with stand-ins for names") && !all.contains("octo"), "{all}");
    assert_eq!(steps(&told(&["replay", "log", "--from", "2", "--to", "2"], here)), 1);
    let at = told(&["replay", "log", "--at", "2"], here);
    assert!(at.contains("7: queued for no profile") && !at.contains("8: queued"), "{at}");
    // The same file gives the same text.
    assert_eq!(told(&["replay", "log"], here), all);
}

#[test]
fn a_replay_for_programs_is_one_step_a_line() {
    let directory = store();
    let here = directory.path();
    let log = told(&["export", "--raw"], here);
    std::fs::write(here.join("log"), &log).unwrap();
    let lines = told(&["replay", "log", "--json"], here);
    let steps: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(steps.len(), 3);
    assert_eq!(steps[1]["facts"][0]["seq"], 2);
    assert_eq!(steps[1]["waits"][0][1], "NoProfile");
    let world = told(&["replay", "log", "--json", "--at", "3"], here);
    let world: serde_json::Value = serde_json::from_str(&world).unwrap();
    assert_eq!(world["jobs"].as_array().unwrap().len(), 2);
}

#[test]
fn what_cannot_be_replayed_ends_with_1_and_says_why() {
    let directory = store();
    let here = directory.path();
    told(&["export", "-o", "log"], here);
    std::fs::write(here.join("empty"), "").unwrap();
    for (words, cause) in [
        (&["replay", "nowhere"][..], "cannot read `nowhere`"),
        (&["replay", "empty"], "cannot replay an empty file"),
        (&["replay", "flint.db"], "header in line 1"),
        (&["replay", "log", "--at", "9"], "the log holds 1 to 3"),
        (&["replay", "-"], "cannot replay an empty file"),
        (&["export", "--state-dir", "/no/such/directory"], "flint.db"),
    ] {
        let output = flint(words, here);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{words:?}: {errors}");
        assert!(errors.contains(cause), "{words:?}: {errors}");
    }
}
