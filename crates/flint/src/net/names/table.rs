//! One slot's questions that are under way: bounded, and each answered once.

use super::super::egress::Name;
use super::question::{Answer, Question};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Questions under way; one more pushes out the oldest.
const ASKED_MAX: usize = 256;

/// After this without an answer the next resolver is asked.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who asked: on which of the slot's sockets, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asker {
    pub(super) socket: usize,
    pub(super) from: SocketAddr,
}

/// What a packet leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Ignore,
    /// Ask this resolver.
    Ask { resolver: usize, packet: Vec<u8> },
    /// Answer.
    Reply { to: Asker, packet: Vec<u8> },
    /// Have these addresses opened; the answer waits under the number.
    Open { number: u64, addresses: Vec<(std::net::IpAddr, u32)> },
    /// Answer, and note the name.
    Refuse { to: Asker, packet: Vec<u8>, name: String },
}

pub(super) struct Table {
    names: Vec<Name>,
    audit: bool,
    resolvers: usize,
    /// The resolver that answers, as far as is known.
    resolver: usize,
    asked: BTreeMap<u64, Asked>,
    /// Answers whose addresses are not open yet.
    waiting: BTreeMap<u64, (Asker, Vec<u8>)>,
    next: u64,
}

struct Asked {
    id: u16,
    name: String,
    question: Question,
    by: Asker,
    at: Instant,
    listed: bool,
}

impl Table {
    pub(super) fn new(names: Vec<Name>, audit: bool, resolvers: usize) -> Table {
        let (asked, waiting) = (BTreeMap::new(), BTreeMap::new());
        Table { names, audit, resolvers, resolver: 0, asked, waiting, next: 0 }
    }

    /// A guest's packet.
    pub(super) fn question(
        &mut self,
        by: Asker,
        packet: &[u8],
        now: Instant,
        chance: [u8; 34],
    ) -> Step {
        let Some(question) = Question::read(packet) else { return Step::Ignore };
        let listed = self.names.iter().any(|name| name.covers(&question.name));
        if !listed && !self.audit {
            let name = question.name.clone();
            return match question.refusal() {
                Some(packet) => Step::Refuse { to: by, packet, name },
                None => Step::Ignore,
            };
        }
        if self.asked.values().next().is_some_and(|oldest| now.duration_since(oldest.at) > PATIENCE)
        {
            self.resolver = (self.resolver + 1) % self.resolvers.max(1);
            self.asked.clear();
        }
        let [high, low, letters @ ..] = chance;
        let id = u16::from_be_bytes([high, low]);
        let Some((packet, name)) = question.ask(id, letters) else { return Step::Ignore };
        if self.asked.len() >= ASKED_MAX {
            self.asked.pop_first();
        }
        self.asked.insert(self.next, Asked { id, name, question, by, at: now, listed });
        self.next += 1;
        Step::Ask { resolver: self.resolver, packet }
    }

    /// A resolver's packet.
    pub(super) fn answer(&mut self, packet: &[u8]) -> Step {
        let found = self.asked.iter().find_map(|(number, asked)| {
            let answer = asked.question.answer(asked.id, &asked.name, packet)?;
            Some((*number, answer))
        });
        let Some((number, Answer { addresses, reply })) = found else { return Step::Ignore };
        let Some(asked) = self.asked.remove(&number) else { return Step::Ignore };
        if !asked.listed {
            return Step::Refuse { to: asked.by, packet: reply, name: asked.question.name };
        }
        // In an audit nothing is closed that would have to be opened; but what is listed is not to be noted.
        if addresses.is_empty() {
            return Step::Reply { to: asked.by, packet: reply };
        }
        if self.waiting.len() >= ASKED_MAX {
            self.waiting.pop_first();
        }
        self.waiting.insert(number, (asked.by, reply));
        Step::Open { number, addresses }
    }

