//! Classic mode, as the original Flint describes it: slots are ports of a bridge of the host, and each guest has a public
//! IPv6 address, for which the host answers on its uplink.

use super::build::{self, Roads};
use super::derive::{BRIDGE_NETWORK6, mac_of};
use super::netlink::{Link, Links};
use super::{Cidr, Ipv6, Options, error, worker};
use serde::Serialize;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the host's bridge is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bridge {
    /// `br-flint`.
    pub name: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// The prefix of its network.
    pub length: u8,
}

/// Why a bridge is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Its name, or what IPv6 is to be on it.
    #[error("it has no plain name, or IPv6 is neither off nor a /64")]
    Options,
    /// Somebody else's.
    #[error("somebody else made it: its alias is `{alias}`, and not `{mark}`")]
    Foreign {
        /// What is written beside it; most often nothing.
        alias: String,
        /// What is written beside ours.
        mark: String,
    },
    /// It was made, and somebody took it away again.
    #[error("somebody has removed it")]
    Gone,
    /// It has ports.
    #[error("it is in use by {}", ports.join(", "))]
    InUse {
        /// The slots' interfaces.
        ports: Vec<String>,
    },
}

impl Error {
    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> &'static str {
        match self {
            Error::Options => {
                "name a bridge such as `br-flint`, and your public /64 in `host.ipv6`, or `off`"
            }
            Error::Foreign { .. } => {
                "name another in `host.bridge`, remove it with `ip link del`, or give it to Flint: `ip link set NAME \
                 alias \"flint PREFIX\"`, with the value of `host.netns_prefix`"
            }
            Error::Gone => "`flint network up` makes it, and so does the next microVM",
            Error::InUse { .. } => "end the microVMs first: `flint drain`",
        }
    }
}

/// What there is of a bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct State {
    /// Whether it is there.
    pub there: bool,
    /// Whether it is Flint's; else nothing touches it.
    pub ours: bool,
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its ports: the slots' interfaces.
    pub ports: Vec<String>,
    /// The guests' addresses for which the host answers, and the interface on which it does.
    pub proxied: Vec<Ipv6Addr>,
    /// That interface, where guests have IPv6.
    pub uplink: Option<String>,
}

impl Bridge {
    /// Its IPv4 network.
    #[must_use]
    pub fn network(&self) -> Cidr {
        Cidr::around(IpAddr::V4(self.address), self.length)
    }

    /// Its IPv6 network: `prefix:1::/80` of a public /64.
    #[must_use]
    pub fn network6(&self, ipv6: Ipv6) -> Option<Cidr> {
        let Ipv6::Prefix(prefix) = ipv6 else { return None };
        let IpAddr::V6(first) = prefix.first() else { return None };
        let network = Ipv6Addr::from_bits(first.to_bits() | 1 << 48);
        Some(Cidr::v6(network, BRIDGE_NETWORK6))
    }

    /// An error about it.
    pub(super) fn refused(&self, source: Error) -> error::Error {
        error::Error::Bridge { name: self.name.clone(), source }
    }

    /// Its IPv6 address: `prefix:1::2`.
    fn address6(&self, ipv6: Ipv6) -> Option<Ipv6Addr> {
        match self.network6(ipv6)?.first() {
            IpAddr::V6(first) => Some(Ipv6Addr::from_bits(first.to_bits() | 2)),
            IpAddr::V4(_) => None,
        }
    }
}

/// What marks a bridge as ours; `ip link` shows it.
pub(super) fn mark(prefix: &str) -> String {
    format!("flint {prefix}")
}

/// The bridge, if it is there and nobody else's.
pub(super) async fn find(
    options: &Options,
    bridge: &Bridge,
    outside: &Links,
) -> Result<Option<Link>, error::Error> {
    let mark = mark(&options.prefix);
    match outside.find(&bridge.name).await? {
        Some(link) if link.alias != mark => {
            Err(bridge.refused(Error::Foreign { alias: link.alias, mark }))
        }
        found => Ok(found),
    }
}

/// The bridge, which was made before.
pub(super) async fn ours(
    options: &Options,
    bridge: &Bridge,
    outside: &Links,
) -> Result<Link, error::Error> {
    find(options, bridge, outside).await?.ok_or_else(|| bridge.refused(Error::Gone))
}

/// Makes the bridge, or what of it is missing. Runs in the uplink's namespace; by one thread at a time, because a bridge
/// that is being made has no mark yet.
async fn raise(
    options: &Options,
    bridge: &Bridge,
    outside: &Links,
    roads: &Roads,
) -> Result<(), error::Error> {
    if let Some(network) = bridge.network6(options.ipv6) {
        build::refuse_taken(outside, network, &bridge.name).await?;
    }
    let link = match find(options, bridge, outside).await? {
        Some(link) => link,
        None => {
            let mac = mac_of(bridge.address);
            outside.add_bridge(&bridge.name, &mark(&options.prefix), mac).await?
        }
    };
    let name = bridge.name.as_str();
    build::set_all(&settings(bridge, options.ipv6, roads))?;
    outside.up(name).await?;
    outside.address((name, link.index), IpAddr::V4(bridge.address), bridge.length).await?;
    if let Some(address) = bridge.address6(options.ipv6) {
        outside.address((name, link.index), IpAddr::V6(address), BRIDGE_NETWORK6).await?;
        build::forward_ipv6(name, roads.v6.as_ref())?;
        if let Some(road) = &roads.v6 {
            build::route_ipv6(road)?;
            outside.proxy(road, address).await?;
        }
    }
    Ok(())
}

