//! What can go wrong with disks.

use super::kind::Kind;
use flint_core::units::MiB;
use std::io;
use std::path::PathBuf;

/// A disk that could not be made, found or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file of a bundle is not there, or may not be read.
    #[error("cannot read the {what} `{path}`")]
    Unreadable {
        /// `kernel`, `initramfs`, `base image` or `modules disk`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is something else than its place in the bundle asks for.
    #[error("cannot use `{path}` as the {what}: it is {found}, not {wanted}")]
    WrongKind {
        /// `kernel`, `initramfs`, `base image` or `modules disk`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// What its first bytes say.
        found: Kind,
        /// What would do.
        wanted: &'static str,
    },
    /// A file system that is longer than its file: a copy or a download broke off.
    #[error("cannot use `{path}` as the {what}: it is cut short, {has} of {promised} bytes")]
    CutShort {
        /// `base image` or `modules disk`.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Bytes that are there.
        has: u64,
        /// Bytes that its superblock promises.
        promised: u64,
    },
    /// No room.
    #[error("cannot make `{path}`: the disk is full, {} free", MiB(free >> 20))]
    DiskFull {
        /// Which file.
        path: PathBuf,
        /// Bytes left.
        free: u64,
        /// Why.
        source: io::Error,
    },
    /// The scratch disk or its folder.
    #[error("cannot {verb} `{path}`")]
    Scratch {
        /// `make`, `remove` or `list`.
        verb: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `mkfs.ext4` is not there, or cannot be run.
    #[error("cannot run `mkfs.ext4`")]
    NoMkfs {
        /// Why.
        source: io::Error,
    },
    /// `mkfs.ext4` refused.
    #[error("cannot make the empty file system `{path}`: mkfs.ext4 says `{said}`")]
    Mkfs {
        /// Which file.
        path: PathBuf,
        /// Its words.
        said: String,
    },
    /// The task that does the work ended early.
    #[error("cannot work on disks")]
    Task {
        /// Why.
        source: tokio::task::JoinError,
    },
}

impl Error {
    /// What the user can do about it, if it is the user's to do.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Error::Unreadable { what: "kernel" | "initramfs" | "modules disk", .. } => {
                Some("`make kernel` makes kernel, initramfs and modules in one folder".to_owned())
            }
            Error::Unreadable { .. } => Some("`make filesystem` makes a base image".to_owned()),
            Error::WrongKind {
                what: "kernel",
                found: Kind::Gzip | Kind::Xz | Kind::Zstd,
                path,
                ..
            } => Some(format!("unpack it first: `{}` is compressed", path.display())),
            Error::WrongKind { wanted, .. } => Some(format!("name {wanted} in the configuration")),
            Error::CutShort { .. } => Some("copy or build it again".to_owned()),
            Error::DiskFull { path, .. } => {
                let folder = path.parent().unwrap_or(path).display();
                Some(format!(
                    "free some room under `{folder}`, or move `state_dir` to a larger disk"
                ))
            }
            Error::NoMkfs { .. } => Some("install e2fsprogs: `apt install e2fsprogs`".to_owned()),
            Error::Scratch { .. } | Error::Mkfs { .. } | Error::Task { .. } => None,
        }
    }
}
