//! The rulesets, as text for `nft -f -`. Pure. Every identifier starts with `flint`: nft has many keywords.
//!
//! Two rings. A slot's own namespace lets its guest out and nothing in; the uplink namespace trusts no slot's
//! namespace and says so again. An `accept` here never overrules another table's `drop`.

use super::derive::{
    self, GATEWAY, GATEWAY6, GUEST, GUEST6, Place, TAP, UPLINK, mac_of, mac_text, table_of,
};
use super::egress::{Egress, To, Traffic};
use super::{Bridge, Cidr, Ipv6};
use std::net::{IpAddr, Ipv6Addr};

/// Distinct ends of refused connections that are remembered; all are counted.
pub(super) const REMEMBERED: usize = 256;

/// Addresses of names that may be open at once.
pub(super) const NAMED: usize = 8_192;

/// What every guest of a host may and may not reach.
#[derive(Clone, Copy, Debug)]
pub struct Reach<'a> {
    /// Resolvers: port 53 only.
    pub dns: &'a [IpAddr],
    /// Reached although denied.
    pub allow: &'a [Cidr],
    /// Never reached.
    pub deny: &'a [Cidr],
    /// Whether there is IPv6.
    pub ipv6: Ipv6,
}

/// The ruleset of a slot's namespace: `table inet flint`, put in place before anything in it is up. `public` is the
/// guest's own address, where it has one.
#[must_use]
pub fn slot(reach: &Reach<'_>, egress: &Egress, public: Option<Ipv6Addr>) -> String {
    let sets = slot_sets(reach, egress);
    let from_guest = from_guest(reach.ipv6, public.unwrap_or(GUEST6));
    let neighbours = match reach.ipv6 {
        Ipv6::Off => String::new(),
        _ => format!("\t\tiifname \"{TAP}\" icmpv6 type nd-neighbor-solicit accept\n"),
    };
    let answers = neighbours.replace("iifname", "oifname").replace("solicit", "advert");
    let (ask, asked) = names(egress);
    let rate = rate(egress.limits);
    let out = out(egress);
    // Who has an address of its own is seen under it, and found under it by those who may.
    let translated = if public.is_some() { "meta nfproto ipv4 " } else { "" };
    let inbound = inbound(egress, public);
    format!(
        r#"table inet flint {{
	counter flint_refused {{
	}}

	counter flint_noted {{
	}}

{sets}
	# What comes from the guest is the guest's, or nothing. Before connection tracking: it costs no memory.
	chain flint_prerouting {{
		type filter hook prerouting priority raw; policy accept;
		iifname "{TAP}" jump flint_from_guest
	}}

	chain flint_from_guest {{
{from_guest}	}}

	# Neither guest nor uplink talks to the namespace, and the VMM that lives in it talks to nobody.
	chain flint_input {{
		type filter hook input priority filter; policy drop;
{neighbours}{ask}		ct state established,related accept
	}}

	chain flint_output {{
		type filter hook output priority filter; policy drop;
{answers}{asked}		ct state established,related accept
	}}

	chain flint_forward {{
		type filter hook forward priority filter; policy drop;
		tcp flags syn tcp option maxseg size set rt mtu
{rate}		ct state established,related accept
		ct state invalid drop
		iifname "{TAP}" oifname "{UPLINK}" jump flint_egress
{inbound}	}}

	chain flint_egress {{
{out}	}}

	# A refusal is told: a job that may not go somewhere fails at once instead of waiting.
	chain flint_refuse {{
		counter name flint_refused
		meta l4proto {{ tcp, udp }} update @flint_refused4 {{ ip daddr . meta l4proto . th dport counter }}
		meta l4proto {{ tcp, udp }} update @flint_refused6 {{ ip6 daddr . meta l4proto . th dport counter }}
		reject with icmpx type admin-prohibited
	}}

	chain flint_postrouting {{
		type nat hook postrouting priority srcnat; policy accept;
		{translated}oifname "{UPLINK}" masquerade
	}}
}}
"#
    )
}

