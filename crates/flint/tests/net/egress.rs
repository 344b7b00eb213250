//! Guests that may reach only what is listed, guests that may reach nothing, and how much each may have.

use super::frames::{Heard, SYN};
use super::guest::Guest;
use super::world::{BESIDE6, PREFIX6, PRIVATE, SERVER, SERVER6, UPLINK6, World};
use flint::net::derive::{GATEWAY, GUEST, GUEST6};
use flint::net::egress::{TRAFFIC, To, Traffic};
use flint::net::{Cidr, Egress, Ipv6, Net};
use flint::sys::netns;
use flint_core::id::Slot;
use simple_dns::rdata::{A, AAAA, RData};
use simple_dns::{CLASS, Packet, PacketFlag, Question, RCODE, ResourceRecord, TYPE};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, UdpSocket};
use std::path::Path;
use std::thread::{self, JoinHandle};

/// Another server of the internet.
const OTHER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);

fn list(ranges: &[&str], names: &[&str]) -> Egress {
    let ranges = ranges.iter().map(|range| range.parse().unwrap()).collect();
    let names = names.iter().map(|name| name.parse().unwrap()).collect();
    Egress { to: To::Listed { ranges, names }, limits: TRAFFIC, ..Egress::internet() }
}

fn world(egress: Egress, dir: &Path) -> World {
    let world = World::listed(egress, dir, |_| {});
    world.internet.run(&format!("ip addr add {OTHER}/32 dev lo"));
    world
}

/// A resolver of the internet that knows a few names, for so many questions.
fn resolver(world: &World, questions: usize) -> JoinHandle<()> {
    let bind = || UdpSocket::bind((SERVER, 53)).unwrap();
    let socket = netns::run_in(&world.internet.path(), bind).unwrap();
    thread::spawn(move || {
        for _ in 0..questions {
            let mut buffer = [0; 2048];
            let (length, from) = socket.recv_from(&mut buffer).unwrap();
            socket.send_to(&answer(&buffer[..length]), from).unwrap();
        }
    })
}

fn answer(question: &[u8]) -> Vec<u8> {
    let asked = Packet::parse(question).unwrap();
    let name = asked.questions[0].qname.to_string().to_ascii_lowercase();
    let address = match name.as_str() {
        "static.acme.example" | "elsewhere.example" => Some(IpAddr::V4(OTHER)),
        "rebound.acme.example" => Some(IpAddr::V4(PRIVATE[0])),
        "six.acme.example" => Some(IpAddr::V6(SERVER6)),
        "beside.acme.example" => Some(IpAddr::V6(BESIDE6)),
        "host.acme.example" => Some(IpAddr::V6(UPLINK6)),
        _ => None,
    };
    let mut reply = Packet::new_reply(asked.id());
    reply.set_flags(PacketFlag::RECURSION_AVAILABLE);
    reply.questions = asked.questions.clone();
    match address {
        Some(address) => {
            let rdata = match address {
                IpAddr::V4(address) => RData::A(A { address: address.to_bits() }),
                IpAddr::V6(address) => RData::AAAA(AAAA { address: address.to_bits() }),
            };
            let name = asked.questions[0].qname.clone();
            reply.answers.push(ResourceRecord::new(name, CLASS::IN, 60, rdata));
        }
        None => *reply.rcode_mut() = RCODE::NameError,
    }
    reply.build_bytes_vec().unwrap()
}

/// Asks the slot's resolver for a name; its addresses, or the refusal.
pub(super) fn ask(guest: &Guest, name: &str) -> Result<Vec<Ipv4Addr>, RCODE> {
    let v4 = |record| match record {
        RData::A(A { address }) => Some(Ipv4Addr::from_bits(address)),
        _ => None,
    };
    ask_for(guest, name, TYPE::A).map(|found| found.into_iter().filter_map(v4).collect())
}

/// The same for its IPv6 addresses.
fn ask6(guest: &Guest, name: &str) -> Result<Vec<Ipv6Addr>, RCODE> {
    let v6 = |record| match record {
        RData::AAAA(AAAA { address }) => Some(Ipv6Addr::from_bits(address)),
        _ => None,
    };
    ask_for(guest, name, TYPE::AAAA).map(|found| found.into_iter().filter_map(v6).collect())
}

