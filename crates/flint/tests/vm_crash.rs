//! A daemon that is killed while a job talks: the job goes on, and its log is whole.
//!
//! Needs root, QEMU, a kernel and an image with the fake runner: what `cargo xtask demo --prepare` makes, or
//! `FLINT_TEST_KERNEL` and `FLINT_TEST_IMAGE`.

use flint_sim::demo::Options;
use flint_sim::kills::count;
use std::path::{Path, PathBuf};

fn given(variable: &str, built: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::env::var_os(variable).map_or_else(|| root.join(built), PathBuf::from)
}

#[test]
fn a_counter_that_outlives_three_kills_of_the_daemon_is_complete_in_its_log() {
    let options = Options {
        flint: env!("CARGO_BIN_EXE_flint").into(),
        kernel: given("FLINT_TEST_KERNEL", "build/kernel/linux/vmlinux"),
        image: given("FLINT_TEST_IMAGE", "build/demo/rootfs.ext4"),
        vmm: "qemu".to_owned(),
        scratch: env!("CARGO_TARGET_TMPDIR").into(),
        name: "flcount".to_owned(),
    };
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
