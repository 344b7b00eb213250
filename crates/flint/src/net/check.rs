//! What of this host stands in the way of guests' networks, for `flint doctor`. Looks, and changes nothing.

use super::bridge::{self, Bridge};
use super::netlink::{Family, Link, Links, Route};
use super::{Cidr, Error, Ipv6, Options, build, derive, nft, resolver, worker};
use crate::sys::netns;
use serde_json::Value;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Something that keeps guests from the network, or may.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// No default route, and no uplink configured; or the configured one is not there.
    NoUplink {
        /// What is wrong with it.
        because: String,
    },
    /// Another program's `forward` chain drops what it does not know: guests' packets, too.
    ForeignForwardDrop {
        /// Its table, as in `ip filter`.
        table: String,
        /// The chain in it.
        chain: String,
        /// What iptables calls the slots' interfaces.
        slots: String,
    },
    /// Rules of the old `iptables` are loaded, and `nft` does not see them.
    LegacyIptables,
    /// The pool's addresses are used elsewhere.
    PoolInUse {
        /// As configured.
        pool: Cidr,
        /// The route into it.
        route: Cidr,
        /// Whose it is.
        interface: String,
    },
    /// Guests will have no resolver.
    NoResolver,
    /// The bridge of classic mode is somebody else's.
    ForeignBridge {
        /// As configured.
        name: String,
        /// What would make it Flint's.
        mark: String,
    },
    /// The prefix is a link's: who is there asks for guests on the link, where nobody answers.
    PrefixOnLink {
        /// As configured.
        prefix: Cidr,
        /// What is on the link.
        route: Cidr,
        /// Which link.
        interface: String,
    },
    /// The host has an address that a slot would take.
    PrefixOfHost {
        /// As configured.
        prefix: Cidr,
        /// The host's.
        address: Ipv6Addr,
        /// Where it has it.
        interface: String,
    },
    /// The prefix is not that of the uplink's neighbourhood, where the host answers for guests.
    PrefixElsewhere {
        /// As configured.
        prefix: Cidr,
        /// The uplink.
        interface: String,
    },
}

impl Finding {
    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Finding::NoUplink { .. } => {
                "give the host a default route, or name the interface that leads outside in `host.uplink`".to_owned()
            }
            Finding::ForeignForwardDrop { slots, .. } => format!(
                "accept the slots' interfaces there; with Docker: `iptables -I DOCKER-USER -i '{slots}' -j ACCEPT` \
                 and the same with `-o`"
            ),
            Finding::LegacyIptables => {
                "`iptables-legacy -S FORWARD` shows whether it drops what guests send".to_owned()
            }
            Finding::PoolInUse { .. } => {
                "choose networks that nothing else uses, in `host.address_pool` or `host.bridge_address`".to_owned()
            }
            Finding::NoResolver => "name resolvers that guests can reach in `host.dns`".to_owned(),
            Finding::ForeignBridge { name, mark } => {
                format!("name another in `host.bridge`, or give it to Flint: `ip link set {name} alias \"{mark}\"`")
            }
            Finding::PrefixOnLink { .. } => {
                "have your provider route a prefix to this host that is on no link; or set `host.bridge`, with which this \
                 host answers for the guests of a /64; or set `host.ipv6` to `nat`"
                    .to_owned()
            }
            Finding::PrefixOfHost { address, .. } => format!(
                "slots take the prefix's addresses from the third on: take `{address}` from this host, or name a prefix \
                 of their own in `host.ipv6`"
            ),
            Finding::PrefixElsewhere { prefix, .. } => format!(
                "have your provider route `{prefix}` to this host, or name the prefix of the uplink's own address"
            ),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::NoUplink { because } => write!(f, "guests have no way out: {because}"),
            Finding::ForeignForwardDrop { table, chain, .. } => {
                write!(
                    f,
                    "chain `{chain}` of table `{table}` drops what it does not know, guests' packets too"
                )
            }
            Finding::LegacyIptables => {
                write!(f, "legacy iptables rules are loaded and may drop guests' packets")
            }
            Finding::PoolInUse { pool, route, interface } => {
                write!(f, "the pool `{pool}` overlaps the route to `{route}` of `{interface}`")
            }
            Finding::ForeignBridge { name, .. } => {
                write!(f, "the bridge `{name}` was made by somebody else, and is not touched")
            }
            Finding::PrefixOnLink { prefix, route, interface } => {
                write!(
                    f,
                    "`{prefix}` is not routed to this host: `{route}` is the link of `{interface}`, where nobody answers \
                     for guests"
                )
            }
            Finding::PrefixOfHost { prefix, address, interface } => {
                write!(
                    f,
                    "slots take addresses of `{prefix}`, and this host has `{address}` on `{interface}`"
                )
            }
            Finding::PrefixElsewhere { prefix, interface } => {
                write!(
                    f,
                    "`{prefix}` is not on the link of `{interface}`: who is there asks for no guest"
                )
            }
            Finding::NoResolver => {
                write!(
                    f,
                    "guests have no resolver: the host's own listen on the host itself, or are IPv6"
                )
            }
        }
    }
}