fn say_question(guest: &Guest, name: &str, kind: TYPE) {
    let mut packet = Packet::new_query(77);
    let name = simple_dns::Name::new_unchecked(name);
    let class = simple_dns::QCLASS::CLASS(CLASS::IN);
    packet.questions.push(Question::new(name, simple_dns::QTYPE::TYPE(kind), class, false));
    let bytes = packet.build_bytes_vec().unwrap();
    guest.say_bytes(SocketAddrV4::new(GATEWAY, 53), &bytes);
}

fn ask_for(guest: &Guest, name: &str, kind: TYPE) -> Result<Vec<RData<'static>>, RCODE> {
    say_question(guest, name, kind);
    let reply = guest.hear(|heard| match heard {
        Heard::Udp { from, payload } if from == SocketAddrV4::new(GATEWAY, 53) => Some(payload),
        _ => None,
    });
    let reply = Packet::parse(&reply).unwrap();
    assert_eq!(reply.id(), 77);
    match reply.rcode() {
        RCODE::NoError => {
            Ok(reply.answers.iter().map(|record| record.rdata.clone().into_owned()).collect())
        }
        refused => Err(refused),
    }
}

#[test]
fn a_guest_with_a_list_reaches_its_ranges_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(list(&["203.0.113.9", "10.99.0.1"], &[]), dir.path());
    let guest = world.guest(0);
    for listed in [OTHER, PRIVATE[0]] {
        let server = world.internet.udp(listed);
        guest.say(server.address, "listed");
        assert_eq!(server.next().1, "listed");
    }
    let server = world.internet.udp(SERVER);
    for _ in 0..3 {
        guest.say(server.address, "not listed");
        assert_eq!(guest.hear_refusal(), SERVER);
    }
    server.heard_nothing();
    let told = [
        "egress: refused: 203.0.113.5:7 over udp, 3 times",
        "egress: refused: 3 packets of connections in all",
    ];
    assert_eq!(world.refusals(0), told);
    world.run_in_slot(0, "nft add element inet flint flint_listed4 '{ 203.0.113.5 }'");
    guest.say(server.address, "control");
    assert_eq!(server.next().1, "control");
}

#[test]
fn a_guest_that_may_go_nowhere_has_no_resolver_either() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(list(&[], &[]), dir.path());
    let attached = world.attach(0);
    assert!(attached.guest.dns.is_empty());
    let guest = Guest::on(&attached);
    guest.say(SocketAddrV4::new(SERVER, 53), "name?");
    assert_eq!(guest.hear_refusal(), SERVER);
}

#[test]
fn a_listed_names_addresses_are_open_when_the_guest_has_its_answer_and_others_stay_closed() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(list(&[], &["*.acme.example"]), dir.path());
    let resolver = resolver(&world, 2);
    let attached = world.attach(0);
    assert_eq!(attached.guest.dns, [GATEWAY.to_string()]);
    let guest = Guest::on(&attached);
    let server = world.internet.udp(OTHER);
    guest.say(server.address, "too early");
    assert_eq!(guest.hear_refusal(), OTHER);
    assert_eq!(ask(&guest, "static.acme.example"), Ok(vec![OTHER]));
    guest.say(server.address, "now");
    assert_eq!(server.next().1, "now");
    // The list's own words decide, not where a name leads.
    assert_eq!(ask(&guest, "elsewhere.example"), Err(RCODE::NameError));
    assert_eq!(ask(&guest, "acme.example.evil.example"), Err(RCODE::NameError));
    assert_eq!(ask(&guest, "rebound.acme.example"), Ok(vec![PRIVATE[0]]));
    guest.say(SocketAddrV4::new(PRIVATE[0], 7), "rebound");
    assert_eq!(guest.hear_refusal(), PRIVATE[0]);
    resolver.join().unwrap();
    let told = world.refusals(0);
    assert!(
        told.contains(&"egress: refused: the name elsewhere.example, once".to_owned()),
        "{told:?}"
    );
    let set = world.run_in_slot(0, "nft list set inet flint flint_named4");
    assert!(set.contains("203.0.113.9 timeout 1m30s expires"), "{set}");
}