fn slot_sets(reach: &Reach<'_>, egress: &Egress) -> String {
    let mut sets = reach_sets(reach);
    sets += &pair("flint_deny", reach.deny);
    if !egress.inbound.is_empty() {
        sets += &pair("flint_inbound", &egress.inbound);
    }
    if let To::Listed { ranges, .. } = &egress.to {
        sets += &pair("flint_listed", ranges);
        for (digit, kind) in FAMILIES {
            sets += &format!(
                "\tset flint_named{digit} {{\n\t\ttype {kind}\n\t\tsize {NAMED}\n\t\tflags timeout\n\t}}\n"
            );
        }
    }
    for (digit, kind) in FAMILIES {
        for name in ["refused", "noted"] {
            sets += &format!(
                "\tset flint_{name}{digit} {{\n\t\ttype {kind} . inet_proto . inet_service\n\
                 \t\tsize {REMEMBERED}\n\t\tflags dynamic\n\t}}\n"
            );
        }
    }
    sets
}

fn from_guest(ipv6: Ipv6, guest6: Ipv6Addr) -> String {
    let mac = mac_text(mac_of(GUEST));
    // Options of IPv4 and headers of IPv6 that choose a packet's way, or that routers must look into.
    let mut rules = format!(
        "\t\tether saddr != {mac} drop\n\t\tip hdrlength > 5 drop\n\t\tip saddr {GUEST} accept\n"
    );
    if ipv6 != Ipv6::Off {
        rules +=
            "\t\texthdr hbh exists drop\n\t\texthdr rt exists drop\n\t\texthdr dst exists drop\n";
        rules += &format!("\t\tip6 saddr {guest6} accept\n");
        rules += "\t\tip6 saddr { ::, fe80::/64 } icmpv6 type nd-neighbor-solicit accept\n";
    }
    rules + "\t\tdrop\n"
}

/// What lets the guest ask our resolver, and our resolver ask the others. While no resolver listens, the kernel's "port
/// unreachable" is held back: a guest that hears nothing asks again, after the daemon has come back.
fn names(egress: &Egress) -> (String, String) {
    if egress.names().is_none() {
        return (String::new(), String::new());
    }
    let ask =
        [("ip", GATEWAY.to_string()), ("ip6", GATEWAY6.to_string())].map(|(family, address)| {
            format!("\t\tiifname \"{TAP}\" {family} daddr {address} udp dport 53 accept\n")
        });
    let mut asked = "\t\ticmp type destination-unreachable icmp code port-unreachable drop\n\
                     \t\ticmpv6 type destination-unreachable icmpv6 code port-unreachable drop\n"
        .to_owned();
    for (family, digit) in [("ip", 4), ("ip6", 6)] {
        asked += &format!(
            "\t\toifname \"{UPLINK}\" {family} daddr @flint_dns{digit} udp dport 53 accept\n"
        );
    }
    (ask.concat(), asked)
}

fn inbound(egress: &Egress, public: Option<Ipv6Addr>) -> String {
    let Some(public) = public.filter(|_| !egress.inbound.is_empty()) else { return String::new() };
    let road = format!("iifname \"{UPLINK}\" oifname \"{TAP}\"");
    format!("\t\t{road} ip6 daddr {public} ip6 saddr @flint_inbound6 accept\n")
}

fn rate(limits: Traffic) -> String {
    let Some(bytes) = limits.bytes_per_second else { return String::new() };
    // An eighth of a second in one piece, and never less than a few full segments.
    let burst = (bytes / 8).clamp(256 * 1024, 1 << 30);
    let over = format!("limit rate over {bytes} bytes/second burst {burst} bytes drop");
    format!("\t\tiifname \"{TAP}\" {over}\n\t\toifname \"{TAP}\" {over}\n")
}

