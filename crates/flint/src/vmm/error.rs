//! What can go wrong with a VMM.

use crate::vmm::firecracker::ApiError;
use flint_core::id::VmId;
use std::io;
use std::path::PathBuf;

/// A VMM that did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A directory, link or socket of the jail could not be made.
    #[error("cannot make `{path}` in the jail of {vm}")]
    Jail {
        /// Whose.
        vm: VmId,
        /// Which part.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A private disk lies on another file system than the jails, where no hard link can go.
    #[error(
        "cannot link the disk `{disk}` of {vm} into the jail `{jail}`: they are on different file systems"
    )]
    OtherFileSystem {
        /// Whose.
        vm: VmId,
        /// The disk.
        disk: PathBuf,
        /// The jail's place.
        jail: PathBuf,
    },
    /// The program could not be started at all.
    #[error("cannot start `{program}` for {vm}")]
    Spawn {
        /// For whom.
        vm: VmId,
        /// Which program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The program ended before its guest ran.
    #[error("cannot boot {vm}: `{program}` ended at once and said: {said}")]
    Ended {
        /// For whom.
        vm: VmId,
        /// Which program.
        program: PathBuf,
        /// Its own words.
        said: String,
    },
    /// Firecracker's API refused a call or did not answer.
    #[error("cannot boot {vm}: firecracker did not take {call}")]
    Api {
        /// For whom.
        vm: VmId,
        /// `PUT /boot-source`.
        call: String,
        /// What it answered.
        source: ApiError,
    },
    /// The byte stream to the agent could not be opened.
    #[error("cannot reach the agent of {vm}")]
    Channel {
        /// Whose.
        vm: VmId,
        /// Why; mostly "not yet".
        source: io::Error,
    },
    /// The process did not end, or something of it stays.
    #[error("cannot remove `{path}` of {vm}")]
    Leftover {
        /// Whose.
        vm: VmId,
        /// What stays.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The jails could not be listed.
    #[error("cannot list the jails in `{path}`")]
    Scan {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The place of the jails cannot hold one, or others can write there.
    #[error("cannot use `{path}` for jails: {why}")]
    Place {
        /// Where.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A program of the VMM is missing, not runnable, or not usable in a jail.
    #[error("cannot use `{program}`: {why}")]
    Program {
        /// Which.
        program: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A thread of the VMM runs without a seccomp filter; the process has been ended.
    #[error("cannot trust `{program}` with {vm}: its thread `{thread}` has no seccomp filter")]
    Unfiltered {
        /// For whom.
        vm: VmId,
        /// Which program.
        program: PathBuf,
        /// The thread's name.
        thread: String,
    },
    /// KVM cannot run a guest here.
    #[error("cannot use KVM: {why}")]
    Kvm {
        /// What was tried and seen.
        why: String,
    },
}

impl Error {
    /// What the user can do about it, when something can be said.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        let text = match self {
            Error::OtherFileSystem { .. } => {
                "put `state_dir` on one file system; scratch disks and jails are both in it"
            }
            Error::Spawn { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                "the file is not there, or it is a dynamic program whose loader is not there; check the path given for it"
            }
            Error::Spawn { .. } | Error::Jail { .. } => {
                "flint needs to be root: it makes jails, users and namespaces"
            }
            Error::Ended { said, .. } if said.contains("No such file") => {
                "a jail holds no libraries: use the static (musl) firecracker of its release page, not a dynamic build"
            }
            Error::Ended { said, .. }
                if said.contains("/dev/kvm") || said.contains("ermission denied") =>
            {
                "the jail needs a file system without `nodev` and `noexec`, and the user of the microVM must get at `/dev/kvm`; `flint doctor` looks at both"
            }
            Error::Api { source, .. } => return source.help().map(str::to_owned),
            Error::Program { .. } => {
                "download firecracker and jailer of one version, the static build; or use `--vmm qemu` with the package qemu-system-x86"
            }
            Error::Place { .. } => {
                "each directory on the way must be root's and closed to others' writing, its file system mounted `dev,exec`; or set `[host] state_dir`"
            }
            Error::Unfiltered { .. } => {
                "use the static (musl) firecracker of its release page, or a QEMU that was built with seccomp; `[host] allow_unfiltered_vmm = true` runs it all the same, with one wall less between job and host"
            }
            Error::Kvm { .. } => {
                "load the module kvm_intel or kvm_amd and open `/dev/kvm`; without KVM use `--vmm qemu`"
            }
            Error::Leftover { .. } => {
                "flint tries again; if it stays, look for a process or mount inside that directory"
            }
            Error::Ended { .. } | Error::Channel { .. } | Error::Scan { .. } => return None,
        };
        Some(text.to_owned())
    }
}
