//! The rulesets, as text for `nft -f -`. Pure. Every identifier starts with `flint`: nft has many keywords.
//!
//! Two rings. A slot's own namespace lets its guest out and nothing in; the uplink namespace trusts no slot's
//! namespace and says so again. An `accept` here never overrules another table's `drop`.

use super::Cidr;
use super::derive::{self, GUEST, TAP, UPLINK, mac_of, mac_text, table_of};
use std::fmt::Display;
use std::net::Ipv4Addr;

/// Where guests may go.
#[derive(Clone, Copy, Debug)]
pub struct Reach<'a> {
    /// Resolvers: port 53 only.
    pub dns: &'a [Ipv4Addr],
    /// Reached although denied.
    pub allow: &'a [Cidr],
    /// Never reached.
    pub deny: &'a [Cidr],
}

/// The ruleset of a slot's namespace: `table inet flint`, put in place before anything in it is up.
#[must_use]
pub fn slot(reach: &Reach<'_>) -> String {
    let mac = mac_text(mac_of(GUEST));
    let sets = sets(reach);
    format!(
        r#"table inet flint {{
{sets}
	# What comes from the guest is the guest's, or nothing. Before connection tracking: it costs no memory.
	chain flint_prerouting {{
		type filter hook prerouting priority raw; policy accept;
		meta nfproto ipv6 drop
		iifname "{TAP}" ether saddr != {mac} drop
		iifname "{TAP}" ip saddr != {GUEST} drop
	}}

	# Neither guest nor uplink talks to the namespace, and the VMM that lives in it talks to nobody.
	chain flint_input {{
		type filter hook input priority filter; policy drop;
		ct state established,related accept
	}}

	chain flint_output {{
		type filter hook output priority filter; policy drop;
		ct state established,related accept
	}}

	chain flint_forward {{
		type filter hook forward priority filter; policy drop;
		tcp flags syn tcp option maxseg size set rt mtu
		ct state established,related accept
		ct state invalid drop
		iifname "{TAP}" oifname "{UPLINK}" jump flint_egress
	}}

	# A refusal is told: a job that may not go somewhere fails at once instead of waiting.
	chain flint_egress {{
		ip daddr @flint_dns meta l4proto {{ tcp, udp }} th dport 53 accept
		ip daddr @flint_allow accept
		ip daddr @flint_deny reject with icmp type admin-prohibited
		accept
	}}

	chain flint_postrouting {{
		type nat hook postrouting priority srcnat; policy accept;
		oifname "{UPLINK}" masquerade
	}}
}}
"#
    )
}

/// The ruleset of the uplink namespace for all slots of one prefix. One transaction that replaces the prefix's own
/// table and touches no other: applied again it changes nothing.
#[must_use]
pub fn uplink(prefix: &str, pool: Cidr, interface: &str, reach: &Reach<'_>) -> String {
    let table = table_of(prefix);
    let sets = sets(&Reach { deny: &[], ..*reach });
    let slots = derive_wildcard(prefix);
    format!(
        r#"add table inet {table}
delete table inet {table}
table inet {table} {{
{sets}
	chain flint_prerouting {{
		type filter hook prerouting priority raw; policy accept;
		iifname "{slots}" meta nfproto ipv6 drop
		iifname "{slots}" fib saddr . iif oif missing drop
	}}

	# Guests reach no address of this host, whatever it is and whatever listens.
	chain flint_input {{
		type filter hook input priority filter; policy accept;
		iifname "{slots}" jump flint_to_host
	}}

	chain flint_to_host {{
		ct state established,related accept
		ip daddr @flint_dns meta l4proto {{ tcp, udp }} th dport 53 accept
		reject with icmp type admin-prohibited
	}}

	chain flint_forward {{
		type filter hook forward priority filter; policy accept;
		iifname "{slots}" jump flint_from_slots
		oifname "{slots}" jump flint_to_slots
	}}

	chain flint_from_slots {{
		oifname "{slots}" reject with icmp type admin-prohibited
		ct state established,related accept
		ct state invalid drop
		oifname "{interface}" accept
		ip daddr @flint_dns meta l4proto {{ tcp, udp }} th dport 53 accept
		ip daddr @flint_allow accept
		reject with icmp type admin-prohibited
	}}

	chain flint_to_slots {{
		ct state established,related accept
		drop
	}}

	chain flint_postrouting {{
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr {pool} oifname != "{slots}" masquerade
	}}
}}
"#
    )
}

/// Removes the prefix's table from the uplink namespace, if it is there.
#[must_use]
pub fn no_uplink(prefix: &str) -> String {
    let table = table_of(prefix);
    format!("add table inet {table}\ndelete table inet {table}\n")
}

/// Whether a name can stand between quotes as itself: nft reads `*` at the end as a wildcard.
#[must_use]
pub fn is_plain(interface: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-@:".contains(c);
    !interface.is_empty() && interface.chars().all(plain)
}

fn derive_wildcard(prefix: &str) -> String {
    debug_assert!(derive::check_prefix(prefix).is_ok(), "a checked prefix");
    format!("{prefix}-*")
}

fn sets(reach: &Reach<'_>) -> String {
    let dns = set("flint_dns", reach.dns);
    let allow = set("flint_allow", reach.allow);
    let deny = set("flint_deny", reach.deny);
    format!("{dns}{allow}{deny}")
}

/// A set without elements may not say so: `elements = {}` is a syntax error.
fn set(name: &str, elements: &[impl Display]) -> String {
    let elements: Vec<_> = elements.iter().map(ToString::to_string).collect();
    let line = match elements.as_slice() {
        [] => String::new(),
        some => format!("\t\telements = {{ {} }}\n", some.join(", ")),
    };
    format!("\tset {name} {{\n\t\ttype ipv4_addr\n\t\tflags interval\n\t\tauto-merge\n{line}\t}}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Options;

    fn options() -> Options {
        Options {
            dns: vec![Ipv4Addr::new(192, 0, 2, 53)],
            allow: vec!["10.1.2.3".parse().unwrap()],
            ..Options::new("flint".to_owned(), "10.213.0.0/16".parse().unwrap())
        }
    }

    #[test]
    fn a_slots_ruleset() {
        let options = options();
        let Options { dns, allow, deny, .. } = &options;
        insta::assert_snapshot!(slot(&Reach { dns, allow, deny }));
    }

    #[test]
    fn the_uplinks_ruleset() {
        let options = options();
        let Options { dns, allow, deny, .. } = &options;
        insta::assert_snapshot!(uplink("flint", options.pool, "eth0", &Reach { dns, allow, deny }));
    }

    #[test]
    fn each_prefix_has_a_table_of_its_own() {
        assert_eq!(no_uplink("flint"), "add table inet flint\ndelete table inet flint\n");
        assert_eq!(no_uplink("demo"), "add table inet flint_demo\ndelete table inet flint_demo\n");
    }

    #[test]
    fn a_set_without_elements_does_not_mention_them() {
        assert!(!set("flint_allow", &[] as &[Cidr]).contains("elements"));
    }

    #[test]
    fn only_plain_interface_names_are_quoted() {
        assert!(is_plain("enp0s31f6") && is_plain("br-lan.7"));
        assert!(["", "eth*", "a\"b", "a b"].iter().all(|name| !is_plain(name)));
    }
}
