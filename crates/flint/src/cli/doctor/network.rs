//! What of this host stands in the way of guests' networks.

use super::Line;
use crate::assemble;
use crate::cli::block_on;
use crate::config::Config;
use crate::error::chain;
use crate::net::Finding;
use crate::sys::netns;

/// What the kernel has, and how many connections it knows at once: in each namespace, but the uplink's has all guests'.
const CONNECTIONS: &str = "netfilter/nf_conntrack_max";

/// All lines about the network.
pub(super) fn look(config: &Config) -> Vec<Line> {
    let found = block_on(assemble::look_at_network(config));
    let mut lines = match found {
        Ok(Ok(found)) => told(&found),
        Ok(Err(error)) => {
            let fix = error.help().unwrap_or_else(|| "run `flint doctor` as root".to_owned());
            vec![Line::warn("network", format!("cannot be looked at: {}", chain(&error)), &fix)]
        }
        Err(problem) => vec![Line::warn("network", problem.error.to_string(), "free some memory")],
    };
    lines.push(connections(netns::get(CONNECTIONS).ok().as_deref(), wanted(config)));
    lines
}

fn told(found: &[Finding]) -> Vec<Line> {
    if found.is_empty() {
        return vec![Line::ok("network", "nothing of this host stands in guests' way")];
    }
    found.iter().map(line).collect()
}

fn line(found: &Finding) -> Line {
    let (reading, fix) = (found.to_string(), found.help());
    match found {
        Finding::NoUplink { .. } => Line::bad("uplink", reading, &fix),
        Finding::ForeignBridge { .. } => Line::bad("bridge", reading, &fix),
        Finding::NoResolver => Line::bad("resolver", reading, &fix),
        Finding::ForeignForwardDrop { .. } => Line::warn("forward rules", reading, &fix),
        Finding::PoolInUse { .. } => Line::warn("address pool", reading, &fix),
        Finding::PrefixOnLink { .. }
        | Finding::PrefixOfHost { .. }
        | Finding::PrefixElsewhere { .. } => Line::warn("ipv6 prefix", reading, &fix),
        Finding::LegacyIptables => Line::note("legacy iptables", reading, &fix),
    }
}

/// Connections of all guests at once, if each has as many as it may.
fn wanted(config: &Config) -> u64 {
    let most = config.profiles.values().map(|profile| profile.egress.limits.connections).max();
    u64::from(config.host.slots) * u64::from(most.unwrap_or_default())
}

fn connections(most: Option<&str>, wanted: u64) -> Line {
    const ITEM: &str = "connections";
    let fix = format!(
        "sysctl -w net.netfilter.nf_conntrack_max={}, and the same in /etc/sysctl.d; or a lower `connections` for each \
         profile, or fewer `slots`",
        wanted.next_power_of_two()
    );
    match most.and_then(|most| most.parse::<u64>().ok()) {
        Some(most) if most >= wanted => {
            Line::ok(ITEM, format!("{most} at once, and guests may have {wanted}"))
        }
        Some(most) => Line::warn(
            ITEM,
            format!(
                "{most} at once, and guests may have {wanted}: some can take them all, the host's own too"
            ),
            &fix,
        ),
        None => Line::note(
            ITEM,
            format!(
                "cannot be read before connection tracking is in use; guests may have {wanted}"
            ),
            &fix,
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Verdict;
    use crate::net::Cidr;

    fn all() -> Vec<Finding> {
        let (prefix, route): (Cidr, Cidr) =
            ("2001:db8:0:9::/64".parse().unwrap(), "10.241.7.0/24".parse().unwrap());
        let text = |text: &str| text.to_owned();
        let interface = text("eth0");
        vec![
            Finding::NoUplink { because: text("cannot find the uplink") },
            Finding::ForeignForwardDrop {
                table: text("ip filter"),
                chain: text("FORWARD"),
                slots: text("flint-+"),
            },
            Finding::LegacyIptables,
            Finding::PoolInUse {
                pool: Cidr::v4([10, 241, 0, 0], 16),
                route,
                interface: interface.clone(),
            },
            Finding::NoResolver,
            Finding::ForeignBridge { name: text("br-flint"), mark: text("flint flint") },
            Finding::PrefixOnLink { prefix, route: prefix, interface: interface.clone() },
            Finding::PrefixOfHost {
                prefix,
                address: "2001:db8:0:9::5".parse().unwrap(),
                interface: interface.clone(),
            },
            Finding::PrefixElsewhere { prefix, interface },
        ]
    }

    #[test]
    fn each_finding_has_its_line_with_what_to_do() {
        let lines = told(&all());
        let shown = lines.iter().map(|line| {
            let fix = line.fix.as_deref().unwrap_or_default();
            format!("{:?} {}: {}\n  help: {fix}\n", line.verdict, line.item, line.reading)
        });
        insta::assert_snapshot!(shown.collect::<String>());
        assert_eq!(told(&[])[0].verdict, Verdict::Ok);
    }

    #[test]
    fn guests_that_may_together_take_the_hosts_connections_are_told_of() {
        let wanted = 64 * 16_384;
        assert_eq!(connections(Some("1048576"), wanted).verdict, Verdict::Ok);
        let line = connections(Some("262144"), wanted);
        assert_eq!(line.verdict, Verdict::Warn);
        assert_eq!(
            line.reading,
            "262144 at once, and guests may have 1048576: some can take them all, the host's own too"
        );
        assert!(line.fix.unwrap().starts_with("sysctl -w net.netfilter.nf_conntrack_max=1048576,"));
        assert_eq!(connections(None, wanted).verdict, Verdict::Note);
    }
}
