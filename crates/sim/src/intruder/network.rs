//! What a guest tries in the network, each with whom it would reach.

use super::ground::{AT_ONCE, GENTLE, Ground, Outcome, Tried, from, from6, to, to6};
use super::packets::{self, ACK, Head, IPV4, IPV6, TCP, UDP};
use super::places::{
    GATEWAY, GATEWAY6, GUEST, GUEST6, HOST, HOST_PRIVATE, HOST_TOO, HOST6, METADATA, PORT, PRIVATE,
    PRIVATE6, SERVER, SERVER6, WEBHOOKS,
};
use super::{link_tricks, places};
use std::net::{Ipv4Addr, Ipv6Addr};

/// One thing that is tried.
#[derive(Clone, Copy)]
pub struct Attempt {
    /// In one word.
    pub name: &'static str,
    /// In a few.
    pub what: &'static str,
    /// How one knows that it succeeded.
    pub proof: Proof,
    pub(super) run: fn(&Ground, &[u8]) -> Tried,
}

/// How one knows that an attempt succeeded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The intruder has an answer.
    Answered,
    /// Its token is heard at this place.
    Heard(Place),
}

/// Where tokens are listened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// By a socket of the host.
    Host,
    /// Behind the host's uplink, by a socket or on the wire.
    Internet,
    /// In the other guest, by a socket or on the wire.
    Neighbour,
}

const fn answered(
    name: &'static str,
    what: &'static str,
    run: fn(&Ground, &[u8]) -> Tried,
) -> Attempt {
    Attempt { name, what, proof: Proof::Answered, run }
}

pub(super) const fn heard(
    place: Place,
    name: &'static str,
    what: &'static str,
    run: fn(&Ground, &[u8]) -> Tried,
) -> Attempt {
    Attempt { name, what, proof: Proof::Heard(place), run }
}

/// All of them, in the order in which they are tried: those that leave much behind come last.
#[must_use]
pub fn attempts() -> Vec<Attempt> {
    [HOST_WAYS, OUTSIDE, HEADERS, DISGUISES, NEIGHBOUR_WAYS, link_tricks::TRICKS, SWEEPS].concat()
}

const HOST_WAYS: &[Attempt] = &[
    answered("host-tcp", "TCP to the host", |g, token| g.tcp(HOST, PORT, token)),
    answered("host-webhooks", "TCP to the host's webhook port", |g, token| {
        g.tcp(HOST, WEBHOOKS, token)
    }),
    heard(Place::Host, "host-udp", "UDP to the host", |g, token| g.udp(HOST, PORT, token)),
    answered("host-ping", "ICMP echo to the host", |g, token| g.ping(HOST, token)),
    answered("host-too", "TCP to another address of the host", |g, token| {
        g.tcp(HOST_TOO, PORT, token)
    }),
    answered("host-private", "TCP to a private address of the host", |g, token| {
        g.tcp(HOST_PRIVATE, PORT, token)
    }),
    answered("host-veth", "TCP to the host's end of the guest's way out", |g, token| {
        g.tcp(g.veth, PORT, token)
    }),
    answered("host-tcp6", "TCP to the host over IPv6", |g, token| g.tcp(HOST6, PORT, token)),
    heard(Place::Host, "host-udp6", "UDP to the host over IPv6", |g, token| {
        g.udp(HOST6, PORT, token)
    }),
    answered("gateway-tcp6", "TCP to the gateway over IPv6", |g, token| {
        g.tcp(GATEWAY6, PORT, token)
    }),
    heard(
        Place::Host,
        "host-loopback",
        "127.0.0.1 of the host, past the guest's own",
        |g, token| g.packet(&packets::udp(from(GUEST), to(Ipv4Addr::LOCALHOST), token)),
    ),
    heard(Place::Host, "host-broadcast", "broadcast to whoever listens", |g, token| {
        g.shout(IPV4, &packets::udp(from(GUEST), to(Ipv4Addr::BROADCAST), token))
    }),
    heard(Place::Host, "host-multicast", "multicast to all hosts of the link", |g, token| {
        let all = Ipv4Addr::new(224, 0, 0, 1);
        let packet = packets::udp(from(GUEST), to(all), token);
        g.frame(&packets::ethernet(places::GUEST_MAC, [1, 0, 0x5e, 0, 0, 1], IPV4, &packet))
    }),
    heard(Place::Host, "host-multicast6", "the same over IPv6", |g, token| {
        let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
        let datagram = packets::datagram6(from6(GUEST6), to6(all), token);
        let packet = packets::ipv6(GUEST6, all, UDP, &datagram);
        g.frame(&packets::ethernet(places::GUEST_MAC, [0x33, 0x33, 0, 0, 0, 1], IPV6, &packet))
    }),
];

