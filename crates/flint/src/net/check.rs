//! What of this host stands in the way of guests' networks, for `flint doctor`. Looks, and changes nothing.

use super::netlink::{Family, Links};
use super::{Cidr, Error, Options, build, derive, nft, resolver, worker};
use crate::sys::netns;
use serde_json::Value;
use std::fmt;

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
}

impl Finding {
    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Finding::NoUplink { .. } => "name the uplink interface in the configuration".to_owned(),
            Finding::ForeignForwardDrop { .. } => {
                "accept the slots' interfaces there; with Docker: `iptables -I DOCKER-USER -i 'flint-+' -j ACCEPT` \
                 and the same with `-o`"
                    .to_owned()
            }
            Finding::LegacyIptables => {
                "`iptables-legacy -S FORWARD` shows whether it drops what guests send".to_owned()
            }
            Finding::PoolInUse { .. } => "choose a pool that nothing else uses".to_owned(),
            Finding::NoResolver => "name resolvers that guests can reach in the configuration".to_owned(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Finding::NoUplink { because } => write!(f, "guests have no way out: {because}"),
            Finding::ForeignForwardDrop { table, chain } => {
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
        Ok(findings)
    })?;
    let chains = nft::ask("the uplink", &["-j", "list", "chains"])?;
    findings.extend(foreign_drops(&chains));
    if netns::legacy_tables().iter().any(|table| table == "filter") {
        findings.push(Finding::LegacyIptables);
    }
    if options.dns.is_empty() && resolver::of_host(options.ipv6).is_empty() {
        findings.push(Finding::NoResolver);
    }
    Ok(findings)
}

async fn overlaps(options: &Options, outside: &Links) -> Result<Vec<Finding>, Error> {
    let pool = options.pool;
    let routes = outside.routes(Family::V4).await?;
    let mut findings = Vec::new();
    for route in routes.iter().filter(|r| r.to.length() > 0 && r.to.overlaps(pool)) {
        let link = outside.of_index(route.interface).await?;
        let interface = link.map(|link| link.name).unwrap_or_default();
        if derive::slot_of(&options.prefix, &interface).is_none() {
            findings.push(Finding::PoolInUse { pool, route: route.to, interface });
        }
    }
    Ok(findings)
}

/// The chains in nft's JSON that sit on `forward` and drop by default. Ours do not.
fn foreign_drops(json: &[u8]) -> Vec<Finding> {
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
        let found =
            Finding::ForeignForwardDrop { table: "ip filter".into(), chain: "FORWARD".into() };
        assert_eq!(foreign_drops(json), [found]);
    }

    #[test]
    fn an_answer_that_is_no_listing_finds_nothing() {
        assert!(foreign_drops(b"").is_empty());
        assert!(foreign_drops(b"{}").is_empty());
    }
}
