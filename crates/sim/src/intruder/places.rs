//! Who is where on the stage of `escape`. All of it lies in network namespaces that the stage makes.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The host, on its uplink.
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// The same for IPv6.
pub(crate) const HOST6: Ipv6Addr = Ipv6Addr::new(0x2a00, 0x51, 0, 0, 0, 0, 0, 1);
/// Another global address of the host.
pub(crate) const HOST_TOO: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);
/// A private one.
pub(crate) const HOST_PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 99, 1, 1);
/// Where the host takes webhooks.
pub(crate) const WEBHOOKS: u16 = 9198;

/// What every guest is told about itself and its gateway.
pub(crate) const GUEST: Ipv4Addr = Ipv4Addr::new(192, 168, 241, 2);
/// The same for IPv6.
pub(crate) const GUEST6: Ipv6Addr = Ipv6Addr::new(0xfd46, 0x4c49, 0x4e54, 0, 0, 0, 0, 2);
/// The gateway.
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 241, 1);
/// The same for IPv6.
pub(crate) const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfd46, 0x4c49, 0x4e54, 0, 0, 0, 0, 1);
/// A guest's MAC address.
pub(crate) const GUEST_MAC: [u8; 6] = [6, 0, 192, 168, 241, 2];
/// The gateway's.
pub(crate) const GATEWAY_MAC: [u8; 6] = [6, 0, 192, 168, 241, 1];
/// What the neighbour calls itself on a flat network, where two may not be the same.
pub(crate) const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(192, 168, 241, 3);
/// The same for IPv6.
pub(crate) const NEIGHBOUR6: Ipv6Addr = Ipv6Addr::new(0xfd46, 0x4c49, 0x4e54, 0, 0, 0, 0, 3);
/// Its MAC address there.
pub(crate) const NEIGHBOUR_MAC: [u8; 6] = [6, 0, 192, 168, 241, 3];

/// A server of the internet, which guests may reach.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 5);
/// The same for IPv6.
pub(crate) const SERVER6: Ipv6Addr = Ipv6Addr::new(0x2a00, 0x113, 0, 0, 0, 0, 0, 5);
/// The resolver that guests may ask. They are told by the daemon.
#[cfg(feature = "full")]
pub(crate) const RESOLVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 53);
/// Where attempts are reported to, at [`SERVER`].
pub(crate) const REPORTS: u16 = 1000;
/// Where everybody listens.
pub(crate) const PORT: u16 = 7;

/// The metadata service of clouds.
pub(crate) const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// Private machines behind the host's router: one of each private range, and a carrier's customer.
pub(crate) const PRIVATE: [Ipv4Addr; 4] = [
    Ipv4Addr::new(10, 99, 0, 1),
    Ipv4Addr::new(172, 16, 9, 9),
    Ipv4Addr::new(192, 168, 77, 1),
    Ipv4Addr::new(100, 64, 9, 9),
];
/// The same for IPv6: a private one; one behind NAT64 and one behind 6to4, which lead to 10.99.0.1; one beside the host.
pub(crate) const PRIVATE6: [Ipv6Addr; 4] = [
    Ipv6Addr::new(0xfd99, 0, 0, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0x0a63, 1),
    Ipv6Addr::new(0x2002, 0x0a63, 1, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0x2a00, 0x51, 0, 0, 0, 0, 0, 0x77),
];
