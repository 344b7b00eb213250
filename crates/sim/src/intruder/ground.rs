//! Where the intruder stands, and what it can do from there.

use super::packets::{self, ACK, EVERYBODY, Head, ICMP, IPV4, IPV6, Mac, SYN, TCP, UDP};
use super::places::{GATEWAY_MAC, GUEST, GUEST_MAC, GUEST6};
use super::sys::Link;
use super::watch;
use std::io;
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpStream, UdpSocket,
};
use std::time::Duration;

/// For an answer that does not come.
const PATIENCE: Duration = Duration::from_secs(2);

/// Below the new connections that a guest may begin in a second, so that no port goes unasked for that reason.
pub(super) const GENTLE: usize = 90;

/// For an address to which none begin.
pub(super) const AT_ONCE: usize = 2_000;

/// How often such a piece is sent.
const BEAT: Duration = Duration::from_millis(100);

/// What the intruder's own side shows of an attempt.
pub(super) enum Outcome {
    /// It went out; who hears it, shows the other side.
    Sent,
    /// Somebody answered who should not.
    Answered,
    /// It failed here already, or nobody answered.
    Silent(String),
}

/// A guest's place in the network.
pub(super) struct Ground {
    pub(super) link: Link,
    pub(super) interface: String,
    /// What the neighbour is reached under.
    pub(super) neighbour: Ipv4Addr,
    pub(super) neighbour6: Ipv6Addr,
    pub(super) neighbour_mac: Mac,
    /// The host's end of this guest's way out.
    pub(super) veth: Ipv4Addr,
}

pub(super) type Tried = io::Result<Outcome>;

impl Ground {
    pub(super) fn tcp(&self, to: impl Into<IpAddr>, port: u16, token: &[u8]) -> Tried {
        let to = SocketAddr::new(to.into(), port);
        match TcpStream::connect_timeout(&to, PATIENCE) {
            Ok(stream) => {
                io::Write::write_all(&mut &stream, token)?;
                Ok(Outcome::Answered)
            }
            Err(error) => Ok(Outcome::Silent(error.to_string())),
        }
    }

    /// By a route of its own, as if they were on one link.
    pub(super) fn tcp_on_link(&self, to: Ipv4Addr, port: u16, token: &[u8]) -> Tried {
        let interface = &self.interface;
        watch::run(&format!("ip route replace {to}/32 dev {interface}"))?;
        let tried = self.tcp(to, port, token);
        watch::run(&format!("ip route del {to}/32 dev {interface}"))?;
        tried
    }

