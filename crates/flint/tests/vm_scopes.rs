//! One daemon serves two repositories of one App from one pool, and an organization whose GitHub is away stops neither.
//!
//! Needs root, QEMU, a kernel and an image with the fake runner: what `cargo xtask demo --prepare` makes, or
//! `FLINT_TEST_KERNEL` and `FLINT_TEST_IMAGE`.

use flint_sim::demo::{Options, scopes};

#[test]
fn each_repositorys_job_runs_where_it_was_queued() {
    let (flint, scratch) = (env!("CARGO_BIN_EXE_flint"), env!("CARGO_TARGET_TMPDIR"));
    let options = Options::of_a_test(flint, scratch, "flscopes");
    let seen = scopes(&options).unwrap_or_else(|error| panic!("{error:#}"));
    let [(first, widgets), (second, gadgets)] = seen.ran.as_slice() else { panic!("{seen:?}") };
    for (job, log, repository) in
        [(first, widgets, "flint-demo/widgets"), (second, gadgets, "flint-demo/gadgets")]
    {
        assert_eq!(job.conclusion.as_deref(), Some("success"), "{log:?}");
        let ran = format!("ran for {repository}");
        assert!(log.iter().any(|line| line.contains(&ran)), "{log:?}");
    }
    assert_ne!(first.runner, second.runner, "each microVM has one job");
    let github = &seen.status.github;
    let about: Vec<&str> = github.unanswered.iter().map(|row| row.question.as_str()).collect();
    assert!(about.iter().any(|question| question.ends_with("of elsewhere")), "{about:?}");
    assert!(about.iter().all(|question| question.ends_with("of elsewhere")), "{about:?}");
}
