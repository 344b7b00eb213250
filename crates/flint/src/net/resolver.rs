//! Which resolvers a guest can use: the host's own, unless they listen only on the host itself.

use std::fs;
use std::net::Ipv4Addr;

/// The host's resolvers.
const OURS: &str = "/etc/resolv.conf";
/// Where systemd-resolved lists the servers that it asks itself, when [`OURS`] names its own 127.0.0.53.
const UPSTREAM: &str = "/run/systemd/resolve/resolv.conf";

/// The host's IPv4 resolvers that a guest can reach; none when all are loopback, IPv6 or unreadable.
pub(super) fn of_host() -> Vec<Ipv4Addr> {
    let read = |path| fs::read_to_string(path).map(|text| usable(&text)).unwrap_or_default();
    Some(read(OURS)).filter(|found| !found.is_empty()).unwrap_or_else(|| read(UPSTREAM))
}

fn usable(resolv_conf: &str) -> Vec<Ipv4Addr> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        let named = words.next() == Some("nameserver");
        words.next().filter(|_| named)?.parse::<Ipv4Addr>().ok()
    };
    let reachable = |address: &Ipv4Addr| !address.is_loopback() && !address.is_unspecified();
    resolv_conf.lines().filter_map(server).filter(reachable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_resolvers_are_kept_in_order() {
        let text = "# comment\nsearch lan\nnameserver 192.0.2.53\nnameserver\t10.0.0.1 # two\nnameserver fd00::1\n";
        assert_eq!(usable(text), [Ipv4Addr::new(192, 0, 2, 53), Ipv4Addr::new(10, 0, 0, 1)]);
    }

    #[test]
    fn a_resolver_on_the_hosts_loopback_is_no_guests() {
        assert!(usable("nameserver 127.0.0.53\noptions edns0\nnameserver 0.0.0.0\n").is_empty());
        assert!(usable("nameserver\nnameservers 1.1.1.1\n").is_empty());
    }
}
