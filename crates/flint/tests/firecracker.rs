//! Flint's own code against a real Firecracker in a real jail, on the KVM of this machine.
//!
//! Needs root, `/dev/kvm`, gcc, nft, and a static Firecracker with its jailer: `FLINT_FIRECRACKER` and `FLINT_JAILER`
//! name them, else they are looked for in `PATH`. `FLINT_SECCOMP_FILTER` gives a filter to a build that has none of its
//! own. The guest is built here from C and speaks the wire protocol, so that this tier also runs where KVM cannot
//! boot Linux. Not part of `cargo test`; run it by name: `cargo test --test firecracker`.

#[cfg(test)]
#[path = "firecracker/mod.rs"]
mod firecracker;
