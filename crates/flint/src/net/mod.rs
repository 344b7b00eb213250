//! One network namespace per slot: tap, veth, NAT and a default-deny ruleset, undone by deleting the namespace.
//!
//! The way in is [`HostNet`]. What a slot has follows from its number alone (`derive`); the rulesets are plain text
//! (`rules`); everything that changes a namespace runs on a thread of its own (`worker`).

use crate::vmm::Nic;
use derive::Place;
use flint_core::id::Slot;
use flint_wire::Network;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

pub mod bridge;
mod build;
mod check;
mod cidr;
pub mod derive;
pub mod egress;
pub mod error;
mod host;
pub mod names;
mod netlink;
mod nft;
mod refusals;
mod resolver;
pub mod rules;
mod told;
mod worker;

pub use bridge::Bridge;
pub use check::Finding;
pub use cidr::{BadCidr, Cidr};
pub use egress::Egress;
pub use error::Error;
pub use host::HostNet;
pub use refusals::{EGRESS, Refusals, Refused, Tally};

/// The seam to a host's network.
pub trait Net: Send + Sync + 'static {
    /// Makes the slot's network, or makes it anew.
    ///
    /// # Errors
    /// [`Error`]; something may be left, which `detach` removes.
    fn attach(
        &self,
        slot: Slot,
        uid: u32,
        egress: &Egress,
    ) -> impl Future<Output = Result<Attached, Error>> + Send;

    /// What the slot's guest was refused since `attach`. A slot that is not there was refused nothing.
    ///
    /// # Errors
    /// [`Error`] when it cannot be looked at.
    fn refusals(&self, slot: Slot) -> impl Future<Output = Result<Refusals, Error>> + Send;

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
    /// What the next daemon must know of slots that live on; none is kept without it. Emptied by a reboot, as slots
    /// are.
    pub dir: Option<PathBuf>,
    /// The namespace that leads outside; `None` is the daemon's own.
    pub uplink_namespace: Option<PathBuf>,
    /// The interface that leads outside; `None` is that of the default route, looked up at each attach.
    pub uplink: Option<String>,
    /// What guests ask for names; none takes the host's.
    pub dns: Vec<IpAddr>,
    /// Whether guests have IPv6.
    pub ipv6: Ipv6,
    /// Classic mode: slots are ports of this bridge, and its networks take the pool's place.
    pub bridge: Option<Bridge>,
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
            dir: None,
            uplink_namespace: None,
            uplink: None,
            dns: Vec::new(),
            ipv6: Ipv6::Off,
            bridge: None,
            allow: Vec::new(),
            deny: DENIED.to_vec(),
        }
    }
}

impl Options {
    /// Where a slot is.
    fn place(&self, slot: Slot) -> Result<Place, Error> {
        match &self.bridge {
            None => Place::of(&self.prefix, self.pool, self.ipv6, slot),
            Some(bridge) => Place::on(bridge, &self.prefix, self.ipv6, slot),
        }
    }
}

/// Whether guests have IPv6, and under which addresses they are seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ipv6 {
    /// They have none, as at GitHub.
    Off,
    /// Under the host's own address.
    Nat,
    /// Each slot under an address of this prefix, which is routed to the host.
    Prefix(Cidr),
}

/// What no guest has business with. IPv4: "this" network, private networks, carriers' NAT, loopback, link-local with
/// the clouds' metadata services, multicast, reserved (RFC 6890). IPv6: all but global unicast, which
/// leaves out RFC 6052's translated IPv4; of that, Teredo and 6to4, which hide IPv4 addresses, and the old 6bone.
pub const DENIED: [Cidr; 15] = [
    Cidr::v4([0, 0, 0, 0], 8),
    Cidr::v4([10, 0, 0, 0], 8),
    Cidr::v4([100, 64, 0, 0], 10),
    Cidr::v4([127, 0, 0, 0], 8),
    Cidr::v4([169, 254, 0, 0], 16),
    Cidr::v4([172, 16, 0, 0], 12),
    Cidr::v4([192, 168, 0, 0], 16),
    Cidr::v4([224, 0, 0, 0], 4),
    Cidr::v4([240, 0, 0, 0], 4),
    Cidr::v6(Ipv6Addr::UNSPECIFIED, 3),
    Cidr::v6(Ipv6Addr::new(0x4000, 0, 0, 0, 0, 0, 0, 0), 2),
    Cidr::v6(Ipv6Addr::new(0x8000, 0, 0, 0, 0, 0, 0, 0), 1),
    Cidr::v6(Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 32),
    Cidr::v6(Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),
    Cidr::v6(Ipv6Addr::new(0x3ffe, 0, 0, 0, 0, 0, 0, 0), 16),
];