fn out(egress: &Egress) -> String {
    let Traffic { connections, new_per_second, .. } = egress.limits;
    let burst = new_per_second.saturating_mul(2);
    let mut rules = format!(
        "\t\tct count over {connections} jump flint_refuse\n\
         \t\tlimit rate over {new_per_second}/second burst {burst} packets jump flint_refuse\n"
    );
    let dns = "meta l4proto { tcp, udp } th dport";
    match &egress.to {
        To::Internet => {
            rules += &both(&format!("@flint_dns {dns} 53 accept"));
            rules += &both("@flint_allow accept");
            rules += &both("@flint_deny jump flint_refuse");
            rules += &format!("\t\t{dns} {{ 53, 853 }} jump flint_refuse\n\t\taccept\n");
        }
        To::Listed { .. } => {
            rules += &both("@flint_listed accept");
            // A name is whoever answers for it: what is denied stays so, but for what this host's owner allows.
            for digit in FAMILIES.map(|(digit, _)| digit) {
                let ip = if digit == '4' { "ip" } else { "ip6" };
                rules += &format!(
                    "\t\t{ip} daddr @flint_named{digit} {ip} daddr @flint_allow{digit} accept\n"
                );
            }
            rules += &both("@flint_deny jump flint_refuse");
            rules += &both("@flint_named accept");
            rules += if egress.audit { NOTE } else { "\t\tjump flint_refuse\n" };
        }
    }
    rules
}

/// As a refusal is noted, but let through.
const NOTE: &str = "\t\tcounter name flint_noted\n\
    \t\tmeta l4proto { tcp, udp } update @flint_noted4 { ip daddr . meta l4proto . th dport counter }\n\
    \t\tmeta l4proto { tcp, udp } update @flint_noted6 { ip6 daddr . meta l4proto . th dport counter }\n\
    \t\taccept\n";

/// A rule about destinations for both families: the set's name gets its digit.
fn both(rule: &str) -> String {
    let (set, rest) = rule.split_once(' ').unwrap_or((rule, ""));
    format!("\t\tip daddr {set}4 {rest}\n\t\tip6 daddr {set}6 {rest}\n")
}

/// Behind what the slots are, seen from the uplink's namespace.
#[derive(Clone, Copy, Debug)]
pub struct Slots<'a> {
    /// Starts their interfaces' names, and names the table.
    pub prefix: &'a str,
    /// Their IPv4 addresses.
    pub pool: Cidr,
    /// The bridge that they are ports of.
    pub bridge: Option<&'a Bridge>,
}

impl Slots<'_> {
    /// What `iifname` and `oifname` say of their packets: a bridge's, not its ports'.
    fn interface(&self) -> String {
        self.bridge.map_or_else(|| derive_wildcard(self.prefix), |bridge| bridge.name.clone())
    }

    fn pool(&self) -> Cidr {
        self.bridge.map_or(self.pool, Bridge::network)
    }
}

/// What a port of the bridge may say: the slot's own words, behind which is its guest.
#[must_use]
pub fn port(place: &Place) -> String {
    let (table, veth, inner) = (port_table(&place.veth), &place.veth, place.inner);
    let mac = mac_text(mac_of(inner));
    let mut six = String::new();
    if let (Some((_, inner6)), Some(public)) = (place.six, place.public) {
        six = format!(
            "\t\tiifname \"{veth}\" ip6 saddr {{ {inner6}, {public} }} accept\n\
             \t\tiifname \"{veth}\" ip6 saddr fe80::/64 icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept\n"
        );
    }
    format!(
        r#"add table bridge {table}
delete table bridge {table}
table bridge {table} {{
	chain flint_port {{
		type filter hook prerouting priority filter; policy accept;
		iifname "{veth}" ether saddr != {mac} drop
		iifname "{veth}" ether type arp arp saddr ip {inner} accept
		iifname "{veth}" ip saddr {inner} accept
{six}		iifname "{veth}" drop
	}}
}}
"#
    )
}

/// Removes a port's table, if it is there.
#[must_use]
pub fn no_port(veth: &str) -> String {
    let table = port_table(veth);
    format!("add table bridge {table}\ndelete table bridge {table}\n")
}

fn port_table(veth: &str) -> String {
    format!("flint_{}", veth.replace('-', "_"))
}

