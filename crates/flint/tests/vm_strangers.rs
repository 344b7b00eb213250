//! A stranger's job that reaches a guest all the same: it ends before its first step, and the one that was waited for runs.
//!
//! Needs root, QEMU, a kernel and an image with the fake runner: what `cargo xtask demo --prepare` makes, or
//! `FLINT_TEST_KERNEL` and `FLINT_TEST_IMAGE`.

use flint_sim::demo::{Options, Shut, stranger};

/// The refused job ends before its first step, and the one that was waited for runs in a microVM of its own.
fn is_refused(name: &str, shut: Shut, why: &str) {
    let (flint, scratch) = (env!("CARGO_BIN_EXE_flint"), env!("CARGO_TARGET_TMPDIR"));
    let options = Options::of_a_test(flint, scratch, name);
    let ran = stranger(&options, shut).unwrap_or_else(|error| panic!("{error:#}"));
    let (refused, served) = (ran.refused_log.join("\n"), ran.served_log.join("\n"));
    assert_eq!(ran.refused.conclusion.as_deref(), Some("failure"), "{refused}");
    assert!(refused.contains(&format!("Flint refuses this job::{why}")), "{refused}");
    assert!(!refused.contains("the code ran"), "{refused}");
    assert_eq!(ran.served.conclusion.as_deref(), Some("success"), "{served}");
    assert!(served.contains("the code ran"), "{served}");
    assert_ne!(ran.refused.runner, ran.served.runner, "each microVM has one job");
}

#[test]
fn a_public_repositorys_job_that_takes_anothers_runner_is_refused_in_the_guest() {
    is_refused("flstrange", Shut::Public, "its repository is public");
}

#[test]
fn a_forks_job_that_takes_anothers_runner_is_refused_in_the_guest() {
    is_refused("flforked", Shut::Fork, "it comes from a fork");
}

#[test]
fn a_job_of_a_repository_that_is_not_served_is_refused_in_the_guest() {
    is_refused("flunlist", Shut::Unlisted, "its repository is not one that this profile serves");
}
