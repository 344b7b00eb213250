//! Ethernet frames, as bytes: just enough of ARP, IPv4, IPv6, UDP, TCP and ICMP to be a guest.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

pub(super) type Mac = [u8; 6];

const ARP: u16 = 0x0806;
const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
const ICMP: u8 = 1;
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