fn settings(bridge: &Bridge, ipv6: Ipv6, roads: &Roads) -> Vec<(String, &'static str)> {
    let Bridge { name, .. } = bridge;
    vec![
        (format!("ipv6/conf/{name}/disable_ipv6"), if ipv6 == Ipv6::Off { "1" } else { "0" }),
        (format!("ipv6/conf/{name}/accept_ra"), "0"),
        (format!("ipv6/conf/{name}/accept_dad"), "0"),
        (format!("ipv6/conf/{name}/addr_gen_mode"), "1"),
        (format!("ipv4/conf/{name}/forwarding"), "1"),
        (format!("ipv4/conf/{}/forwarding", roads.v4.name), "1"),
    ]
}

/// Removes the bridge, its addresses and routes, and the host's answers for them; none is fine. A bridge with ports stays.
pub(super) async fn lower(
    options: &Options,
    bridge: &Bridge,
    outside: &Links,
) -> Result<bool, error::Error> {
    let state = look(options, bridge, outside).await?;
    if find(options, bridge, outside).await?.is_some() {
        if !state.ports.is_empty() {
            return Err(bridge.refused(Error::InUse { ports: state.ports }));
        }
        outside.delete(&bridge.name).await?;
    }
    if let Some(road) = road(options, outside).await? {
        for address in &state.proxied {
            outside.unproxy(&road, *address).await?;
        }
    }
    Ok(state.there)
}

/// What there is of it.
pub(super) async fn look(
    options: &Options,
    bridge: &Bridge,
    outside: &Links,
) -> Result<State, error::Error> {
    let road = road(options, outside).await?;
    let mut state = State { name: bridge.name.clone(), ..State::default() };
    if let (Some(network), Some(road)) = (bridge.network6(options.ipv6), &road) {
        let proxied = outside.proxied(road).await?;
        state.proxied =
            proxied.into_iter().filter(|ip| network.contains(IpAddr::V6(*ip))).collect();
        state.uplink = Some(road.name.clone());
    }
    let Some(link) = outside.find(&bridge.name).await? else { return Ok(state) };
    state.there = true;
    state.ours = link.alias == mark(&options.prefix);
    state.addresses = outside.addresses(link.index).await?;
    state.ports = outside.ports(link.index).await?;
    Ok(state)
}

/// The interface on which the host answers for guests; none is no reason against looking or removing.
pub(super) async fn road(options: &Options, outside: &Links) -> Result<Option<Link>, error::Error> {
    match Roads::find(options, outside).await {
        Ok(roads) => Ok(roads.v6),
        Err(error::Error::NoDefaultRoute | error::Error::Uplink { .. }) => Ok(None),
        Err(other) => Err(other),
    }
}

/// Makes the bridge of these options, from the daemon's namespace. Call it on a thread of its own.
pub(super) fn up(options: &Options, bridge: &Bridge) -> Result<(), error::Error> {
    worker::enter_uplink(options)?;
    worker::drive(async {
        let outside = Links::here()?;
        let roads = Roads::find(options, &outside).await?;
        raise(options, bridge, &outside, &roads).await
    })
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, .. } = self;
        match (self.there, self.ours) {
            (false, _) => write!(f, "{name}: not there")?,
            (true, false) => write!(f, "{name}: there, but not Flint's")?,
            (true, true) => write!(f, "{name}: up")?,
        }
        let list = |items: &[String]| match items {
            [] => "none".to_owned(),
            some => some.join(", "),
        };
        let text = |items: &[IpAddr]| items.iter().map(ToString::to_string).collect::<Vec<_>>();
        if self.there {
            write!(f, "\naddresses: {}", list(&text(&self.addresses)))?;
            write!(f, "\nports: {}", list(&self.ports))?;
        }
        if let Some(uplink) = &self.uplink {
            let proxied: Vec<_> = self.proxied.iter().map(|ip| IpAddr::V6(*ip)).collect();
            write!(f, "\nanswered for on {uplink}: {}", list(&text(&proxied)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridges_addresses_are_those_of_the_original() {
        let bridge = Bridge { name: "br-flint".into(), address: [10, 0, 0, 1].into(), length: 24 };
        let ipv6 = Ipv6::Prefix("fd3b:5cee:6e4c:2a55::/64".parse().unwrap());
        assert_eq!(bridge.network().to_string(), "10.0.0.0/24");
        assert_eq!(bridge.network6(ipv6).unwrap().to_string(), "fd3b:5cee:6e4c:2a55:1::/80");
        assert_eq!(bridge.address6(ipv6).unwrap().to_string(), "fd3b:5cee:6e4c:2a55:1::2");
        assert_eq!(bridge.network6(Ipv6::Off), None);
    }

    #[test]
    fn what_is_there_is_told_in_lines() {
        let state = State {
            there: true,
            ours: true,
            name: "br-flint".into(),
            addresses: vec![[10, 0, 0, 1].into()],
            ports: Vec::new(),
            proxied: vec!["2001:db8:0:9:1::2".parse().unwrap()],
            uplink: Some("eth0".into()),
        };
        let expected = "br-flint: up\naddresses: 10.0.0.1\nports: none\n\
                        answered for on eth0: 2001:db8:0:9:1::2";
        assert_eq!(state.to_string(), expected);
        assert_eq!(State { name: "b".into(), ..State::default() }.to_string(), "b: not there");
    }
}
