//! From a slot's number to every name and address it has. Pure: undo needs only the number.

use super::{Bridge, Cidr, Error, Ipv6};
use crate::sys::netns;
use flint_core::id::Slot;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

/// The tap device in every slot's namespace. A snapshot remembers it, so it is the same everywhere.
pub const TAP: &str = "vmtap0";
/// The slot's end of the veth pair.
pub const UPLINK: &str = "uplink0";
/// The guest's address.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(192, 168, 241, 2);
/// The tap's address, the guest's gateway.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 241, 1);
/// The prefix of the guest's network.
pub const GUEST_NETWORK: u8 = 29;
/// A veth pair needs two addresses: RFC 3021.
pub const VETH_NETWORK: u8 = 31;
/// The same for IPv6: RFC 6164.
pub const VETH_NETWORK6: u8 = 127;
/// The same of a bridge: what the original Flint uses.
pub const BRIDGE_NETWORK6: u8 = 80;
/// The gateway of a guest with an address of its own: on every link, whatever else is there.
pub const GATEWAY6_LINK: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// Flint's own unique local addresses (RFC 4193): the letters of its name. A guest prefers IPv4 to them wherever there
/// are both (RFC 6724 §2.1).
const OURS6: Ipv6Addr = Ipv6Addr::new(0xfd46, 0x4c49, 0x4e54, 0, 0, 0, 0, 0);
/// The guest's IPv6 address, the same in every guest.
pub const GUEST6: Ipv6Addr = Ipv6Addr::from_bits(OURS6.to_bits() | 2);
/// The tap's IPv6 address, the guest's gateway.
pub const GATEWAY6: Ipv6Addr = Ipv6Addr::from_bits(OURS6.to_bits() | 1);
/// The prefix of the guest's IPv6 network.
pub const GUEST_NETWORK6: u8 = 64;
/// Slots' IPv6 addresses where they are translated: the lowest bits are the IPv4 ones, so two daemons with two pools
/// never share one.
pub const POOL6: Cidr = Cidr::v6(Ipv6Addr::new(0xfd46, 0x4c49, 0x4e54, 1, 0, 0, 0, 0), 64);

/// An interface name has at most 15 characters: prefix, `-`, five digits.
const LONGEST_PREFIX: usize = 9;

/// A slot's names and addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its namespace's file, `/run/netns/flint-3`.
    pub netns: PathBuf,
    /// The uplink's end of its veth pair, `flint-3`.
    pub veth: String,
    /// The address of the uplink's end.
    pub outer: Ipv4Addr,
    /// The address of the slot's end; all of the slot's traffic leaves it under this address.
    pub inner: Ipv4Addr,
    /// The same for IPv6, outer and inner, where guests have it.
    pub six: Option<(Ipv6Addr, Ipv6Addr)>,
    /// The prefixes of the network that both ends are in, IPv4 and IPv6.
    pub lengths: (u8, u8),
    /// Whether the uplink's end is a port of a bridge, which has the outer addresses.
    pub port: bool,
    /// The guest's own address, under which the world knows it.
    pub public: Option<Ipv6Addr>,
}

impl Place {
    /// Where a slot is.
    ///
    /// # Errors
    /// [`Error::SlotBeyondPool`].
    pub fn of(prefix: &str, pool: Cidr, ipv6: Ipv6, slot: Slot) -> Result<Self, Error> {
        let beyond = |pool| Error::SlotBeyondPool { slot, pool };
        let IpAddr::V4(first) = pool.first() else { return Err(beyond(pool)) };
        let outer = first.to_bits().checked_add(u32::from(slot.0) * 2).map(Ipv4Addr::from_bits);
        let pair = outer.map(|outer| (outer, Ipv4Addr::from_bits(outer.to_bits() | 1)));
        let pair = pair.filter(|(_, inner)| pool.contains(IpAddr::V4(*inner)));
        let (outer, inner) = pair.ok_or_else(|| beyond(pool))?;
        let from = match ipv6 {
            Ipv6::Off => None,
            Ipv6::Nat => Some((POOL6, u128::from(outer.to_bits()))),
            // The first two are left to routers.
            Ipv6::Prefix(pool) => Some((pool, u128::from(slot.0) * 2 + 2)),
        };
        let six = from.map(|(pool, number)| pair6(pool, number).ok_or_else(|| beyond(pool)));
        let (netns, veth) = (netns_of(prefix, slot), veth_of(prefix, slot));
        let (lengths, six) = ((VETH_NETWORK, VETH_NETWORK6), six.transpose()?);
        Ok(Place { netns, veth, outer, inner, six, lengths, port: false, public: None })
    }

