//! What a life prints when it finds a planted fault shows the fault as a script, too.
//!
//! `cargo test -p flint-core --features planted --test planted`; without the feature there is nothing here.
#![cfg(feature = "planted")]

mod script;

use flint_core::planted::{Fault, wake};

/// As `cargo xtask lives --planted name-reused` printed it, with what comes out while the fault sleeps.
const PRINTED: &str = include_str!("planted/name-reused.txt");

#[test]
fn a_script_that_a_life_printed_shows_its_fault() {
    assert_eq!(script::play(PRINTED), PRINTED, "the fault sleeps");
    wake(Some(Fault::NameReused));
    let awake = script::play(PRINTED);
    wake(None);
    let again = "= register vm-0 as vm-0-p0-k3x9q2-2\n";
    assert!(PRINTED.ends_with(again) && !awake.contains(again), "the name is used again:\n{awake}");
}