const OUTSIDE: &[Attempt] = &[
    answered("metadata", "the clouds' metadata service", |g, token| g.tcp(METADATA, 80, token)),
    answered("private-10", "TCP to 10.0.0.0/8", |g, token| g.tcp(PRIVATE[0], PORT, token)),
    answered("private-172", "TCP to 172.16.0.0/12", |g, token| g.tcp(PRIVATE[1], PORT, token)),
    answered("private-192", "TCP to 192.168.0.0/16", |g, token| g.tcp(PRIVATE[2], PORT, token)),
    answered("carrier", "TCP to 100.64.0.0/10", |g, token| g.tcp(PRIVATE[3], PORT, token)),
    answered("private6", "TCP to fc00::/7", |g, token| g.tcp(PRIVATE6[0], PORT, token)),
    answered("nat64", "a private address behind NAT64", |g, token| g.tcp(PRIVATE6[1], PORT, token)),
    answered("6to4", "a private address behind 6to4", |g, token| g.tcp(PRIVATE6[2], PORT, token)),
    answered("beside6", "a machine beside the host, at its global address", |g, token| {
        g.tcp(PRIVATE6[3], PORT, token)
    }),
    heard(Place::Internet, "dns-elsewhere", "another resolver over UDP", |g, token| {
        g.udp(SERVER, 53, token)
    }),
    answered("dns-elsewhere-tcp", "the same over TCP", |g, token| g.tcp(SERVER, 53, token)),
    answered("dns-over-tls", "the same over TLS", |g, token| g.tcp(SERVER, 853, token)),
    heard(Place::Internet, "bare-ack", "a TCP segment without a connection", |g, token| {
        g.packet(&packets::tcp(from(GUEST), to(PRIVATE[0]), ACK, token))
    }),
    heard(Place::Internet, "ipip", "IP in IP to a private address", |g, token| {
        g.protocol(4, PRIVATE[0], token)
    }),
    heard(Place::Internet, "gre", "GRE to a private address", |g, token| {
        // Without any of its options, for Ethernet.
        g.protocol(47, PRIVATE[0], &[&[0, 0, 0x65, 0x58][..], token].concat())
    }),
    heard(Place::Internet, "unknown-protocol", "a protocol that nobody knows", |g, token| {
        g.protocol(253, PRIVATE[0], token)
    }),
    heard(
        Place::Internet,
        "borrowed-flow",
        "the ports of a flow that is let through",
        |g, token| {
            g.packet(&packets::udp(from(GUEST), to(SERVER), b"allowed"))?;
            g.packet(&packets::udp(from(GUEST), to(PRIVATE[0]), token))
        },
    ),
];

const HEADERS: &[Attempt] = &[
    heard(Place::Internet, "fragments", "fragments that hide the ports", |g, token| {
        let datagram = packets::datagram(4000, PORT, token);
        // Eight bytes are the smallest piece: the whole head of UDP, and nothing else.
        let more = Head { fragment: 0x2000, ..Head::plain(GUEST, PRIVATE[0], UDP) };
        g.packet(&Head { fragment: 1, ..more }.packet(&datagram[8..]))?;
        g.packet(&more.packet(&datagram[..8]))
    }),
    heard(Place::Internet, "fragments6", "the same over IPv6", |g, token| {
        let datagram = packets::datagram6(from6(GUEST6), to6(PRIVATE6[0]), token);
        let piece = |offset: u16, body: &[u8]| {
            let head = [&[UDP, 0][..], &offset.to_be_bytes(), &[0, 0, 0, 9]].concat();
            let body = [&head[..], body].concat();
            packets::ipv6(GUEST6, PRIVATE6[0], packets::FRAGMENT6, &body)
        };
        g.packet6(&piece(8, &datagram[8..]))?;
        g.packet6(&piece(1, &datagram[..8]))
    }),
    heard(
        Place::Internet,
        "ip-options",
        "IPv4 with options that routers must look into",
        |g, token| {
            // Record route (RFC 791), with room for one address.
            let head =
                Head { options: &[7, 7, 4, 0, 0, 0, 0, 0], ..Head::plain(GUEST, SERVER, UDP) };
            g.packet(&head.packet(&packets::datagram(4000, PORT, token)))
        },
    ),
    heard(Place::Internet, "hop-by-hop", "IPv6 with hop-by-hop options", |g, token| {
        g.behind(0, [UDP, 0, 1, 4, 0, 0, 0, 0], SERVER6, token)
    }),
    heard(Place::Internet, "routing-header", "IPv6 with a routing header", |g, token| {
        g.behind(43, [UDP, 0, 4, 0, 0, 0, 0, 0], SERVER6, token)
    }),
    heard(Place::Internet, "destination-options", "IPv6 with destination options", |g, token| {
        g.behind(60, [UDP, 0, 1, 4, 0, 0, 0, 0], SERVER6, token)
    }),
];