    /// Where a slot is whose veth is a port of a bridge.
    ///
    /// # Errors
    /// [`Error::SlotBeyondPool`].
    pub fn on(bridge: &Bridge, prefix: &str, ipv6: Ipv6, slot: Slot) -> Result<Self, Error> {
        let pool = bridge.network();
        let beyond = || Error::SlotBeyondPool { slot, pool };
        let IpAddr::V4(first) = pool.first() else { return Err(beyond()) };
        // The network's own number is nobody's, and the bridge may have any of the others.
        let skipped = |at: u32| u32::from(bridge.address.to_bits() <= first.to_bits() + at + 1);
        let at = u32::from(slot.0);
        let inner = first.to_bits().checked_add(at + 1 + skipped(at)).map(Ipv4Addr::from_bits);
        let last = first.to_bits() | (u32::MAX >> pool.length());
        let inner = inner.filter(|inner| inner.to_bits() < last).ok_or_else(beyond)?;
        let six = bridge.network6(ipv6).map(|network| {
            let of = |number: u128| match network.first() {
                IpAddr::V6(first) => Ipv6Addr::from_bits(first.to_bits() | number),
                IpAddr::V4(_) => Ipv6Addr::UNSPECIFIED,
            };
            // `prefix:1::2` is the bridge; the slots' own are `prefix:1::1:0` on, the guests' `prefix:1::2:0` on.
            (of(2), of(1 << 16 | u128::from(slot.0)), of(2 << 16 | u128::from(slot.0)))
        });
        Ok(Place {
            netns: netns_of(prefix, slot),
            veth: veth_of(prefix, slot),
            outer: bridge.address,
            inner,
            six: six.map(|(outer, inner, _)| (outer, inner)),
            lengths: (pool.length(), BRIDGE_NETWORK6),
            port: true,
            public: six.map(|(_, _, public)| public),
        })
    }

    /// The addresses that nobody else on the host may have a way to.
    #[must_use]
    pub fn range(&self) -> Cidr {
        if self.port {
            return Cidr::v4(self.inner.octets(), 32);
        }
        Cidr::v4(self.outer.octets(), VETH_NETWORK)
    }

    /// The same of its IPv6 addresses, if it has them; of a bridge, whose slots are on one link, all of the link's.
    #[must_use]
    pub fn range6(&self) -> Option<Cidr> {
        self.six.map(|(outer, _)| Cidr::v6(outer, self.lengths.1))
    }

    /// The MAC address of the uplink's end. The one behind the outer addresses is [`mac_of`] them: a bridge's own.
    #[must_use]
    pub fn outer_mac(&self) -> [u8; 6] {
        if self.port { port_mac_of(self.inner) } else { mac_of(self.outer) }
    }

    /// The guest's IPv6 address.
    #[must_use]
    pub fn guest6(&self) -> Ipv6Addr {
        self.public.unwrap_or(GUEST6)
    }
}

/// The pair of addresses of a pool that begins with this even number.
fn pair6(pool: Cidr, number: u128) -> Option<(Ipv6Addr, Ipv6Addr)> {
    let IpAddr::V6(first) = pool.first() else { return None };
    let outer = Ipv6Addr::from_bits(first.to_bits().checked_add(number)?);
    let inner = Ipv6Addr::from_bits(outer.to_bits() | 1);
    Some((outer, inner)).filter(|_| pool.contains(IpAddr::V6(inner)))
}

/// The file of a slot's namespace.
#[must_use]
pub fn netns_of(prefix: &str, slot: Slot) -> PathBuf {
    netns::path_of(&veth_of(prefix, slot))
}

/// The name of a slot's namespace, and of its veth in the uplink namespace.
#[must_use]
pub fn veth_of(prefix: &str, slot: Slot) -> String {
    format!("{prefix}-{slot}")
}

/// The slot that has this name. `flint-03` and `flint-99999` are nobody's.
#[must_use]
pub fn slot_of(prefix: &str, name: &str) -> Option<Slot> {
    let number = name.strip_prefix(prefix)?.strip_prefix('-')?;
    let slot = Slot(number.parse().ok()?);
    Some(slot).filter(|slot| slot.to_string() == number)
}

/// The table in the uplink namespace that is this prefix's alone.
#[must_use]
pub fn table_of(prefix: &str) -> String {
    match prefix {
        "flint" => "flint".to_owned(),
        other => format!("flint_{other}"),
    }
}

/// The MAC address of an interface with this address: `06:00:c0:a8:f1:02` for the guest. Locally administered;
/// given by hand, so that udev does not replace it later.
#[must_use]
pub fn mac_of(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x06, 0x00, a, b, c, d]
}

/// A MAC address as people and VMMs write it.
#[must_use]
pub fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// A prefix has no `-`, so that `flint-*` names no interface of `flintb`.
///
/// # Errors
/// [`Error::Prefix`].
pub fn check_prefix(prefix: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits =
        prefix.len() <= LONGEST_PREFIX && prefix.starts_with(|c: char| c.is_ascii_lowercase());
    let good = fits && prefix.chars().all(plain);
    if good { Ok(()) } else { Err(Error::Prefix { prefix: prefix.to_owned() }) }
}

