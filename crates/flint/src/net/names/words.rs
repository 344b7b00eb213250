//! What the resolver's two halves say to each other, and the bounds of it.

use super::super::egress::Name;
use flint_core::id::Slot;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The longest packet: a list of as many names as the configuration takes, each as long as DNS has them.
pub(super) const PACKET_MAX: usize = 128 * 1024;

/// Addresses of one answer that are opened. One that has more is for other uses than a job's.
pub(super) const ADDRESSES_MAX: usize = 32;

/// What the root half says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Down {
    /// Serve a slot, with these sockets: first those to listen on, then those to ask with.
    Serve { slot: Slot, names: Vec<Name>, audit: bool, listen: usize },
    /// Serve it no more.
    Forget { slot: Slot },
    /// The addresses of this answer are open.
    Opened { slot: Slot, number: u64 },
    /// Are you there?
    Ping,
}

/// What the other half says. It may be in a stranger's hand.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Up {
    /// The first word: it has confined itself, but for these.
    Confined { lost: Vec<String> },
    /// A listed name has these addresses, each for so many seconds; [`Down::Opened`] answers.
    Found { slot: Slot, number: u64, addresses: Vec<(IpAddr, u32)> },
    /// A name that is not listed was asked for.
    Refused { slot: Slot, name: String },
    /// The answer to [`Down::Ping`].
    Pong,
}
