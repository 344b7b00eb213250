//! What the resolver understands of DNS (RFC 1035): one question, and the addresses in its answer. Pure.

use rand::Bits;
use simple_dns::rdata::{OPT, RData};
use simple_dns::{
    CLASS, OPCODE, Packet, PacketFlag, QCLASS, QTYPE, Question as Asked, RCODE, TYPE,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an asker without EDNS takes (RFC 1035 §4.2.1).
const PLAIN_MAX: usize = 512;

/// What passes every network in one piece (RFC 9715 §3).
pub const EDNS_MAX: u16 = 1_232;

/// Names are not kept for longer by anybody who asks us: their addresses are closed then.
pub const TTL_MAX: u32 = 3_600;

/// A guest's question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    id: u16,
    /// As it was asked; DNS gives it back in the same letters.
    asked: String,
    /// Lower case, without a dot at its end.
    pub name: String,
    kind: u16,
    /// The longest answer that it takes.
    most: usize,
}

/// What the outside says to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The addresses in it, each for so many seconds.
    pub addresses: Vec<(IpAddr, u32)>,
    /// For the guest.
    pub reply: Vec<u8>,
}

impl Question {
    /// Reads one; `None` is nothing that deserves an answer.
    #[must_use]
    pub fn read(packet: &[u8]) -> Option<Question> {
        let packet = Packet::parse(packet).ok()?;
        let query =
            !packet.has_flags(PacketFlag::RESPONSE) && packet.opcode() == OPCODE::StandardQuery;
        let [question] = packet.questions.as_slice() else { return None };
        let internet = question.qclass == QCLASS::CLASS(CLASS::IN);
        let asked = question.qname.to_string();
        if !query || !internet || !is_plain(&asked) {
            return None;
        }
        let most =
            packet.opt().map_or(PLAIN_MAX, |opt| usize::from(opt.udp_packet_size.min(EDNS_MAX)));
        let name = asked.trim_end_matches('.').to_ascii_lowercase();
        let kind = question.qtype.into();
        Some(Question { id: packet.id(), asked, name, kind, most: most.max(PLAIN_MAX) })
    }

    /// The same question as we ask it, under another number and in letters of chance: who answers without having
    /// seen it must guess both (draft-vixie-dnsext-dns0x20).
    #[must_use]
    pub fn ask(&self, id: u16, chance: [u8; 32]) -> Option<(Vec<u8>, String)> {
        let letter = |(at, letter): (usize, char)| match chance.bit(at) {
            true => letter.to_ascii_uppercase(),
            false => letter,
        };
        let asked: String = self.name.chars().enumerate().map(letter).collect();
        let mut packet = Packet::new_query(id);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        packet.questions.push(self.asked_as(&asked)?);
        *packet.opt_mut() =
            Some(OPT { udp_packet_size: EDNS_MAX, version: 0, opt_codes: Vec::new() });
        let packet = packet.build_bytes_vec().ok()?;
        Some((packet, asked))
    }

    /// Reads what came back for [`Question::ask`]; `None` is no answer to that.
    #[must_use]
    pub fn answer(&self, id: u16, asked: &str, packet: &[u8]) -> Option<Answer> {
        let packet = Packet::parse(packet).ok()?;
        let [question] = packet.questions.as_slice() else { return None };
        let same = question.qname.to_string() == asked && u16::from(question.qtype) == self.kind;
        if packet.id() != id || !packet.has_flags(PacketFlag::RESPONSE) || !same {
            return None;
        }
        let mut reply = self.reply(packet.rcode())?;
        reply.answers = packet.answers.clone();
        for record in &mut reply.answers {
            record.ttl = record.ttl.min(TTL_MAX);
            // The question's letters of chance are ours; the guest gets its own.
            if record.name.to_string() == asked {
                record.name = name(&self.asked)?;
            }
        }
        let addresses = reply.answers.iter().filter_map(|record| match &record.rdata {
            RData::A(a) => Some((IpAddr::V4(Ipv4Addr::from_bits(a.address)), record.ttl)),
            RData::AAAA(aaaa) => Some((IpAddr::V6(Ipv6Addr::from_bits(aaaa.address)), record.ttl)),
            _ => None,
        });
        let addresses = addresses.collect();
        Some(Answer { addresses, reply: self.fit(reply)? })
    }

    /// The answer that there is no such name.
    #[must_use]
    pub fn refusal(&self) -> Option<Vec<u8>> {
        self.reply(RCODE::NameError)?.build_bytes_vec_compressed().ok()
    }

    fn reply(&self, code: RCODE) -> Option<Packet<'_>> {
        let mut reply = Packet::new_reply(self.id);
        reply.set_flags(PacketFlag::RECURSION_DESIRED | PacketFlag::RECURSION_AVAILABLE);
        *reply.rcode_mut() = code;
        reply.questions.push(self.asked_as(&self.asked)?);
        Some(reply)
    }

    /// There is no TCP here to which an asker could turn: an answer that is too long has fewer records.
    fn fit(&self, mut reply: Packet<'_>) -> Option<Vec<u8>> {
        loop {
            let bytes = reply.build_bytes_vec_compressed().ok()?;
            if bytes.len() <= self.most {
                return Some(bytes);
            }
            reply.answers.pop()?;
        }
    }

    fn asked_as<'a>(&self, asked: &'a str) -> Option<Asked<'a>> {
        let kind = TYPE::from(self.kind);
        // A zone's transfer, or everything about a name: nothing that a job asks for.
        let single = !matches!(kind, TYPE::Unknown(251..=255));
        let class = QCLASS::CLASS(CLASS::IN);
        name(asked).filter(|_| single).map(|name| Asked::new(name, QTYPE::TYPE(kind), class, false))
    }
}

fn name(text: &str) -> Option<simple_dns::Name<'_>> {
    simple_dns::Name::new(text).ok()
}

/// What a host's name or a service's may have. Everything else would be somebody's trick on whoever reads it later.
fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=253).contains(&name.len()) && name.chars().all(plain)
}

/// Single bits of a few bytes.
mod rand {
    pub(super) trait Bits {
        fn bit(&self, at: usize) -> bool;
    }

    impl Bits for [u8; 32] {
        fn bit(&self, at: usize) -> bool {
            self[at / 8 % 32] >> (at % 8) & 1 == 1
        }
    }
}
