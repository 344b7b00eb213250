//! An intruder as root in a real guest: what it tries in the network reaches nobody, and would without Flint's rules.
//!
//! Needs root, QEMU, a kernel and an image with the intruder: what `cargo xtask demo --prepare` makes, or
//! `FLINT_TEST_KERNEL` and `FLINT_TEST_IMAGE`. `cargo xtask escape` tries everything else too.

use flint_sim::demo::Options;
use flint_sim::escape::{Part, run};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

fn given(variable: &str, built: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::env::var_os(variable).map_or_else(|| root.join(built), PathBuf::from)
}

#[test]
fn nothing_that_an_intruder_tries_in_the_network_reaches_anybody() {
    let options = Options {
        flint: env!("CARGO_BIN_EXE_flint").into(),
        kernel: given("FLINT_TEST_KERNEL", "build/kernel/linux/vmlinux"),
        image: given("FLINT_TEST_IMAGE", "build/demo/rootfs.ext4"),
        vmm: "qemu".to_owned(),
        scratch: env!("CARGO_TARGET_TMPDIR").into(),
        name: "flescape".to_owned(),
    };
    let lines = Mutex::new(Vec::new());
    let say = |line: &str| lines.lock().expect("nobody panics in it").push(line.to_owned());
    let summary = run(&options, Part::Network, &say).unwrap_or_else(|error| panic!("{error:#}"));
    let lines = lines.into_inner().expect("nobody panics in it").join("\n");
    assert!(summary.rows.len() >= 40, "{lines}");
    assert!(summary.good(), "{}\n{:?}\n{lines}", summary.line(), summary.wrong);
}
