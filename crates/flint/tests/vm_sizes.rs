//! Jobs that ask for a size by a label get a microVM of just that size.
//!
//! Needs root, QEMU, a kernel and an image with the fake runner: what `cargo xtask demo --prepare` makes, or
//! `FLINT_TEST_KERNEL` and `FLINT_TEST_IMAGE`.

use flint_sim::demo::{Options, sizes};

/// Whole numbers that the job printed: processors, MiB of memory, sectors of its writable disk.
fn numbers(log: &[String]) -> Vec<u64> {
    log.iter().filter_map(|line| line.trim().parse().ok()).collect()
}

#[test]
fn jobs_run_in_microvms_of_the_size_that_they_ask_for_and_too_much_is_named() {
    let (flint, scratch) = (env!("CARGO_BIN_EXE_flint"), env!("CARGO_TARGET_TMPDIR"));
    let options = Options::of_a_test(flint, scratch, "flsizes");
    let sized = sizes(&options).unwrap_or_else(|error| panic!("{error:#}"));
    let asked = [(2, 4 << 10, 2 << 30), (4, 8 << 10, 50 << 30)];
    for ((job, log), (vcpus, memory, disk)) in sized.ran.iter().zip(asked) {
        assert_eq!(job.conclusion.as_deref(), Some("success"), "{log:?}");
        let [found_vcpus, found_memory, sectors] = numbers(log)[..] else { panic!("{log:?}") };
        assert_eq!((found_vcpus, sectors * 512), (vcpus, disk), "{log:?}");
        // The kernel keeps some for itself before it counts.
        assert!((memory * 9 / 10..=memory).contains(&found_memory), "{log:?}");
    }
    assert_eq!(sized.why.because.as_deref(), Some("no-profile"));
    assert!(sized.why.sentence.contains("it asks for 64 vCPUs; the most is 8"), "{:?}", sized.why);
}