/// The MAC address of a bridge's port, behind which is the one of the slot with this address.
fn port_mac_of(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x06, 0x01, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: Cidr = Cidr::v4([10, 213, 0, 0], 16);

    #[test]
    fn a_slot_gives_every_name_and_address() {
        let place = Place::of("flint", POOL, Ipv6::Off, Slot(3)).unwrap();
        assert_eq!(place.netns, PathBuf::from("/run/netns/flint-3"));
        assert_eq!(place.veth, "flint-3");
        assert_eq!(place.range().to_string(), "10.213.0.6/31");
        assert_eq!(place.outer.to_string(), "10.213.0.6");
        assert_eq!(place.inner.to_string(), "10.213.0.7");
    }

    #[test]
    fn no_two_slots_share_an_address() {
        let place = |slot| Place::of("flint", POOL, Ipv6::Off, Slot(slot)).unwrap();
        assert!((1..=32_767).all(|slot| !place(slot).range().overlaps(place(slot - 1).range())));
    }

    #[test]
    fn a_slot_beyond_the_pool_is_refused() {
        assert!(Place::of("flint", POOL, Ipv6::Off, Slot(32_768)).is_err());
        let fits = |pool: &str, slot| {
            let pool = pool.parse().unwrap();
            Place::of("flint", pool, Ipv6::Off, Slot(slot)).is_ok()
        };
        assert!(fits("10.0.0.0/30", 1) && !fits("10.0.0.0/30", 2));
        assert!(fits("255.255.255.254/31", 0) && !fits("255.255.255.254/31", 1));
        assert!(!fits("10.0.0.0/32", 0) && !fits("fd00::/64", 0));
    }

    #[test]
    fn ipv6_addresses_follow_from_the_slots_ipv4_or_from_its_number() {
        let six = |ipv6, slot| Place::of("flint", POOL, ipv6, Slot(slot)).map(|place| place.six);
        let pair =
            |outer: &str, inner: &str| Some((outer.parse().unwrap(), inner.parse().unwrap()));
        let expected = pair("fd46:4c49:4e54:1::ad5:6", "fd46:4c49:4e54:1::ad5:7");
        assert_eq!(six(Ipv6::Nat, 3).unwrap(), expected);
        let prefix = Ipv6::Prefix("2001:db8:0:9::/112".parse().unwrap());
        assert_eq!(six(prefix, 0).unwrap(), pair("2001:db8:0:9::2", "2001:db8:0:9::3"));
        assert_eq!(six(Ipv6::Off, 3).unwrap(), None);
        assert!(six(Ipv6::Prefix("2001:db8::/126".parse().unwrap()), 1).is_err());
    }

    #[test]
    fn slots_of_a_bridge_share_its_networks_and_their_guests_have_addresses_of_their_own() {
        let bridge = Bridge { name: "br-flint".into(), address: [10, 0, 0, 1].into(), length: 24 };
        let ipv6 = Ipv6::Prefix("2001:db8:0:9::/64".parse().unwrap());
        let place = |slot| Place::on(&bridge, "flint", ipv6, Slot(slot));
        let (first, next) = (place(0).unwrap(), place(1).unwrap());
        assert_eq!(first.inner, Ipv4Addr::new(10, 0, 0, 2));
        assert_eq!(next.inner, Ipv4Addr::new(10, 0, 0, 3));
        assert_eq!(first.outer, bridge.address);
        let six = |text: &str| text.parse::<Ipv6Addr>().unwrap();
        assert_eq!(first.six, Some((six("2001:db8:0:9:1::2"), six("2001:db8:0:9:1::1:0"))));
        assert_eq!(next.guest6(), six("2001:db8:0:9:1::2:1"));
        assert_eq!(next.range(), Cidr::v4([10, 0, 0, 3], 32));
        assert_eq!(place(252).unwrap().inner, Ipv4Addr::new(10, 0, 0, 254));
        assert!(place(253).is_err(), "the broadcast address is no slot's");
        // A bridge in the middle is stepped over.
        let middle = Bridge { address: [10, 0, 0, 3].into(), ..bridge };
        let inner = |slot| Place::on(&middle, "flint", Ipv6::Off, Slot(slot)).unwrap().inner;
        assert_eq!([0, 1, 2].map(inner).map(|ip| ip.octets()[3]), [1, 2, 4]);
    }

    #[test]
    fn every_name_leads_back_to_its_slot() {
        for slot in [0, 7, u16::MAX].map(Slot) {
            assert_eq!(slot_of("flint", &veth_of("flint", slot)), Some(slot));
        }
        for stranger in
            ["flint", "flint-", "flint-03", "flint-65536", "flint--1", "flintb-3", "eth0"]
        {
            assert_eq!(slot_of("flint", stranger), None, "{stranger}");
        }
    }

    #[test]
    fn the_longest_names_fit_an_interface() {
        let prefix = "f23456789";
        check_prefix(prefix).unwrap();
        assert_eq!(veth_of(prefix, Slot(u16::MAX)).len(), 15);
        for bad in ["", "f234567890", "flint-b", "Flint", "9lives", "fl_nt", "fl*"] {
            assert!(check_prefix(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_guest_has_the_address_that_snapshots_know() {
        assert_eq!(mac_text(mac_of(GUEST)), "06:00:c0:a8:f1:02");
    }
}