/// Looks at the uplink's namespace. Call it on a thread of its own.
pub(super) fn look(options: &Options) -> Result<Vec<Finding>, Error> {
    worker::enter_uplink(options)?;
    let mut findings = worker::drive(async {
        let outside = Links::here()?;
        let mut findings = overlaps(options, &outside).await?;
        if let Err(error @ (Error::NoDefaultRoute | Error::Uplink { .. })) =
            build::Roads::find(options, &outside).await
        {
            findings.insert(0, Finding::NoUplink { because: error.to_string() });
        }
        findings.extend(match (&options.bridge, options.ipv6) {
            (Some(bridge), _) => at_bridge(options, bridge, &outside).await?,
            (None, Ipv6::Prefix(prefix)) => at_prefix(options, prefix, &outside).await?,
            (None, Ipv6::Off | Ipv6::Nat) => Vec::new(),
        });
        Ok(findings)
    })?;
    let chains = nft::ask("the uplink", &["-j", "list", "chains"])?;
    let slots = options.bridge.as_ref().map(|bridge| bridge.name.clone());
    let slots = slots.unwrap_or_else(|| format!("{}-+", options.prefix));
    findings.extend(foreign_drops(&chains, &slots));
    if netns::legacy_tables().iter().any(|table| table == "filter") {
        findings.push(Finding::LegacyIptables);
    }
    if options.dns.is_empty() && resolver::of_host(options.ipv6).is_empty() {
        findings.push(Finding::NoResolver);
    }
    Ok(findings)
}

async fn at_bridge(
    options: &Options,
    bridge: &Bridge,
    outside: &Links,
) -> Result<Vec<Finding>, Error> {
    let state = bridge::look(options, bridge, outside).await?;
    let name = bridge.name.clone();
    let mark = bridge::mark(&options.prefix);
    let foreign = state.there && !state.ours;
    let mut findings: Vec<_> =
        foreign.then_some(Finding::ForeignBridge { name, mark }).into_iter().collect();
    let (Ipv6::Prefix(prefix), Some(interface)) = (options.ipv6, state.uplink) else {
        return Ok(findings);
    };
    let Some(link) = outside.find(&interface).await? else { return Ok(findings) };
    let routes = outside.routes(Family::V6).await?;
    let near = |route: &Route| {
        let here = route.on_link && route.interface == link.index && route.to.length() > 0;
        here && route.to.contains(prefix.first())
    };
    if !routes.iter().any(near) {
        findings.push(Finding::PrefixElsewhere { prefix, interface });
    }
    Ok(findings)
}

/// The part of a prefix that slots take: two addresses each, from the third on, and never more than 4,096 slots.
const TAKEN: u8 = 128 - 14;

