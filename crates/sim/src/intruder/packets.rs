//! Packets as bytes, of kinds that no socket would make.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};

/// An Ethernet address.
pub(super) type Mac = [u8; 6];

pub(super) const EVERYBODY: Mac = [0xff; 6];

pub(super) const ARP: u16 = 0x0806;
pub(super) const IPV4: u16 = 0x0800;
pub(super) const IPV6: u16 = 0x86dd;
const VLAN: u16 = 0x8100;

pub(super) const ICMP: u8 = 1;
pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMPV6: u8 = 58;
pub(super) const FRAGMENT6: u8 = 44;

/// TCP's flags.
pub(super) const SYN: u8 = 0x02;
pub(super) const ACK: u8 = 0x10;

/// An IPv4 header, all but what follows from the packet.
#[derive(Clone, Copy)]
pub(super) struct Head<'a> {
    pub(super) from: Ipv4Addr,
    pub(super) to: Ipv4Addr,
    pub(super) protocol: u8,
    /// A multiple of four bytes.
    pub(super) options: &'a [u8],
    /// Flags and offset.
    pub(super) fragment: u16,
}

impl Head<'_> {
    pub(super) fn plain(from: Ipv4Addr, to: Ipv4Addr, protocol: u8) -> Self {
        Head { from, to, protocol, options: &[], fragment: 0 }
    }

    pub(super) fn packet(&self, body: &[u8]) -> Vec<u8> {
        let words = 5 + u8::try_from(self.options.len() / 4).unwrap_or_default();
        let length = length(20 + self.options.len() + body.len());
        let fragment = self.fragment.to_be_bytes();
        let start = [&[0x40 | words, 0][..], &length, &[0x12, 0x34], &fragment].concat();
        let rest = [64, self.protocol, 0, 0];
        let addresses = [self.from.octets(), self.to.octets()].concat();
        let mut head = [&start[..], &rest, &addresses, self.options].concat();
        let sum = checksum(&head);
        head[10..12].copy_from_slice(&sum);
        [&head[..], body].concat()
    }
}

pub(super) fn ethernet(from: Mac, to: Mac, kind: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from, &kind.to_be_bytes(), payload].concat()
}

/// The frame again, with these VLAN tags.
pub(super) fn tagged(frame: &[u8], tags: &[u16]) -> Vec<u8> {
    let (addresses, rest) = frame.split_at(12);
    let tags = tags.iter().flat_map(|tag| [VLAN.to_be_bytes(), tag.to_be_bytes()].concat());
    [addresses, &tags.collect::<Vec<u8>>(), rest].concat()
}

/// Without a checksum, which IPv4 allows.
pub(super) fn datagram(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let length = length(8 + payload.len());
    [&from.to_be_bytes()[..], &to.to_be_bytes(), &length, &[0, 0], payload].concat()
}

pub(super) fn udp(from: SocketAddrV4, to: SocketAddrV4, payload: &[u8]) -> Vec<u8> {
    let head = Head::plain(*from.ip(), *to.ip(), UDP);
    head.packet(&datagram(from.port(), to.port(), payload))
}

pub(super) fn tcp(from: SocketAddrV4, to: SocketAddrV4, flags: u8, payload: &[u8]) -> Vec<u8> {
    let ports = [from.port().to_be_bytes(), to.port().to_be_bytes()].concat();
    let numbers = [0, 0, 0, 100, 0, 0, 0, 200];
    let rest = [0x50, flags, 0xff, 0xff, 0, 0, 0, 0];
    let mut segment = [&ports[..], &numbers, &rest, payload].concat();
    let addresses = [from.ip().octets(), to.ip().octets()].concat();
    let sum = sum_with(&addresses, TCP, &segment);
    segment[16..18].copy_from_slice(&sum);
    Head::plain(*from.ip(), *to.ip(), TCP).packet(&segment)
}

/// An ICMP message, with its checksum.
pub(super) fn icmp(kind: u8, code: u8, body: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, code, 0, 0][..], body].concat();
    let sum = checksum(&message);
    message[2..4].copy_from_slice(&sum);
    message
}

pub(super) fn ipv6(from: Ipv6Addr, to: Ipv6Addr, next: u8, body: &[u8]) -> Vec<u8> {
    // Neighbour discovery takes nothing that a router may have passed on.
    let hops = if next == ICMPV6 { 255 } else { 64 };
    let head = [&[0x60, 0, 0, 0][..], &length(body.len()), &[next, hops]].concat();
    [&head[..], &from.octets(), &to.octets(), body].concat()
}

/// The datagram of a packet, with the checksum that IPv6 demands.
pub(super) fn datagram6(from: SocketAddrV6, to: SocketAddrV6, payload: &[u8]) -> Vec<u8> {
    let mut datagram = datagram(from.port(), to.port(), payload);
    let sum = sum6(*from.ip(), *to.ip(), UDP, &datagram);
    datagram[6..8].copy_from_slice(&sum);
    datagram
}

pub(super) fn icmp6(from: Ipv6Addr, to: Ipv6Addr, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, 0, 0, 0][..], body].concat();
    let sum = sum6(from, to, ICMPV6, &message);
    message[2..4].copy_from_slice(&sum);
    ipv6(from, to, ICMPV6, &message)
}

/// Who says that an address is theirs: an ARP request (1) or answer (2).
pub(super) fn arp(kind: u8, mac: Mac, claimed: Ipv4Addr, to: Ipv4Addr) -> Vec<u8> {
    let head = [0, 1, 8, 0, 6, 4, 0, kind];
    [&head[..], &mac, &claimed.octets(), &[0; 6], &to.octets()].concat()
}

fn sum6(from: Ipv6Addr, to: Ipv6Addr, protocol: u8, body: &[u8]) -> [u8; 2] {
    sum_with(&[from.octets(), to.octets()].concat(), protocol, body)
}

fn sum_with(addresses: &[u8], protocol: u8, body: &[u8]) -> [u8; 2] {
    checksum(&[addresses, &[0, protocol], &length(body.len()), body].concat())
}

fn length(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let word = |pair: &[u8]| u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    let mut sum: u32 = bytes.chunks(2).map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!u16::try_from(sum).unwrap_or_default()).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_sums_up_to_nothing() {
        let [from, to] = [[10, 0, 0, 1], [10, 0, 0, 2]].map(Ipv4Addr::from);
        let packet = Head { options: &[7, 3, 4, 0], ..Head::plain(from, to, UDP) }.packet(b"body");
        assert_eq!(packet[0], 0x46);
        assert_eq!(checksum(&packet[..24]), [0, 0]);
        let message = icmp(8, 0, b"odd");
        assert_eq!(checksum(&message), [0, 0]);
    }

    #[test]
    fn tags_stand_between_the_addresses_and_the_kind() {
        let frame = ethernet([1; 6], [2; 6], IPV4, b"x");
        let tags = [0x81, 0, 0, 5, 0x81, 0, 0, 6];
        assert_eq!(tagged(&frame, &[5, 6]), [&frame[..12], &tags, &frame[12..]].concat());
    }
}