    /// The addresses of an answer are open.
    pub(super) fn opened(&mut self, number: u64) -> Step {
        match self.waiting.remove(&number) {
            Some((to, packet)) => Step::Reply { to, packet },
            None => Step::Ignore,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use simple_dns::rdata::{A, RData};
    use simple_dns::{
        CLASS, Name as DnsName, Packet, PacketFlag, QCLASS, QTYPE, RCODE, ResourceRecord, TYPE,
    };
    use std::net::{IpAddr, Ipv4Addr};

    const CHANCE: [u8; 34] = [0xa5; 34];

    fn asker() -> Asker {
        Asker { socket: 0, from: ([192, 168, 241, 2], 4_000).into() }
    }

    fn table(audit: bool) -> Table {
        Table::new(vec!["*.acme.example".parse().unwrap()], audit, 2)
    }

    fn question(name: &str) -> Vec<u8> {
        let mut packet = Packet::new_query(7);
        let (kind, class) = (QTYPE::TYPE(TYPE::A), QCLASS::CLASS(CLASS::IN));
        let name = DnsName::new_unchecked(name);
        packet.questions.push(simple_dns::Question::new(name, kind, class, false));
        packet.build_bytes_vec().unwrap()
    }

    /// What a resolver says to a packet, with so many addresses.
    fn answer(asked: &[u8], addresses: u8) -> Vec<u8> {
        let asked = Packet::parse(asked).unwrap();
        let mut reply = Packet::new_reply(asked.id());
        reply.set_flags(PacketFlag::RECURSION_AVAILABLE);
        reply.questions = asked.questions.clone();
        for last in 0..addresses {
            let rdata = RData::A(A { address: Ipv4Addr::new(203, 0, 113, last).to_bits() });
            let name = asked.questions[0].qname.clone();
            reply.answers.push(ResourceRecord::new(name, CLASS::IN, 100_000, rdata));
        }
        reply.build_bytes_vec_compressed().unwrap()
    }

    fn asked(step: Step) -> Vec<u8> {
        let Step::Ask { resolver: 0, packet } = step else { panic!("{step:?}") };
        packet
    }

    #[test]
    fn a_listed_name_is_asked_for_in_letters_of_chance_and_answered_when_it_is_open() {
        let (mut table, now) = (table(false), Instant::now());
        let packet = asked(table.question(asker(), &question("Static.Acme.example"), now, CHANCE));
        let ours = Packet::parse(&packet).unwrap();
        assert_eq!(ours.id(), 0xa5a5);
        let letters = ours.questions[0].qname.to_string();
        assert!(
            letters.eq_ignore_ascii_case("static.acme.example") && letters != "static.acme.example"
        );
        let Step::Open { number, addresses } = table.answer(&answer(&packet, 1)) else { panic!() };
        assert_eq!(addresses, [(IpAddr::from([203, 0, 113, 0]), super::super::question::TTL_MAX)]);
        let Step::Reply { to, packet } = table.opened(number) else { panic!("it is open") };
        let reply = Packet::parse(&packet).unwrap();
        assert_eq!((to, reply.id(), reply.rcode()), (asker(), 7, RCODE::NoError));
        assert_eq!(reply.questions[0].qname.to_string(), "Static.Acme.example");
        assert_eq!(reply.answers[0].name.to_string(), "Static.Acme.example");
        assert_eq!(table.opened(number), Step::Ignore, "once");
    }

    #[test]
    fn who_has_not_seen_the_question_cannot_answer_it() {
        let (mut table, now) = (table(false), Instant::now());
        let packet = asked(table.question(asker(), &question("static.acme.example"), now, CHANCE));
        let mut number = answer(&packet, 1);
        number[0] ^= 1;
        let lower = answer(&packet.to_ascii_lowercase(), 1);
        let other = answer(&question("other.acme.example"), 1);
        for forged in [number, lower, other, packet.clone(), b"nonsense".to_vec()] {
            assert_eq!(table.answer(&forged), Step::Ignore);
        }
        assert!(matches!(table.answer(&answer(&packet, 1)), Step::Open { .. }));
    }

    #[test]
    fn a_name_that_is_not_listed_is_refused_and_in_an_audit_answered_and_noted() {
        let now = Instant::now();
        let step = table(false).question(asker(), &question("evil.example"), now, CHANCE);
        let Step::Refuse { packet, name, .. } = step else { panic!("{step:?}") };
        assert_eq!(Packet::parse(&packet).unwrap().rcode(), RCODE::NameError);
        assert_eq!(name, "evil.example");
        let mut audit = table(true);
        let packet = asked(audit.question(asker(), &question("evil.example"), now, CHANCE));
        let step = audit.answer(&answer(&packet, 1));
        let Step::Refuse { packet, name, .. } = step else { panic!("{step:?}") };
        assert_eq!(Packet::parse(&packet).unwrap().answers.len(), 1);
        assert_eq!(name, "evil.example");
    }

    #[test]
    fn an_answer_that_is_too_long_has_fewer_addresses() {
        let (mut table, now) = (table(false), Instant::now());
        let packet = asked(table.question(asker(), &question("static.acme.example"), now, CHANCE));
        let Step::Open { number, .. } = table.answer(&answer(&packet, 60)) else { panic!() };
        let Step::Reply { packet, .. } = table.opened(number) else { panic!() };
        let reply = Packet::parse(&packet).unwrap();
        assert!(packet.len() <= 512 && reply.answers.len() > 20, "{}", reply.answers.len());
    }

    #[test]
    fn a_resolver_that_does_not_answer_gives_way_to_the_next() {
        let (mut table, now) = (table(false), Instant::now());
        asked(table.question(asker(), &question("static.acme.example"), now, CHANCE));
        let later = now + PATIENCE * 2;
        let step = table.question(asker(), &question("static.acme.example"), later, CHANCE);
        assert!(matches!(step, Step::Ask { resolver: 1, .. }), "{step:?}");
    }

    #[test]
    fn questions_under_way_are_bounded() {
        let (mut table, now) = (table(false), Instant::now());
        for n in 0..2_000 {
            asked(table.question(asker(), &question(&format!("n{n}.acme.example")), now, CHANCE));
        }
        assert_eq!(table.asked.len(), ASKED_MAX);
    }

    #[test]
    fn what_is_no_question_gets_no_answer() {
        let mut table = table(true);
        let mut response = question("static.acme.example");
        response[2] |= 0x80;
        let two = {
            let mut packet = question("static.acme.example");
            packet[5] = 2;
            packet
        };
        for packet in [Vec::new(), vec![0; 12], response, two, question("a\"b.acme.example")] {
            assert_eq!(table.question(asker(), &packet, Instant::now(), CHANCE), Step::Ignore);
        }
    }
}