/// The ruleset of the uplink namespace for all slots of one prefix. One transaction that replaces the prefix's own
/// table and touches no other: applied again it changes nothing.
#[must_use]
pub fn uplink(inside: &Slots<'_>, interfaces: &[&str], reach: &Reach<'_>) -> String {
    let table = table_of(inside.prefix);
    let sets = reach_sets(reach);
    let (slots, pool) = (inside.interface(), inside.pool());
    let (six, translated) = match reach.ipv6 {
        Ipv6::Off => (format!("\t\tiifname \"{slots}\" meta nfproto ipv6 drop\n"), String::new()),
        Ipv6::Nat => {
            let pool = derive::POOL6;
            (String::new(), format!("\t\tip6 saddr {pool} oifname != \"{slots}\" masquerade\n"))
        }
        Ipv6::Prefix(_) => (String::new(), String::new()),
    };
    let roads: Vec<_> = interfaces.iter().map(|name| format!("\"{name}\"")).collect();
    let roads = roads.join(", ");
    let dns = both("@flint_dns meta l4proto { tcp, udp } th dport 53 accept");
    let allow = both("@flint_allow accept");
    // Whom a guest's own address is open for is the slot's to say.
    let public = inside.bridge.and_then(|bridge| bridge.network6(reach.ipv6));
    let inbound = public.map_or_else(String::new, |network| {
        format!("\t\tiifname {{ {roads} }} ip6 daddr {network} accept\n")
    });
    format!(
        r#"add table inet {table}
delete table inet {table}
table inet {table} {{
{sets}
	chain flint_prerouting {{
		type filter hook prerouting priority raw; policy accept;
{six}		iifname "{slots}" fib saddr . iif oif missing drop
	}}

	# Guests reach no address of this host, whatever it is and whatever listens.
	chain flint_input {{
		type filter hook input priority filter; policy accept;
		iifname "{slots}" jump flint_to_host
	}}

	chain flint_to_host {{
		ct state established,related accept
{dns}		reject with icmpx type admin-prohibited
	}}

	chain flint_forward {{
		type filter hook forward priority filter; policy accept;
		iifname "{slots}" jump flint_from_slots
		oifname "{slots}" jump flint_to_slots
	}}

	chain flint_from_slots {{
		oifname "{slots}" reject with icmpx type admin-prohibited
		ct state established,related accept
		ct state invalid drop
		oifname {{ {roads} }} accept
{dns}{allow}		reject with icmpx type admin-prohibited
	}}

	chain flint_to_slots {{
		ct state established,related accept
{inbound}		drop
	}}

	chain flint_postrouting {{
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr {pool} oifname != "{slots}" masquerade
{translated}	}}
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

/// Opens addresses that a name has, each for so many seconds; one that is open already stays for the new time.
#[must_use]
pub fn open(addresses: &[(IpAddr, u64)]) -> String {
    let one = |(address, seconds): &(IpAddr, u64)| {
        let set = if address.is_ipv4() { "flint_named4" } else { "flint_named6" };
        let (old, new) =
            (format!("{{ {address} }}"), format!("{{ {address} timeout {seconds}s }}"));
        // An element that is there keeps its time before Linux 6.12: it is taken out, for which it must be in.
        format!(
            "add element inet flint {set} {new}\ndelete element inet flint {set} {old}\n\
             add element inet flint {set} {new}\n"
        )
    };
    addresses.iter().map(one).collect()
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

const FAMILIES: [(char, &str); 2] = [('4', "ipv4_addr"), ('6', "ipv6_addr")];

fn reach_sets(reach: &Reach<'_>) -> String {
    let whole = |address: &IpAddr| Cidr::around(*address, if address.is_ipv4() { 32 } else { 128 });
    let dns: Vec<_> = reach.dns.iter().map(whole).collect();
    pair("flint_dns", &dns) + &pair("flint_allow", reach.allow)
}

/// A set for each family. One without elements may not say so: `elements = {}` is a syntax error.
fn pair(name: &str, ranges: &[Cidr]) -> String {
    let one = |(digit, kind)| {
        let ours = ranges.iter().filter(|range| range.is_ipv6() == (digit == '6'));
        let elements: Vec<_> = ours.map(ToString::to_string).collect();
        let line = match elements.as_slice() {
            [] => String::new(),
            some => format!("\t\telements = {{ {} }}\n", some.join(", ")),
        };
        format!(
            "\tset {name}{digit} {{\n\t\ttype {kind}\n\t\tflags interval\n\t\tauto-merge\n{line}\t}}\n"
        )
    };
    FAMILIES.map(one).concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{DENIED, egress};

    const DNS: [IpAddr; 1] = [IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 53))];

    fn with_reach<T>(ipv6: Ipv6, work: impl FnOnce(&Reach<'_>) -> T) -> T {
        let allow = ["10.1.2.3".parse().unwrap()];
        work(&Reach { dns: &DNS, allow: &allow, deny: &DENIED, ipv6 })
    }

    fn listed() -> Egress {
        let names = vec!["*.acme.example".parse().unwrap()];
        let to = To::Listed { ranges: vec!["192.0.2.0/24".parse().unwrap()], names };
        let limits = Traffic { bytes_per_second: Some(12_500_000), ..egress::TRAFFIC };
        Egress { to, limits, ..Egress::internet() }
    }

    #[test]
    fn a_slots_ruleset() {
        let text = with_reach(Ipv6::Off, |reach| slot(reach, &Egress::internet(), None));
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_slots_ruleset_with_ipv6_and_a_list() {
        insta::assert_snapshot!(with_reach(Ipv6::Nat, |reach| slot(reach, &listed(), None)));
    }

    #[test]
    fn an_audit_differs_from_a_list_in_its_last_word_alone() {
        let audit = Egress { audit: true, ..listed() };
        let [held, noted] = [&listed(), &audit]
            .map(|egress| with_reach(Ipv6::Nat, |reach| slot(reach, egress, None)));
        assert_eq!(held.replacen("\t\tjump flint_refuse\n\t}", &format!("{NOTE}\t}}"), 1), noted);
    }

    #[test]
    fn the_uplinks_ruleset() {
        let pool = Cidr::v4([10, 213, 0, 0], 16);
        let slots = Slots { prefix: "flint", pool, bridge: None };
        let text = with_reach(Ipv6::Off, |reach| uplink(&slots, &["eth0"], reach));
        insta::assert_snapshot!(text);
        let six = with_reach(Ipv6::Nat, |reach| uplink(&slots, &["eth0", "he"], reach));
        assert!(six.contains("ip6 saddr fd46:4c49:4e54:1::/64 oifname != \"flint-*\" masquerade"));
        assert!(
            six.contains(r#"oifname { "eth0", "he" } accept"#) && !six.contains("nfproto ipv6")
        );
    }

    #[test]
    fn the_rulesets_of_classic_mode() {
        let bridge = Bridge { name: "br-flint".into(), address: [10, 0, 0, 1].into(), length: 24 };
        let ipv6 = Ipv6::Prefix("2001:db8:0:9::/64".parse().unwrap());
        let pool = Cidr::v4([10, 213, 0, 0], 16);
        let slots = Slots { prefix: "flint", pool, bridge: Some(&bridge) };
        let place = Place::on(&bridge, "flint", ipv6, flint_core::id::Slot(3)).unwrap();
        let inbound = vec!["2001:db8:77::/48".parse().unwrap()];
        let egress = Egress { inbound, ..Egress::internet() };
        insta::assert_snapshot!(with_reach(ipv6, |reach| {
            let rings = [uplink(&slots, &["eth0"], reach), slot(reach, &egress, place.public)];
            [&rings[..], &[port(&place)]].concat().join("\n")
        }));
    }

    #[test]
    fn each_prefix_has_a_table_of_its_own() {
        assert_eq!(no_uplink("flint"), "add table inet flint\ndelete table inet flint\n");
        assert_eq!(no_uplink("demo"), "add table inet flint_demo\ndelete table inet flint_demo\n");
    }

    #[test]
    fn a_set_without_elements_does_not_mention_them() {
        assert!(!pair("flint_allow", &[]).contains("elements"));
    }

    #[test]
    fn only_plain_interface_names_are_quoted() {
        assert!(is_plain("enp0s31f6") && is_plain("br-lan.7"));
        assert!(["", "eth*", "a\"b", "a b"].iter().all(|name| !is_plain(name)));
    }
}
