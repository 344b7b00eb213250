//! A stranger's job that reaches a guest all the same: it ends before its first step, and the one that was waited for runs.
//!
//! Needs root, QEMU, a kernel and an image with the fake runner: what `cargo xtask demo --prepare` makes, or
//! `FLINT_TEST_KERNEL` and `FLINT_TEST_IMAGE`.

use flint_sim::demo::{Options, stranger};

#[test]
fn a_public_repositorys_job_that_takes_anothers_runner_is_refused_in_the_guest() {
    let (flint, scratch) = (env!("CARGO_BIN_EXE_flint"), env!("CARGO_TARGET_TMPDIR"));
    let options = Options::of_a_test(flint, scratch, "flstrange");
    let ran = stranger(&options).unwrap_or_else(|error| panic!("{error:#}"));
    let (public, private) = (ran.public_log.join("\n"), ran.private_log.join("\n"));
    assert_eq!(ran.public.conclusion.as_deref(), Some("failure"), "{public}");
    assert!(public.contains("Flint refuses this job::its repository is public"), "{public}");
    assert!(!public.contains("the code ran"), "{public}");
    assert_eq!(ran.private.conclusion.as_deref(), Some("success"), "{private}");
    assert!(private.contains("the code ran"), "{private}");
    assert_ne!(ran.public.runner, ran.private.runner, "each microVM has one job");
}
