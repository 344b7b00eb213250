//! What can go wrong on a host.

use crate::{images, net, vmm};
use flint_core::id::VmId;
use flint_wire::frame::FrameError;
use std::io;

/// An order that this host did not carry out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A disk, kernel or image.
    #[error("cannot get the disks of {vm}")]
    Images {
        /// Whose.
        vm: VmId,
        /// Why.
        source: images::Error,
    },
    /// The slot's network.
    #[error("cannot get the network of {vm}")]
    Net {
        /// Whose.
        vm: VmId,
        /// Why.
        source: net::Error,
    },
    /// Its process.
    #[error("cannot run {vm}")]
    Vmm {
        /// Which.
        vm: VmId,
        /// Why.
        source: vmm::Error,
    },
    /// The order came after the order to destroy it.
    #[error("cannot launch {vm}: it has been destroyed")]
    Destroyed {
        /// Which.
        vm: VmId,
    },
    /// This host follows no such microVM.
    #[error("cannot find {vm} on this host")]
    Unknown {
        /// Which.
        vm: VmId,
    },
    /// It ended before its agent took the work.
    #[error("cannot hand the work to {vm}: it is gone")]
    Gone {
        /// Which.
        vm: VmId,
    },
    /// It was given work before.
    #[error("cannot hand the work to {vm}: it has work already")]
    Armed {
        /// Which.
        vm: VmId,
    },
    /// The work does not fit into a message.
    #[error("cannot put the work of {vm} into a message")]
    Work {
        /// Whose.
        vm: VmId,
        /// Why.
        source: FrameError,
    },
    /// The guest ended, or said that it cannot go on.
    #[error("cannot run the work in {vm}: {why}")]
    Guest {
        /// Which.
        vm: VmId,
        /// What it said, or how it ended, with the console's last lines.
        why: String,
    },
    /// The terminal does not obey.
    #[error("cannot use this terminal")]
    Terminal {
        /// Why.
        source: io::Error,
    },
    /// What is on the host cannot be listed.
    #[error("cannot list the {what} on this host")]
    Scan {
        /// What: `microVMs`, `networks`, `disks`.
        what: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// What the user can do about it, when something can be said.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Error::Vmm { source, .. } => source.help(),
            Error::Net { source, .. } => source.help().map(str::to_owned),
            Error::Images { source, .. } => source.help(),
            _ => None,
        }
    }
}