/// A machine beside the host has a global address, which no static list has.
#[test]
fn a_listed_name_that_points_beside_the_host_or_to_it_opens_nothing_there() {
    for ipv6 in [Ipv6::Nat, Ipv6::Prefix(PREFIX6.parse().unwrap())] {
        let dir = tempfile::tempdir().unwrap();
        let names = list(&[], &["*.acme.example"]);
        let world = World::listed(names, dir.path(), |options| options.ipv6 = ipv6);
        let resolver = resolver(&world, 3);
        let guest = world.guest(0);
        let server = world.internet.udp6(SERVER6);
        assert_eq!(ask6(&guest, "six.acme.example"), Ok(vec![SERVER6]));
        guest.say6(GUEST6, SERVER6, "the control");
        assert_eq!(server.recv(&mut [0; 64]).unwrap(), 11);
        for (name, denied) in [("beside.acme.example", BESIDE6), ("host.acme.example", UPLINK6)] {
            assert_eq!(ask6(&guest, name), Ok(vec![denied]));
            guest.say6(GUEST6, denied, "rebound");
            assert_eq!(guest.hear_refusal6(), denied);
        }
        resolver.join().unwrap();
    }
}

#[test]
fn a_listed_names_denied_address_is_open_where_the_hosts_owner_allows_it() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::listed(list(&[], &["*.acme.example"]), dir.path(), |options| {
        options.ipv6 = Ipv6::Nat;
        options.allow = vec![Cidr::around(BESIDE6.into(), 128)];
    });
    let resolver = resolver(&world, 1);
    let (guest, beside) = (world.guest(0), world.internet.udp6(BESIDE6));
    guest.say6(GUEST6, BESIDE6, "before it is asked for");
    assert_eq!(guest.hear_refusal6(), BESIDE6);
    assert_eq!(ask6(&guest, "beside.acme.example"), Ok(vec![BESIDE6]));
    guest.say6(GUEST6, BESIDE6, "allowed");
    assert_eq!(beside.recv(&mut [0; 64]).unwrap(), 7);
    resolver.join().unwrap();
}

#[test]
fn what_could_not_be_opened_is_opened_when_it_is_asked_for_again() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(list(&[], &["*.acme.example"]), dir.path());
    let resolver = resolver(&world, 3);
    let [guest, other] = [0, 1].map(|slot| world.guest(slot));
    world.run_in_slot(0, "nft flush ruleset");
    say_question(&guest, "static.acme.example", TYPE::A);
    // By the time that another's is open, this one's has failed.
    assert_eq!(ask(&other, "static.acme.example"), Ok(vec![OTHER]));
    assert_eq!(ask(&guest, "elsewhere.example"), Err(RCODE::NameError));
    world.run_in_slot(
        0,
        "nft 'table inet flint {
             set flint_named4 { type ipv4_addr; flags timeout; }
         }'",
    );
    assert_eq!(ask(&guest, "static.acme.example"), Ok(vec![OTHER]));
    let set = world.run_in_slot(0, "nft list set inet flint flint_named4");
    assert!(set.contains("203.0.113.9"), "what is answered is open: {set}");
    resolver.join().unwrap();
}

#[test]
fn an_audit_lets_through_what_is_not_listed_and_notes_it() {
    let dir = tempfile::tempdir().unwrap();
    let audit = Egress { audit: true, ..list(&[], &["*.acme.example"]) };
    let world = world(audit, dir.path());
    let resolver = resolver(&world, 1);
    let guest = world.guest(0);
    assert_eq!(ask(&guest, "elsewhere.example"), Ok(vec![OTHER]));
    resolver.join().unwrap();
    let server = world.internet.udp(OTHER);
    guest.say(server.address, "not listed");
    assert_eq!(server.next().1, "not listed");
    // What nobody may reach is refused in an audit, too.
    guest.say(SocketAddrV4::new(PRIVATE[0], 7), "private");
    assert_eq!(guest.hear_refusal(), PRIVATE[0]);
    let told = world.refusals(0).join("\n");
    for line in [
        "refused: 10.99.0.1:7 over udp, once",
        "not listed, let through: the name elsewhere.example, once",
        "not listed, let through: 203.0.113.9:7 over udp, once",
    ] {
        assert!(told.contains(line), "{told}");
    }
}