/// Whether a prefix is a link's, or the host's own. That it is routed here, only who routes it can tell.
async fn at_prefix(
    options: &Options,
    prefix: Cidr,
    outside: &Links,
) -> Result<Vec<Finding>, Error> {
    let taken = Cidr::around(prefix.first(), TAKEN.max(prefix.length()));
    let routers = Cidr::around(prefix.first(), 127);
    let links = outside.all().await?;
    let theirs = links.iter().filter(|link| derive::slot_of(&options.prefix, &link.name).is_none());
    let routes = outside.routes(Family::V6).await?;
    let mut findings = Vec::new();
    for Link { index, name, .. } in theirs {
        let near = routes.iter().find(|route| {
            let here = route.on_link && route.interface == *index && route.to.length() > 0;
            // An address alone is no link, and is told as what it is.
            here && route.to.length() < 128 && route.to.overlaps(taken)
        });
        let interface = name.clone();
        if let Some(route) = near {
            findings.push(Finding::PrefixOnLink { prefix, route: route.to, interface });
            continue;
        }
        let own = outside.addresses(*index).await?.into_iter().find_map(|address| match address {
            IpAddr::V6(own) if taken.contains(address) && !routers.contains(address) => Some(own),
            _ => None,
        });
        findings.extend(own.map(|address| Finding::PrefixOfHost { prefix, address, interface }));
    }
    Ok(findings)
}

async fn overlaps(options: &Options, outside: &Links) -> Result<Vec<Finding>, Error> {
    let pool = options.bridge.as_ref().map_or(options.pool, Bridge::network);
    let own = options.bridge.as_ref().map(|bridge| bridge.name.as_str());
    let routes = outside.routes(Family::V4).await?;
    let mut findings = Vec::new();
    for route in routes.iter().filter(|r| r.to.length() > 0 && r.to.overlaps(pool)) {
        let link = outside.of_index(route.interface).await?;
        let interface = link.map(|link| link.name).unwrap_or_default();
        let ours = derive::slot_of(&options.prefix, &interface).is_some();
        if !ours && own != Some(interface.as_str()) {
            findings.push(Finding::PoolInUse { pool, route: route.to, interface });
        }
    }
    Ok(findings)
}

/// The chains in nft's JSON that sit on `forward` and drop by default. Ours do not.
fn foreign_drops(json: &[u8], slots: &str) -> Vec<Finding> {
    let listing: Value = serde_json::from_slice(json).unwrap_or_default();
    let entries = listing["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |chain: &Value, key: &str| chain[key].as_str().unwrap_or_default().to_owned();
    let chains = entries.iter().filter_map(|entry| entry.get("chain"));
    // firewalld accepts by policy and rejects by its last rule.
    let drops = chains
        .filter(|c| c["hook"] == "forward" && (c["policy"] == "drop" || c["table"] == "firewalld"));
    let foreign = drops.filter(|c| ["ip", "inet"].contains(&text(c, "family").as_str()));
    foreign
        .map(|chain| Finding::ForeignForwardDrop {
            table: format!("{} {}", text(chain, "family"), text(chain, "table")),
            chain: text(chain, "name"),
            slots: slots.to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_forward_chain_that_drops_is_found() {
        let json = br#"{"nftables": [{"metainfo": {"version": "1.0.6"}},
            {"chain": {"family": "ip", "table": "filter", "name": "FORWARD", "hook": "forward", "policy": "drop"}},
            {"chain": {"family": "ip", "table": "filter", "name": "INPUT", "hook": "input", "policy": "drop"}},
            {"chain": {"family": "ip6", "table": "filter", "name": "FORWARD", "hook": "forward", "policy": "drop"}},
            {"chain": {"family": "inet", "table": "flint", "name": "flint_forward", "hook": "forward", "policy": "accept"}},
            {"chain": {"family": "ip", "table": "filter", "name": "DOCKER-USER"}}]}"#;
        let (table, chain) = ("ip filter".to_owned(), "FORWARD".to_owned());
        let found = Finding::ForeignForwardDrop { table, chain, slots: "lab-+".to_owned() };
        assert_eq!(foreign_drops(json, "lab-+"), [found]);
    }

    #[test]
    fn an_answer_that_is_no_listing_finds_nothing() {
        assert!(foreign_drops(b"", "").is_empty());
        assert!(foreign_drops(b"{}", "").is_empty());
    }
}
