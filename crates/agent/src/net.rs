//! The guest's links: loopback always, `eth0` if the host gave it an address.

use crate::error::{During, Error};
use crate::sys;
use flint_wire::{Network, Network6};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Brings the links up.
pub(crate) fn bring_up(network: Option<&Network>) -> Result<(), Error> {
    sys::set_up_link("lo", None).during("bring up lo")?;
    let Some(network) = network else { return Ok(()) };
    let (address, mask) = parse(&network.address).ok_or_else(|| {
        Error::refused("configure eth0", format!("bad address `{}`", network.address))
    })?;
    let gateway = network.gateway.parse().map_err(|_| {
        Error::refused("configure eth0", format!("bad gateway `{}`", network.gateway))
    })?;
    sys::set_up_link("eth0", Some((address, mask))).during("configure eth0")?;
    sys::add_default_route(gateway).during(format!("route through {gateway}"))?;
    network.ipv6.as_ref().map_or(Ok(()), bring_up_ipv6)
}

/// After IPv4, whose ioctl has turned the link up.
fn bring_up_ipv6(network: &Network6) -> Result<(), Error> {
    let (address, prefix) = parse6(&network.address).ok_or_else(|| {
        Error::refused("configure eth0", format!("bad address `{}`", network.address))
    })?;
    let gateway = network.gateway.parse().map_err(|_| {
        Error::refused("configure eth0", format!("bad gateway `{}`", network.gateway))
    })?;
    sys::add_address6("eth0", address, prefix).during("give eth0 an IPv6 address")?;
    sys::add_default_route6("eth0", gateway).during(format!("route through {gateway}"))
}

/// `fd46:4c49:4e54::2/64` as address and length of its prefix.
fn parse6(text: &str) -> Option<(Ipv6Addr, u32)> {
    let (address, bits) = text.split_once('/')?;
    let bits = bits.parse().ok().filter(|bits| *bits <= 128)?;
    Some((address.parse().ok()?, bits))
}

/// `192.168.241.2/29` as address and netmask.
fn parse(text: &str) -> Option<(Ipv4Addr, Ipv4Addr)> {
    let (address, bits) = text.split_once('/')?;
    let bits: u32 = bits.parse().ok().filter(|bits| *bits <= 32)?;
    let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
    Some((address.parse().ok()?, Ipv4Addr::from(mask)))
}

#[cfg(test)]
mod tests {
    use super::{parse, parse6};
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn an_address_brings_its_netmask() {
        let expected = (Ipv4Addr::new(192, 168, 241, 2), Ipv4Addr::new(255, 255, 255, 248));
        assert_eq!(parse("192.168.241.2/29"), Some(expected));
        assert_eq!(parse("10.0.0.1/0").map(|(_, mask)| mask), Some(Ipv4Addr::UNSPECIFIED));
        assert_eq!(parse("10.0.0.1/33"), None);
        assert_eq!(parse("10.0.0.1"), None);
        assert_eq!(parse6("::1/128"), Some((Ipv6Addr::LOCALHOST, 128)));
        assert_eq!(parse6("::1/129").or(parse6("::1")).or(parse6("10.0.0.1/8")), None);
    }
}
