//! Ethernet frames, as bytes: just enough of ARP, IPv4, IPv6, UDP, TCP and ICMP to be a guest.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

pub(super) type Mac = [u8; 6];

const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
const TCP: u8 = 6;
const UDP: u8 = 17;

/// SYN, and SYN with ACK.
pub(super) const SYN: u8 = 0x02;
pub(super) const ACK: u8 = 0x10;

/// What a guest understands of what it hears.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Udp {
        from: SocketAddrV4,
        payload: Vec<u8>,
    },
    Udp6 {
        from: (Ipv6Addr, u16),
        payload: Vec<u8>,
    },
    /// As `Prohibited`.
    Prohibited6 {
        to: Ipv6Addr,
    },
    Tcp {
        from: SocketAddrV4,
        flags: u8,
        sequence: u32,
    },
    /// "Administratively prohibited": where the refused packet wanted to go.
    Prohibited {
        to: Ipv4Addr,
    },
    /// An answer to "who has": this address is at this MAC.
    IsAt {
        address: Ipv4Addr,
        mac: Mac,
    },
    Other,
}

pub(super) fn ethernet(from: Mac, to: Mac, kind: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from[..], &kind.to_be_bytes(), payload].concat()
}

pub(super) fn udp(from_mac: Mac, to_mac: Mac, ends: [SocketAddrV4; 2], payload: &[u8]) -> Vec<u8> {
    let [from, to] = ends;
    let packet = ipv4(*from.ip(), *to.ip(), UDP, &udp_datagram(from.port(), to.port(), payload));
    ethernet(from_mac, to_mac, IPV4, &packet)
}

pub(super) fn udp6(macs: [Mac; 2], ends: [(Ipv6Addr, u16); 2], payload: &[u8]) -> Vec<u8> {
    let [from, to] = ends;
    let mut datagram = udp_datagram(from.1, to.1, payload);
    let length = u32::try_from(datagram.len()).unwrap().to_be_bytes();
    let pseudo = [&from.0.octets()[..], &to.0.octets(), &length, &[0, 0, 0, UDP]].concat();
    let sum = checksum(&[&pseudo[..], &datagram].concat());
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    let head = [&[0x60, 0, 0, 0][..], &length[2..], &[UDP, 64]].concat();
    let packet = [&head[..], &from.0.octets(), &to.0.octets(), &datagram].concat();
    ethernet(macs[0], macs[1], IPV6, &packet)
}

pub(super) fn tcp(
    macs: [Mac; 2],
    ends: [SocketAddrV4; 2],
    flags: u8,
    numbers: [u32; 2],
) -> Vec<u8> {
    let [from, to] = ends;
    let mut segment = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    segment.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
    segment.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    let pseudo = [&from.ip().octets()[..], &to.ip().octets(), &[0, TCP, 0, 20]].concat();
    let sum = checksum(&[&pseudo[..], &segment].concat());
    segment[16..18].copy_from_slice(&sum.to_be_bytes());
    ethernet(macs[0], macs[1], IPV4, &ipv4(*from.ip(), *to.ip(), TCP, &segment))
}

pub(super) fn who_has(from_mac: Mac, from: Ipv4Addr, wanted: Ipv4Addr) -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4, 0, 1];
    let body = [&head[..], &from_mac, &from.octets(), &[0; 6], &wanted.octets()].concat();
    ethernet(from_mac, [0xff; 6], ARP, &body)
}

pub(super) fn heard(frame: &[u8]) -> Heard {
    let kind = u16::from_be_bytes([frame[12], frame[13]]);
    let body = &frame[14..];
    match kind {
        ARP if body[6..8] == [0, 2] => {
            Heard::IsAt { address: address(&body[14..]), mac: body[8..14].try_into().unwrap() }
        }
        IPV4 => heard_ipv4(body),
        IPV6 => heard_ipv6(body),
        _ => Heard::Other,
    }
}

fn heard_ipv4(packet: &[u8]) -> Heard {
    let length = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    let body = &packet[usize::from(packet[0] & 0xf) * 4..length];
    let from = |port: &[u8]| {
        SocketAddrV4::new(address(&packet[12..]), u16::from_be_bytes([port[0], port[1]]))
    };
    match packet[9] {
        UDP => Heard::Udp { from: from(body), payload: body[8..].to_vec() },
        TCP => {
            let sequence = u32::from_be_bytes(body[4..8].try_into().unwrap());
            Heard::Tcp { from: from(body), flags: body[13], sequence }
        }
        // Type 3, code 13; the refused packet's head follows.
        ICMP if body[..2] == [3, 13] => Heard::Prohibited { to: address(&body[8 + 16..]) },
        _ => Heard::Other,
    }
}

