//! The only user of libc, `/proc` and `/sys`. Knows no word of the domain.
#![expect(
    unsafe_code,
    reason = "system calls that have no safe wrapper; each says why it is sound"
)]

pub mod accounts;
pub mod again;
pub mod alone;
pub mod bounded;
pub mod cgroup;
pub mod clock;
pub mod confine;
pub mod fs;
pub mod host_facts;
#[cfg(feature = "kill-points")]
pub mod kill_point;
pub mod kvm;
pub mod netns;
pub mod packets;
pub mod process;
pub mod program;
pub mod readings;
pub mod root;
pub mod said;
pub mod scope;
pub mod seccomp;
pub mod socket;
pub mod spawn;
pub mod tap;
pub mod terminal;
pub mod threads;
pub mod tree;
