//! The resolver for guests that may reach only certain names.
//!
//! What guests ask and what the internet answers is read by one process without rights ([`half`]), for all guests of the
//! host. Each guest has its own sockets there, of that guest's own namespace: nothing is reached through them that its rules
//! would not let through. The process tells which addresses a listed name has, and gives the guest its answer when the root
//! half ([`keeper`]) has opened them. [`question`] is what it understands of DNS.

pub mod error;
pub mod half;
pub mod keeper;
pub(super) mod kept;
mod link;
mod open;
mod opening;
mod process;
pub mod question;
mod table;
mod words;

pub use error::Error;
pub use keeper::{Names, Options};

use super::egress::Name;
use flint_core::id::Slot;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::PathBuf;

/// What a slot's resolver must know. It is kept in a file for the next daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Served {
    /// Which slot.
    pub slot: Slot,
    /// Its namespace.
    pub netns: PathBuf,
    /// What may be asked for.
    pub names: Vec<Name>,
    /// Other names are only noted.
    pub audit: bool,
    /// Who knows the answers.
    pub dns: Vec<IpAddr>,
    /// Whether the guest has IPv6.
    pub ipv6: bool,
}