#[test]
fn names_are_served_again_after_a_restart_of_the_daemon_and_open_ones_stay_open_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let mut world = world(list(&[], &["*.acme.example"]), dir.path());
    let resolver = resolver(&world, 2);
    let guest = world.guest(0);
    assert_eq!(ask(&guest, "static.acme.example"), Ok(vec![OTHER]));
    world.restart();
    let server = world.internet.udp(OTHER);
    guest.say(server.address, "still open");
    assert_eq!(server.next().1, "still open");
    assert_eq!(ask(&guest, "static.acme.example"), Ok(vec![OTHER]));
    assert_eq!(ask(&guest, "elsewhere.example"), Err(RCODE::NameError));
    resolver.join().unwrap();
    world.detach(0);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn the_resolvers_process_is_started_anew_when_it_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(list(&[], &["*.acme.example"]), dir.path());
    let resolver = resolver(&world, 1);
    let guest = world.guest(0);
    assert_eq!(ask(&guest, "elsewhere.example"), Err(RCODE::NameError));
    let mut pid = world.names.as_ref().unwrap().pid();
    let first = *pid.borrow_and_update();
    let process = rustix::process::Pid::from_raw(first).unwrap();
    rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
    world.wait(pid.changed()).unwrap();
    assert_ne!(*pid.borrow(), first);
    assert_eq!(ask(&guest, "static.acme.example"), Ok(vec![OTHER]));
    resolver.join().unwrap();
}

#[test]
fn a_list_of_names_without_a_resolver_is_no_network() {
    let mut world = World::new();
    world.egress = list(&[], &["acme.example"]);
    let refused = super::world::chain(&world.attach_fails(0));
    assert_eq!(
        refused,
        "cannot resolve names for guests: cannot hold slot 0 to a list of names: the resolver does not run"
    );
}

#[test]
fn other_resolvers_are_refused_to_everybody() {
    let world = World::new();
    let guest = world.guest(0);
    for port in [53, 853] {
        guest.say(SocketAddrV4::new(OTHER, port), "name?");
        assert_eq!(guest.hear_refusal(), OTHER);
    }
}

#[test]
fn connections_beyond_the_limit_are_refused_and_those_below_it_are_not() {
    let mut world = World::new();
    world.egress.limits = Traffic { connections: 16, ..TRAFFIC };
    let guest = world.guest(0);
    let connect = |port: u16| {
        let from = SocketAddrV4::new(GUEST, port);
        guest.send(&super::frames::tcp(
            [guest.mac, guest.gateway],
            [from, SocketAddrV4::new(OTHER, 80)],
            SYN,
            [1, 0],
        ));
    };
    (0..17).for_each(|n| connect(5_000 + n));
    assert_eq!(guest.hear_refusal(), OTHER);
    assert_eq!(
        world.refusals(0),
        [
            "egress: refused: 203.0.113.9:80 over tcp, once",
            "egress: refused: 1 packets of connections in all",
        ]
    );
}

#[test]
fn what_comes_above_the_bandwidth_is_lost() {
    let mut world = World::new();
    world.egress.limits = Traffic { bytes_per_second: Some(1_000), ..TRAFFIC };
    let server = world.internet.udp(SERVER);
    let guest = world.guest(0);
    let kilobyte = "x".repeat(1_000);
    (0..1_000).for_each(|_| guest.say(server.address, &kilobyte));
    let passed = world.run_in_slot(0, "grep uplink0 /proc/net/dev | awk '{ print $10 }'");
    let passed: u64 = passed.trim().parse().unwrap();
    // A burst of 256 KiB, and what the sending took: never most of the million bytes.
    assert!((200_000..700_000).contains(&passed), "{passed}");
}

#[test]
fn refusals_of_a_slot_that_is_not_there_are_none() {
    let world = World::new();
    assert!(world.wait(world.net.refusals(Slot(9))).unwrap().lines().is_empty());
}
