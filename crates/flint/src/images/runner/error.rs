//! What can go wrong with GitHub's runner in an image.

use crate::images::Kind;
use flint_core::units::MiB;
use std::io;
use std::path::PathBuf;

/// An image or an archive that could not be read, or an image that was left as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An image or an archive is not there, or may not be read.
    #[error("cannot read `{path}`")]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Only ext4 can be looked into and changed from outside.
    #[error("cannot look into the image `{image}`: it is {found}, not an ext4 file system")]
    NotExt4 {
        /// Which image.
        image: PathBuf,
        /// What its first bytes say.
        found: Kind,
    },
    /// An image without GitHub's runner.
    #[error("the image `{image}` has no {dir}/bin/Runner.Listener")]
    NoRunner {
        /// Which image.
        image: PathBuf,
        /// Where it was looked for.
        dir: String,
    },
    /// An image that is not what it should be.
    #[error("cannot make out GitHub's runner in the image `{image}`: {problem}")]
    Strange {
        /// Which image.
        image: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The archive has another sum than it should.
    #[error("cannot use `{path}`: its SHA-256 is {is}, not {wanted}")]
    Sum {
        /// The archive.
        path: PathBuf,
        /// What it is.
        is: String,
        /// What it should be.
        wanted: String,
    },
    /// The archive is none of GitHub's runner, or one that no honest build makes.
    #[error("cannot use `{path}` as GitHub's runner: {problem}")]
    BadArchive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The archive is for another kind of machine.
    #[error("cannot use `{path}` as GitHub's runner: its program is {found}")]
    Machine {
        /// The archive.
        path: PathBuf,
        /// What its program is.
        found: Kind,
    },
    /// Somebody else is at it.
    #[error("cannot change the image `{image}`: another `flint image update-runner` is doing so")]
    Busy {
        /// Which image.
        image: PathBuf,
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
    /// A file beside the image.
    #[error("cannot {verb} `{path}`")]
    Work {
        /// `make`, `copy`, `keep`, `replace`.
        verb: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program of e2fsprogs is not there, or cannot be run.
    #[error("cannot run `{tool}`")]
    NoTool {
        /// Which program.
        tool: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A program of e2fsprogs did not do what it should.
    #[error("cannot {step} `{image}`: {tool} says `{said}`")]
    Tool {
        /// What it was for.
        step: &'static str,
        /// Which image, or which copy of it.
        image: PathBuf,
        /// Which program.
        tool: &'static str,
        /// Its words.
        said: String,
    },
}

impl Error {
    /// What the user can do about it, if it is the user's to do.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        let make = "`make filesystem` with RUNNER_TARBALL, or RUNNER_VERSION and RUNNER_SHA256, makes an image";
        Some(match self {
            Error::NotExt4 { found: Kind::Erofs { .. }, .. } => {
                "an EROFS image is never written to: make it anew from a folder or an image with the newer runner".to_owned()
            }
            Error::NotExt4 { .. } => "name an ext4 image with --image".to_owned(),
            Error::NoRunner { .. } => format!(
                "{make} with one; if it is elsewhere in the image, `runner_dir` in its /etc/flint/image.json says where"
            ),
            Error::Strange { .. } => format!("mend the image, or make it anew: {make}"),
            Error::Sum { .. } => {
                "nothing was changed; download it again, and compare the sum with the one of its release".to_owned()
            }
            Error::BadArchive { .. } => {
                "nothing was changed; take actions-runner-linux-….tar.gz of a release of github.com/actions/runner".to_owned()
            }
            Error::Machine { .. } => format!(
                "nothing was changed; take the archive for this machine: actions-runner-linux-{}-….tar.gz",
                super::archive::MACHINE
            ),
            Error::Busy { .. } => "wait for its end".to_owned(),
            Error::DiskFull { path, .. } => {
                let folder = path.parent().unwrap_or(path).display();
                format!("free some room there: an update needs about as much as the image, and 1 GiB, in `{folder}`")
            }
            Error::NoTool { .. } => "install e2fsprogs: `apt install e2fsprogs`".to_owned(),
            Error::Tool { .. } => "the image is as it was; `e2fsck -fn` looks at its file system".to_owned(),
            Error::Work { .. } => "the image is as it was; it and its folder must be this user's to change".to_owned(),
            Error::Unreadable { .. } => return None,
        })
    }
}
