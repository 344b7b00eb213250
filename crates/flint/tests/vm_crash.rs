//! A daemon that is killed while a job talks: the job goes on, and its log is whole.
//!
//! Needs root, QEMU, a kernel and an image with the fake runner: what `cargo xtask demo --prepare` makes, or
//! `FLINT_TEST_KERNEL` and `FLINT_TEST_IMAGE`.

use flint_sim::demo::Options;
use flint_sim::kills::count;

#[test]
fn a_counter_that_outlives_three_kills_of_the_daemon_is_complete_in_its_log() {
    let (flint, scratch) = (env!("CARGO_BIN_EXE_flint"), env!("CARGO_TARGET_TMPDIR"));
    let options = Options::of_a_test(flint, scratch, "flcount");
    let counted = count(&options, &[40, 90, 140]).unwrap_or_else(|error| panic!("{error:#}"));
    assert_eq!(counted.job.state, "success");
    assert_eq!(
        counted.numbers,
        (1..=200).collect::<Vec<u32>>(),
        "{}\n{}",
        counted.log,
        counted.said
    );
    assert!(counted.log.contains("Job count completed with result: Succeeded"), "{}", counted.log);
}
