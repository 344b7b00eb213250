//! One network namespace per slot: tap, veth, NAT and a default-deny ruleset, undone by deleting the namespace.
//!
//! The way in is [`HostNet`]. What a slot has follows from its number alone (`derive`); the rulesets are plain text
//! (`rules`); everything that changes a namespace runs on a thread of its own (`worker`).

use crate::vmm::Nic;
use flint_core::id::Slot;
use flint_wire::Network;
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::PathBuf;

mod build;
mod check;
mod cidr;
pub mod derive;
pub mod error;
mod host;
mod netlink;
mod nft;
mod resolver;
pub mod rules;
mod worker;

pub use check::Finding;
pub use cidr::{BadCidr, Cidr};
pub use error::Error;
pub use host::HostNet;

/// The seam to a host's network.
pub trait Net: Send + Sync + 'static {
    /// Makes the slot's network, or makes it anew.
    ///
    /// # Errors
    /// [`Error`]; something may be left, which `detach` removes.
    fn attach(&self, slot: Slot, uid: u32) -> impl Future<Output = Result<Attached, Error>> + Send;

    /// Removes it. Unknown means already gone.
    ///
    /// # Errors
    /// [`Error`] when something is left.
    fn detach(&self, slot: Slot) -> impl Future<Output = Result<(), Error>> + Send;

    /// The slots whose network is there, whole or in part.
    ///
    /// # Errors
    /// [`Error`] when the answer cannot be known.
    fn attached(&self) -> impl Future<Output = Result<BTreeSet<Slot>, Error>> + Send;
}

/// A slot's network, ready for a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// What the VMM opens.
    pub nic: Nic,
    /// What the guest is told.
    pub guest: Network,
}

/// The file of a named network namespace, as `ip netns` knows it.
#[must_use]
pub fn namespace_file(name: &str) -> PathBuf {
    crate::sys::netns::path_of(name)
}

/// What the configuration says about networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Starts the name of everything made on the host: 1 to 9 of a-z and 0-9. Two daemons on a host need two.
    pub prefix: String,
    /// Two addresses of it per slot join the slot to the uplink namespace.
    pub pool: Cidr,
    /// The namespace that leads outside; `None` is the daemon's own.
    pub uplink_namespace: Option<PathBuf>,
    /// The interface that leads outside; `None` is that of the default route, looked up at each attach.
    pub uplink: Option<String>,
    /// What guests write into `/etc/resolv.conf`; none takes the host's. IPv4, as guests have no IPv6 yet.
    pub dns: Vec<Ipv4Addr>,
    /// What guests may reach although it is denied: a GitHub Enterprise Server in a private network, say.
    pub allow: Vec<Cidr>,
    /// What guests may not reach. The host itself and other guests are never reached, whatever stands here.
    pub deny: Vec<Cidr>,
}

impl Options {
    /// Slots of this name with addresses from this pool, and everything else as plain as it can be. What a user gets
    /// who configures nothing is for the configuration to say.
    #[must_use]
    pub fn new(prefix: String, pool: Cidr) -> Self {
        Options {
            prefix,
            pool,
            uplink_namespace: None,
            uplink: None,
            dns: Vec::new(),
            allow: Vec::new(),
            deny: DENIED.to_vec(),
        }
    }
}

/// What no guest has business with: "this" network, private networks, carriers' NAT, loopback, link-local with the
/// clouds' metadata services, multicast, reserved (RFC 6890).
pub const DENIED: [Cidr; 9] = [
    Cidr::of([0, 0, 0, 0], 8),
    Cidr::of([10, 0, 0, 0], 8),
    Cidr::of([100, 64, 0, 0], 10),
    Cidr::of([127, 0, 0, 0], 8),
    Cidr::of([169, 254, 0, 0], 16),
    Cidr::of([172, 16, 0, 0], 12),
    Cidr::of([192, 168, 0, 0], 16),
    Cidr::of([224, 0, 0, 0], 4),
    Cidr::of([240, 0, 0, 0], 4),
];
