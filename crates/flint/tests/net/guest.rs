//! A guest without a kernel: it sits on the tap's file, where a VMM would.

use super::frames::{self, ACK, Heard, Mac, SYN};
use flint::net::Attached;
use flint::net::derive::{GATEWAY, GUEST, mac_of};
use flint::sys::{netns, tap};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

/// No test is fast or slow by this; it only ends one that would hang.
const PATIENCE: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

pub(super) struct Guest {
    tap: File,
    pub(super) mac: Mac,
    /// Its gateway's, as ARP told it.
    pub(super) gateway: Mac,
    pub(super) address: SocketAddrV4,
}

impl Guest {
    pub(super) fn on(attached: &Attached) -> Self {
        let name = attached.nic.tap.clone();
        let opened = netns::run_in(&attached.nic.netns, || tap::open(&name, tap::VnetHeader::No));
        let tap = opened.unwrap().unwrap();
        let mac = mac_of(GUEST);
        let gateway = gateway(&tap, mac);
        Guest { tap, mac, gateway, address: SocketAddrV4::new(GUEST, 4000) }
    }

    pub(super) fn send(&self, frame: &[u8]) {
        (&self.tap).write_all(frame).unwrap();
    }

    pub(super) fn say(&self, to: SocketAddrV4, payload: &str) {
        self.say_as(self.mac, *self.address.ip(), to, payload);
    }

    /// As `say`, with what is no text.
    pub(super) fn say_bytes(&self, to: SocketAddrV4, payload: &[u8]) {
        self.send(&frames::udp(self.mac, self.gateway, [self.address, to], payload));
    }

    /// The same over IPv6, from port 4000 to port 7.
    pub(super) fn say6(&self, from: Ipv6Addr, to: Ipv6Addr, payload: &str) {
        let ends = [(from, 4000), (to, 7)];
        self.send(&frames::udp6([self.mac, self.gateway], ends, payload.as_bytes()));
    }

    pub(super) fn hear_udp6(&self) -> (Ipv6Addr, String) {
        self.hear(|heard| match heard {
            Heard::Udp6 { from, payload } => Some((from.0, String::from_utf8(payload).unwrap())),
            _ => None,
        })
    }

    pub(super) fn hear_refusal6(&self) -> Ipv6Addr {
        self.hear(|heard| match heard {
            Heard::Prohibited6 { to } => Some(to),
            _ => None,
        })
    }

    /// As `say`, under another name.
    pub(super) fn say_as(&self, mac: Mac, from: Ipv4Addr, to: SocketAddrV4, payload: &str) {
        let from = SocketAddrV4::new(from, self.address.port());
        self.send(&frames::udp(mac, self.gateway, [from, to], payload.as_bytes()));
    }

    /// Waits for the first frame that is wanted; what else comes is ignored, as a kernel would.
    pub(super) fn hear<T>(&self, wanted: impl Fn(Heard) -> Option<T>) -> T {
        loop {
            let heard = listen(&self.tap, &PATIENCE).expect("the guest hears something");
            if let Some(found) = wanted(heard) {
                return found;
            }
        }
    }

    pub(super) fn hear_udp(&self) -> (SocketAddrV4, String) {
        self.hear(|heard| match heard {
            Heard::Udp { from, payload } => Some((from, String::from_utf8(payload).unwrap())),
            _ => None,
        })
    }

    /// Waits until it is told that it may not go somewhere; returns where to.
    pub(super) fn hear_refusal(&self) -> Ipv4Addr {
        self.hear(|heard| match heard {
            Heard::Prohibited { to } => Some(to),
            _ => None,
        })
    }

    /// SYN, SYN+ACK, ACK.
    pub(super) fn connect(&self, to: SocketAddrV4) {
        let macs = [self.mac, self.gateway];
        let ends = [self.address, to];
        self.send(&frames::tcp(macs, ends, SYN, [100, 0]));
        let theirs = self.hear(|heard| match heard {
            Heard::Tcp { from, flags, sequence }
                if from == to && flags & (SYN | ACK) == SYN | ACK =>
            {
                Some(sequence)
            }
            _ => None,
        });
        self.send(&frames::tcp(macs, ends, ACK, [101, theirs.wrapping_add(1)]));
    }
}

/// The next frame, if one comes in time.
fn listen(mut tap: &File, patience: &Timespec) -> Option<Heard> {
    let mut ready = [PollFd::new(&tap, PollFlags::IN)];
    if poll(&mut ready, Some(patience)).unwrap() == 0 {
        return None;
    }
    let mut frame = [0; 2048];
    let length = tap.read(&mut frame).unwrap();
    Some(frames::heard(&frame[..length]))
}

/// Asks who the gateway is until it is told, as ARP does: a tap sends nothing before its kernel has noticed that it
/// was opened.
fn gateway(mut tap: &File, mac: Mac) -> Mac {
    let moment = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
    for _ in 0..400 {
        tap.write_all(&frames::who_has(mac, GUEST, GATEWAY)).unwrap();
        while let Some(heard) = listen(tap, &moment) {
            if let Heard::IsAt { address: GATEWAY, mac } = heard {
                return mac;
            }
        }
    }
    panic!("the gateway answers no ARP");
}