fn heard_ipv6(packet: &[u8]) -> Heard {
    let length = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
    let body = &packet[40..40 + length];
    match packet[6] {
        UDP => {
            let from = (address6(&packet[8..]), u16::from_be_bytes([body[0], body[1]]));
            Heard::Udp6 { from, payload: body[8..].to_vec() }
        }
        // Type 1, code 1; the refused packet's head follows.
        ICMPV6 if body[..2] == [1, 1] => Heard::Prohibited6 { to: address6(&body[8 + 24..]) },
        _ => Heard::Other,
    }
}

fn address6(bytes: &[u8]) -> Ipv6Addr {
    Ipv6Addr::from(<[u8; 16]>::try_from(&bytes[..16]).unwrap())
}

fn address(bytes: &[u8]) -> Ipv4Addr {
    Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3])
}

fn udp_datagram(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + payload.len()).unwrap();
    // A checksum of zero is "none", which IPv4 allows.
    let head = [from.to_be_bytes(), to.to_be_bytes(), length.to_be_bytes(), [0, 0]].concat();
    [&head[..], payload].concat()
}

fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + body.len()).unwrap().to_be_bytes();
    let mut head = [&[0x45, 0][..], &length, &[0, 1, 0x40, 0, 64, protocol, 0, 0]].concat();
    head.extend(from.octets().into_iter().chain(to.octets()));
    let sum = checksum(&head);
    head[10..12].copy_from_slice(&sum.to_be_bytes());
    [&head[..], body].concat()
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let word = |pair: &[u8]| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}

pub(super) const GUEST_MAC: Mac = [0x06, 0, 192, 168, 241, 2];

pub(super) const ROUTER_ADVERTISEMENT: u8 = 134;
pub(super) const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
pub(super) const REDIRECT: u8 = 137;

/// A message of neighbour discovery about an address that is a stranger's, as if it were the sender's; with a router's
/// lifetime and a prefix, which a listener to advertisements would take.
pub(super) fn icmp6(kind: u8, macs: [Mac; 2], from: Ipv6Addr, to: Ipv6Addr) -> Vec<u8> {
    let stolen = Ipv6Addr::new(0x2a00, 0xbad, 0, 0, 0, 0, 0, 0);
    let mut body = match kind {
        ROUTER_ADVERTISEMENT => {
            let head = [kind, 0, 0, 0, 64, 0, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0];
            let prefix = [3, 4, 64, 0xc0, 0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0, 0, 0];
            [&head[..], &prefix, &stolen.octets()].concat()
        }
        NEIGHBOUR_ADVERTISEMENT => {
            let option = [&[2, 1][..], &macs[0]].concat();
            [&[kind, 0, 0, 0, 0x60, 0, 0, 0][..], &to.octets(), &option].concat()
        }
        _ => [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &from.octets(), &stolen.octets()].concat(),
    };
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let pseudo = [&from.octets()[..], &to.octets(), &length, &[0, 0, 0, ICMPV6]].concat();
    let sum = checksum(&[&pseudo[..], &body].concat());
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    let head = [&[0x60, 0, 0, 0][..], &length[2..], &[ICMPV6, 255]].concat();
    ethernet(macs[0], macs[1], IPV6, &[&head[..], &from.octets(), &to.octets(), &body].concat())
}

/// A datagram to port 7 behind an extension header: 0 hop-by-hop, 43 routing, 60 destination.
pub(super) fn udp6_behind(
    header: u8,
    macs: [Mac; 2],
    (from, to): (Ipv6Addr, Ipv6Addr),
    payload: &[u8],
) -> Vec<u8> {
    let whole = udp6(macs, [(from, 4000), (to, 7)], payload);
    let (head, body) = whole[14..].split_at(40);
    // Eight bytes: what follows, no more words, and options of nothing but padding (a routing header of type 4).
    let extension = match header {
        43 => [UDP, 0, 4, 0, 0, 0, 0, 0],
        _ => [UDP, 0, 1, 4, 0, 0, 0, 0],
    };
    let length = u16::try_from(body.len() + extension.len()).unwrap().to_be_bytes();
    let head = [&head[..4], &length, &[header, 64], &head[8..]].concat();
    ethernet(macs[0], macs[1], IPV6, &[&head[..], &extension, body].concat())
}
