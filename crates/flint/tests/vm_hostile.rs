//! Names that are attacks, through the whole daemon; and that no secret is anywhere but where it must be.
//!
//! Needs root, QEMU, a kernel and an image with the fake runner: what `cargo xtask demo --prepare` makes, or
//! `FLINT_TEST_KERNEL` and `FLINT_TEST_IMAGE`.

use flint_sim::demo::{Options, hostile_names};

/// What the fake GitHub and the runner make of the name is theirs; Flint shows a job's log as it is to a pipe.
fn is_harmless(text: &str) -> bool {
    let harmless = |c: char| c == '\n' || !(c.is_control() || c == '\u{202e}');
    text.chars().all(harmless)
}

#[test]
fn a_job_with_hostile_names_runs_and_what_it_is_called_hurts_nobody() {
    let (flint, scratch) = (env!("CARGO_BIN_EXE_flint"), env!("CARGO_TARGET_TMPDIR"));
    let options = Options::of_a_test(flint, scratch, "flnames");
    let seen = hostile_names(&options).unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(seen.job.conclusion.as_deref(), Some("success"), "{:?}", seen.log);
    assert!(!seen.trapped, "a shell has read a name");
    for (what, text) in &seen.shown {
        assert!(is_harmless(text), "{what}: {text:?}");
    }
    let metrics = seen.shown.iter().filter(|(what, _)| what == "GET /metrics");
    assert!(
        metrics.clone().count() == 2 && metrics.clone().all(|(_, text)| !text.contains("touch"))
    );
    let jobs = seen.shown.iter().find(|(what, _)| what == "jobs").map(|(_, text)| text.as_str());
    assert!(jobs.is_some_and(|text| text.contains("touch /tmp/flint-")), "{jobs:?}");
    let why = seen.shown.iter().filter(|(what, _)| what.starts_with("why "));
    assert!(why.clone().any(|(_, text)| text.contains("(no-profile)")), "{:?}", seen.shown);
    assert_eq!(seen.kept.len(), 2, "the search finds what there is: {:?}", seen.kept);
    assert!(seen.leaks.is_empty(), "{:?}", seen.leaks);
}
