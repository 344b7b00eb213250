//! Whether this machine's KVM is trusted: only after a real guest has answered.

use super::lab::{Lab, VM, told, within};
use flint::vmm::Error;
use flint::vmm::choose::{AnyVmm, Canary, Candidates, Choice, Chosen, choose};
use flint::vmm::qemu::{self, Accel};
use std::fs;

/// Asks for the better VMM, with a canary of the lab's kind and without any QEMU.
async fn ask(lab: &Lab) -> Result<Chosen, Error> {
    let nowhere = lab.file_path("no-qemu");
    let candidates = Candidates {
        firecracker: lab.options().clone(),
        qemu: qemu::Options { program: nowhere, accel: Accel::Tcg, firmware: None },
    };
    let canary = Canary { boot: lab.boot(), cache: lab.file_path("canary") };
    within("choosing", choose(Choice::Auto, candidates, lab.new_jails(), Some(canary))).await
}

#[tokio::test]
async fn kvm_is_trusted_after_a_guest_has_answered_and_the_answer_is_kept() {
    let lab = Lab::new("agent");
    for _ in 0..2 {
        let chosen = ask(&lab).await.unwrap();
        assert!(matches!(chosen.vmm, AnyVmm::Firecracker(_)), "{}", chosen.why);
        assert!(chosen.why.contains(&lab.version().await), "{}", chosen.why);
        lab.assert_nothing_left().await;
    }
    assert!(fs::read_to_string(lab.file_path("canary")).unwrap().ends_with('\n'));
}

#[tokio::test]
async fn kvm_is_not_trusted_when_its_guest_dies_at_once() {
    let lab = Lab::new("fault");
    let told = told(ask(&lab).await);
    assert!(told.contains("a test guest ended at once"), "{told}");
    assert!(!lab.jail().exists(), "the canary of {VM} is removed");
    lab.assert_nothing_left().await;
}