    pub(super) fn udp(&self, to: impl Into<IpAddr>, port: u16, token: &[u8]) -> Tried {
        let to = SocketAddr::new(to.into(), port);
        let any: IpAddr = match to {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0))?;
        match socket.send_to(token, to) {
            Ok(_) => Ok(Outcome::Sent),
            Err(error) => Ok(Outcome::Silent(error.to_string())),
        }
    }

    /// A packet to the gateway.
    pub(super) fn packet(&self, packet: &[u8]) -> Tried {
        self.frame(&packets::ethernet(GUEST_MAC, GATEWAY_MAC, IPV4, packet))
    }

    /// A packet of IPv6 to the gateway.
    pub(super) fn packet6(&self, packet: &[u8]) -> Tried {
        self.frame(&packets::ethernet(GUEST_MAC, GATEWAY_MAC, IPV6, packet))
    }

    /// A packet to everybody on the link.
    pub(super) fn shout(&self, kind: u16, packet: &[u8]) -> Tried {
        self.frame(&packets::ethernet(GUEST_MAC, EVERYBODY, kind, packet))
    }

    pub(super) fn frame(&self, frame: &[u8]) -> Tried {
        self.link.send(frame)?;
        Ok(Outcome::Sent)
    }

    /// A packet of a protocol without ports.
    pub(super) fn protocol(&self, protocol: u8, to: Ipv4Addr, token: &[u8]) -> Tried {
        self.packet(&Head::plain(GUEST, to, protocol).packet(token))
    }

    /// A datagram of IPv6 behind an extension header of eight bytes.
    pub(super) fn behind(
        &self,
        header: u8,
        extension: [u8; 8],
        to: Ipv6Addr,
        token: &[u8],
    ) -> Tried {
        let datagram = packets::datagram6(from6(GUEST6), to6(to), token);
        self.packet6(&packets::ipv6(GUEST6, to, header, &[&extension[..], &datagram].concat()))
    }

    pub(super) fn ping(&self, to: Ipv4Addr, token: &[u8]) -> Tried {
        let body = [&[0x66, 0x6c, 0, 1][..], token].concat();
        self.packet(&Head::plain(GUEST, to, ICMP).packet(&packets::icmp(8, 0, &body)))?;
        self.answer(|heard| heard.from == to && heard.protocol == ICMP && heard.body[0] == 0)
    }

    /// Asks for each of these ports, and listens for any word of a TCP: "open" or "closed" alike.
    pub(super) fn sweep_tcp(&self, to: Ipv4Addr, ports: &[u16], piece: usize) -> Tried {
        let ask = |port| packets::tcp(from(GUEST), SocketAddrV4::new(to, port), SYN, &[]);
        self.sweep(ports.chunks(piece), ask, |heard| {
            heard.from == to && heard.protocol == TCP && heard.body[13] & ACK != 0
        })
    }

    /// The same for UDP: the word is a datagram, or "port unreachable".
    pub(super) fn sweep_udp(&self, to: Ipv4Addr, ports: &[u16], piece: usize) -> Tried {
        let ask = |port| packets::udp(from(GUEST), SocketAddrV4::new(to, port), b"?");
        self.sweep(ports.chunks(piece), ask, |heard| {
            let closed = heard.protocol == ICMP && heard.body[..2] == [3, 3];
            heard.from == to && (closed || heard.protocol == UDP)
        })
    }

    fn sweep(
        &self,
        pieces: std::slice::Chunks<'_, u16>,
        ask: impl Fn(u16) -> Vec<u8>,
        answers: impl Fn(&Heard<'_>) -> bool,
    ) -> Tried {
        for piece in pieces {
            for port in piece {
                self.packet(&ask(*port))?;
            }
            if let answered @ Outcome::Answered = self.answer_in(BEAT, &answers)? {
                return Ok(answered);
            }
        }
        self.answer(answers)
    }

    fn answer(&self, wanted: impl Fn(&Heard<'_>) -> bool) -> Tried {
        self.answer_in(PATIENCE, wanted)
    }

    fn answer_in(&self, patience: Duration, wanted: impl Fn(&Heard<'_>) -> bool) -> Tried {
        let began = std::time::Instant::now();
        while let Some(left) = patience.checked_sub(began.elapsed()) {
            let Some(frame) = self.link.receive(left)? else { break };
            if Heard::of(&frame).is_some_and(|heard| wanted(&heard)) {
                return Ok(Outcome::Answered);
            }
        }
        Ok(Outcome::Silent("no answer".to_owned()))
    }
}

/// An IPv4 packet for us.
struct Heard<'a> {
    from: Ipv4Addr,
    protocol: u8,
    /// Padded to what any protocol's head needs.
    body: &'a [u8],
}

impl Heard<'_> {
    fn of(frame: &[u8]) -> Option<Heard<'_>> {
        let packet = frame.get(14..).filter(|_| frame[12..14] == IPV4.to_be_bytes())?;
        let head = packet.first_chunk::<20>()?;
        let body = packet.get(usize::from(head[0] & 15) * 4..)?;
        // What we send ourselves is heard as well.
        let own = frame[6..12] == GUEST_MAC;
        let from = Ipv4Addr::new(head[12], head[13], head[14], head[15]);
        let long = body.len() >= if head[9] == TCP { 20 } else { 8 };
        (long && !own).then_some(Heard { from, protocol: head[9], body })
    }
}

/// The intruder's own end.
pub(super) fn from(address: Ipv4Addr) -> SocketAddrV4 {
    SocketAddrV4::new(address, 4000)
}

pub(super) fn from6(address: Ipv6Addr) -> SocketAddrV6 {
    SocketAddrV6::new(address, 4000, 0, 0)
}

/// Where everybody listens.
pub(super) fn to(address: Ipv4Addr) -> SocketAddrV4 {
    SocketAddrV4::new(address, super::places::PORT)
}

pub(super) fn to6(address: Ipv6Addr) -> SocketAddrV6 {
    SocketAddrV6::new(address, super::places::PORT, 0, 0)
}
