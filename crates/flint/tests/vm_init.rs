//! From nothing to a served job: `flint init` against the fake GitHub, then the daemon with what it wrote.
//!
//! Needs root, QEMU, a kernel and an image with the fake runner: what `cargo xtask demo --prepare` makes, or
//! `FLINT_TEST_KERNEL` and `FLINT_TEST_IMAGE`.

use flint_sim::demo::{Options, Source, from_nothing};

fn a_job_runs(source: Source, name: &str) {
    let (flint, scratch) = (env!("CARGO_BIN_EXE_flint"), env!("CARGO_TARGET_TMPDIR"));
    let options = Options { source, ..Options::of_a_test(flint, scratch, name) };
    let log = from_nothing(&options).unwrap_or_else(|error| panic!("{error:#}"));
    assert!(log.iter().any(|line| line.contains("the answer is 42")), "{log:#?}");
}

#[test]
fn a_job_runs_by_a_configuration_and_an_app_that_were_not_there_before() {
    a_job_runs(Source::Webhook, "flinita");
}

#[test]
fn a_job_runs_by_them_where_nothing_reaches_the_host() {
    a_job_runs(Source::ScaleSet, "flinitb");
}
