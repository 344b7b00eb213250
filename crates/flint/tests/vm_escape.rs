//! An intruder as root in a real guest: nothing of what it tries succeeds, and all of it would without what holds it.
//!
//! Needs root, QEMU, a kernel and an image with the intruder: what `cargo xtask demo --prepare` makes, or
//! `FLINT_TEST_KERNEL` and `FLINT_TEST_IMAGE`. `cargo xtask escape` does the same and prints its table.

use flint_sim::demo::Options;
use flint_sim::escape::{Part, run};
use std::sync::Mutex;

#[test]
fn nothing_that_an_intruder_tries_succeeds() {
    let (flint, scratch) = (env!("CARGO_BIN_EXE_flint"), env!("CARGO_TARGET_TMPDIR"));
    let options = Options::of_a_test(flint, scratch, "flescape");
    let lines = Mutex::new(Vec::new());
    let say = |line: &str| lines.lock().expect("nobody panics in it").push(line.to_owned());
    let summary = run(&options, Part::All, &say).unwrap_or_else(|error| panic!("{error:#}"));
    let lines = lines.into_inner().expect("nobody panics in it").join("\n");
    assert!(summary.rows.len() >= 90, "{lines}");
    assert!(summary.good(), "{}\n{:?}\n{lines}", summary.line(), summary.wrong);
}