const DISGUISES: &[Attempt] = &[
    heard(Place::Internet, "other-mac", "another MAC address", |g, token| {
        let packet = packets::udp(from(GUEST), to(SERVER), token);
        let mac = [6, 0, 192, 168, 241, 9];
        g.frame(&packets::ethernet(mac, places::GATEWAY_MAC, IPV4, &packet))
    }),
    heard(Place::Internet, "as-the-host", "the host's address as its own", |g, token| {
        g.packet(&packets::udp(from(HOST), to(SERVER), token))
    }),
    heard(Place::Internet, "as-anybody", "an address of the internet as its own", |g, token| {
        g.packet(&packets::udp(from(Ipv4Addr::new(192, 0, 2, 200)), to(SERVER), token))
    }),
    heard(Place::Internet, "as-anybody6", "the same over IPv6", |g, token| {
        let source = Ipv6Addr::new(0x2a00, 0xbad, 0, 0, 0, 0, 0, 1);
        let datagram = packets::datagram6(from6(source), to6(SERVER6), token);
        g.packet6(&packets::ipv6(source, SERVER6, UDP, &datagram))
    }),
];

const NEIGHBOUR_WAYS: &[Attempt] = &[
    answered("neighbour-tcp", "TCP to the other guest", |g, token| g.tcp(g.neighbour, PORT, token)),
    answered("neighbour-tcp6", "TCP to the other guest over IPv6", |g, token| {
        g.tcp(g.neighbour6, PORT, token)
    }),
    answered("neighbour-by-route", "the same by a route past the gateway", |g, token| {
        g.tcp_on_link(g.neighbour, PORT, token)
    }),
    heard(Place::Neighbour, "neighbour-udp", "UDP to the other guest", |g, token| {
        g.udp(g.neighbour, PORT, token)
    }),
    heard(Place::Neighbour, "neighbour-ping", "ICMP echo to the other guest", |g, token| {
        g.ping(g.neighbour, token)
    }),
    heard(Place::Neighbour, "neighbour-udp6", "UDP to the other guest over IPv6", |g, token| {
        g.udp(g.neighbour6, PORT, token)
    }),
    heard(Place::Neighbour, "neighbour-fragments", "fragments to the other guest", |g, token| {
        let datagram = packets::datagram(4000, PORT, token);
        let more = Head { fragment: 0x2000, ..Head::plain(GUEST, g.neighbour, UDP) };
        let pieces =
            [more.packet(&datagram[..8]), Head { fragment: 1, ..more }.packet(&datagram[8..])];
        // To it, if it is on the link, and by the gateway.
        for piece in &pieces {
            g.shout(IPV4, piece)?;
        }
        pieces.iter().try_fold(Outcome::Sent, |_, piece| g.packet(piece))
    }),
    heard(
        Place::Neighbour,
        "neighbour-bare-ack",
        "a TCP segment without a connection",
        |g, token| {
            let [ours, theirs] = [from(GUEST), to(g.neighbour)];
            g.frame(&packets::ethernet(
                places::GUEST_MAC,
                [0xff; 6],
                IPV4,
                &packets::tcp(ours, theirs, ACK, token),
            ))?;
            let head = Head::plain(GUEST, g.neighbour, TCP);
            g.packet(&head.packet(&packets::tcp(ours, theirs, ACK, token)[20..]))
        },
    ),
];

fn every_port() -> Vec<u16> {
    (1..=u16::MAX).collect()
}

/// The ports that services have, and as many of the others.
fn usual_ports() -> Vec<u16> {
    (1..=1_024).chain((1_025..=65_535).step_by(63)).collect()
}

const SWEEPS: &[Attempt] = &[
    answered("gateway-every-port", "every TCP port of the gateway", |g, _| {
        g.sweep_tcp(GATEWAY, &every_port(), AT_ONCE)
    }),
    answered("gateway-udp-ports", "2,000 UDP ports of the gateway", |g, _| {
        g.sweep_udp(GATEWAY, &usual_ports(), GENTLE)
    }),
    answered("host-udp-ports", "2,000 UDP ports of the host", |g, _| {
        g.sweep_udp(HOST, &usual_ports(), GENTLE)
    }),
    answered("host-too-every-port", "every TCP port of another address of the host", |g, _| {
        g.sweep_tcp(HOST_TOO, &every_port(), GENTLE)
    }),
    answered("host-every-port", "every TCP port of the host", |g, _| {
        g.sweep_tcp(HOST, &every_port(), GENTLE)
    }),
];
