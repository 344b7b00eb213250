//! Which resolvers a guest can use: the host's own, unless they listen only on the host itself.

use super::Ipv6;
use std::fs;
use std::net::IpAddr;

/// The host's resolvers.
const OURS: &str = "/etc/resolv.conf";
/// Where systemd-resolved lists the servers that it asks itself, when [`OURS`] names its own 127.0.0.53.
const UPSTREAM: &str = "/run/systemd/resolve/resolv.conf";

/// The host's resolvers that a guest can reach; none when all are loopback, of the wrong family, or unreadable.
pub(super) fn of_host(ipv6: Ipv6) -> Vec<IpAddr> {
    let read = |path| fs::read_to_string(path).map(|text| usable(&text, ipv6)).unwrap_or_default();
    Some(read(OURS)).filter(|found| !found.is_empty()).unwrap_or_else(|| read(UPSTREAM))
}

fn usable(resolv_conf: &str, ipv6: Ipv6) -> Vec<IpAddr> {
    let server = |line: &str| {
        let mut words = line.split_whitespace();
        let named = words.next() == Some("nameserver");
        words.next().filter(|_| named)?.parse::<IpAddr>().ok()
    };
    let reachable = |address: &IpAddr| {
        let spoken = address.is_ipv4() || ipv6 != Ipv6::Off;
        spoken && !address.is_loopback() && !address.is_unspecified()
    };
    resolv_conf.lines().filter_map(server).filter(reachable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_resolvers_are_kept_in_order() {
        let text = "# comment\nsearch lan\nnameserver 192.0.2.53\nnameserver\t10.0.0.1 # two\nnameserver fd00::1\n";
        let parsed =
            |text: &[&str]| text.iter().map(|t| t.parse::<IpAddr>().unwrap()).collect::<Vec<_>>();
        assert_eq!(usable(text, Ipv6::Off), parsed(&["192.0.2.53", "10.0.0.1"]));
        assert_eq!(usable(text, Ipv6::Nat), parsed(&["192.0.2.53", "10.0.0.1", "fd00::1"]));
    }

    #[test]
    fn a_resolver_on_the_hosts_loopback_is_no_guests() {
        assert!(
            usable("nameserver 127.0.0.53\noptions edns0\nnameserver 0.0.0.0\n", Ipv6::Nat)
                .is_empty()
        );
        assert!(usable("nameserver\nnameservers 1.1.1.1\n", Ipv6::Nat).is_empty());
    }
}
