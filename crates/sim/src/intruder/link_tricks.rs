//! What a guest tries on its link, below IP: to be heard by the other guest, and to be somebody else.

use super::ground::{Ground, Tried, from, from6, to, to6};
use super::network::{Attempt, Place, heard};
use super::packets::{self, ARP, EVERYBODY, IPV4, IPV6, UDP};
use super::places::{GATEWAY, GATEWAY6, GUEST, GUEST_MAC, GUEST6};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const ROUTER_ADVERTISEMENT: u8 = 134;
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
const REDIRECT: u8 = 137;

/// An address that nobody has.
const STOLEN: Ipv6Addr = Ipv6Addr::new(0x2a00, 0xbad, 0, 0, 0, 0, 0, 0);

pub(super) const TRICKS: &[Attempt] = &[
    heard(Place::Neighbour, "on-link", "the other guest's address on its own link", |g, token| {
        g.shout(IPV4, &packets::udp(from(GUEST), to(g.neighbour), token))
    }),
    heard(
        Place::Neighbour,
        "to-its-mac",
        "a frame to the other guest's MAC address",
        |g, token| {
            let packet = packets::udp(from(GUEST), to(g.neighbour), token);
            g.frame(&packets::ethernet([6, 0, 1, 1, 1, 1], g.neighbour_mac, IPV4, &packet))
        },
    ),
    heard(Place::Neighbour, "vlan", "a VLAN tag", |g, token| g.frame(&vlan(token, &[5]))),
    heard(Place::Neighbour, "vlan-0", "a priority tag, which is read as none", |g, token| {
        g.frame(&vlan(token, &[0]))
    }),
    heard(Place::Neighbour, "vlan-twice", "two VLAN tags", |g, token| {
        g.frame(&vlan(token, &[1, 5]))
    }),
    heard(Place::Neighbour, "arp-answer", "ARP: the gateway is here", |g, token| {
        g.shout(ARP, &[&packets::arp(2, GUEST_MAC, GATEWAY, GUEST), token].concat())
    }),
    heard(Place::Neighbour, "arp-question", "ARP: who is there, asks the gateway", |g, token| {
        g.shout(ARP, &[&packets::arp(1, GUEST_MAC, GATEWAY, g.neighbour), token].concat())
    }),
    heard(Place::Neighbour, "neighbour-advertisement", "ND: the gateway is here", |g, token| {
        let claim = [&[0xe0, 0, 0, 0][..], &GATEWAY6.octets(), &[2, 1], &GUEST_MAC].concat();
        told(g, NEIGHBOUR_ADVERTISEMENT, &claim, token)
    }),
    heard(Place::Neighbour, "router-advertisement", "RA: this is your router", |g, token| {
        let head = [64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];
        let prefix = [3, 4, 64, 0xc0, 0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0, 0, 0];
        told(g, ROUTER_ADVERTISEMENT, &[&head[..], &prefix, &STOLEN.octets()].concat(), token)
    }),
    heard(Place::Neighbour, "redirect6", "ND: there is a better way", |g, token| {
        told(g, REDIRECT, &[&[0; 4][..], &GUEST6.octets(), &STOLEN.octets()].concat(), token)
    }),
    heard(Place::Neighbour, "redirect", "ICMP: there is a better way", |g, token| {
        let body = [&GUEST.octets()[..], token].concat();
        let message = packets::icmp(5, 1, &body);
        let head = packets::Head::plain(GATEWAY, g.neighbour, packets::ICMP);
        g.shout(IPV4, &head.packet(&message))
    }),
    heard(Place::Neighbour, "dhcp", "DHCP: an offer", |g, token| {
        let server = SocketAddrV4::new(GATEWAY, 67);
        g.shout(IPV4, &packets::udp(server, SocketAddrV4::new(Ipv4Addr::BROADCAST, 68), token))
    }),
    heard(Place::Neighbour, "multicast", "multicast DNS", |g, token| {
        let group = SocketAddrV4::new(Ipv4Addr::new(224, 0, 0, 251), 5353);
        let packet = packets::udp(from(GUEST), group, token);
        g.frame(&packets::ethernet(GUEST_MAC, [1, 0, 0x5e, 0, 0, 251], IPV4, &packet))
    }),
    heard(Place::Neighbour, "multicast6", "the same over IPv6", |g, token| {
        let datagram = packets::datagram6(from6(GUEST6), to6(ALL_NODES), token);
        let packet = packets::ipv6(GUEST6, ALL_NODES, UDP, &datagram);
        g.frame(&packets::ethernet(GUEST_MAC, [0x33, 0x33, 0, 0, 0, 1], IPV6, &packet))
    }),
    heard(Place::Neighbour, "spanning-tree", "STP: this is the root", |g, token| {
        let body = [&[0x42, 0x42, 3, 0, 0, 0, 0, 0][..], token].concat();
        // Below 0x600 it is a length (IEEE 802.3).
        let length = u16::try_from(body.len()).unwrap_or_default();
        g.frame(&packets::ethernet(GUEST_MAC, [1, 0x80, 0xc2, 0, 0, 0], length, &body))
    }),
    heard(Place::Neighbour, "unknown-type", "a frame of a type that nobody knows", |g, token| {
        g.shout(0x88b5, token)
    }),
    // Last: a bridge believes it, and sends what is for the neighbour here from then on.
    heard(
        Place::Neighbour,
        "as-the-neighbour",
        "the other guest's own address as sender",
        |g, token| {
            g.packet(&packets::udp(from(g.neighbour), to(g.neighbour), token))?;
            let packet = packets::udp(from(g.neighbour), to(g.neighbour), token);
            g.frame(&packets::ethernet(g.neighbour_mac, EVERYBODY, IPV4, &packet))
        },
    ),
];

fn vlan(token: &[u8], tags: &[u16]) -> Vec<u8> {
    let packet = packets::udp(from(GUEST), to(Ipv4Addr::BROADCAST), token);
    packets::tagged(&packets::ethernet(GUEST_MAC, EVERYBODY, IPV4, &packet), tags)
}

/// A message of neighbour discovery to all nodes; the token stands in an option that nobody knows.
fn told(g: &Ground, kind: u8, body: &[u8], token: &[u8]) -> Tried {
    let words = token.len().saturating_add(2).div_ceil(8);
    let mut option = [&[253, u8::try_from(words).unwrap_or_default()][..], token].concat();
    option.resize(words * 8, 0);
    let packet = packets::icmp6(GATEWAY6, ALL_NODES, kind, &[body, &option].concat());
    g.frame(&packets::ethernet(GUEST_MAC, [0x33, 0x33, 0, 0, 0, 1], IPV6, &packet))
}
