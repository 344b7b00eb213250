//! A GitHub whose authority public ones do not know: the guest of its runner trusts it.
//!
//! Needs root, QEMU, a kernel and an image with the fake runner: what `cargo xtask demo --prepare` makes, or
//! `FLINT_TEST_KERNEL` and `FLINT_TEST_IMAGE`.

use flint_sim::demo::{Options, authority};

#[test]
fn a_job_finds_the_authority_wherever_programs_look_and_the_image_s_own_beside_it() {
    let (flint, scratch) = (env!("CARGO_BIN_EXE_flint"), env!("CARGO_TARGET_TMPDIR"));
    let options = Options::of_a_test(flint, scratch, "flca");
    let ran = authority(&options).unwrap_or_else(|error| panic!("{error:#}"));
    let log = ran.log.join("\n");
    assert_eq!(ran.job.conclusion.as_deref(), Some("success"), "{log}");
    for line in [
        "node: /run/flint/ca.pem",
        "openssl: /etc/ssl/certs/ca-certificates.crt",
        "in the list: 1",
        "for node: 1",
        "others: kept",
    ] {
        assert!(log.contains(line), "{line}\n{log}");
    }
    assert_eq!(log.matches("server.pem: OK").count(), 2, "{log}");
}
