//! A stranger's job that reaches a guest all the same: it ends before its first step, and the one that was waited for runs.
//!
//! Needs root, QEMU, a kernel and an image with the fake runner: what `cargo xtask demo --prepare` makes, or
//! `FLINT_TEST_KERNEL` and `FLINT_TEST_IMAGE`.

use flint_sim::demo::{Options, stranger};
use std::path::{Path, PathBuf};

fn given(variable: &str, built: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::env::var_os(variable).map_or_else(|| root.join(built), PathBuf::from)
}

#[test]
fn a_public_repositorys_job_that_takes_anothers_runner_is_refused_in_the_guest() {
    let options = Options {
        flint: env!("CARGO_BIN_EXE_flint").into(),
        kernel: given("FLINT_TEST_KERNEL", "build/kernel/linux/vmlinux"),
        image: given("FLINT_TEST_IMAGE", "build/demo/rootfs.ext4"),
        vmm: "qemu".to_owned(),
        scratch: env!("CARGO_TARGET_TMPDIR").into(),
        name: "flstrange".to_owned(),
    };
    let ran = stranger(&options).unwrap_or_else(|error| panic!("{error:#}"));
    let (public, private) = (ran.public_log.join("\n"), ran.private_log.join("\n"));
    assert_eq!(ran.public.conclusion.as_deref(), Some("failure"), "{public}");
    assert!(public.contains("Flint refuses this job::its repository is public"), "{public}");
    assert!(!public.contains("the code ran"), "{public}");
    assert_eq!(ran.private.conclusion.as_deref(), Some("success"), "{private}");
    assert!(private.contains("the code ran"), "{private}");
    assert_ne!(ran.public.runner, ran.private.runner, "each microVM has one job");
}
