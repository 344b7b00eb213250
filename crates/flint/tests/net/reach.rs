//! What a guest reaches, and under which address it is seen.

use super::world::{PRIVATE, SERVER, UPLINK, World};
use flint::net::derive::{GATEWAY, mac_of};
use flint::sys::netns;
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4, TcpListener};

#[test]
fn a_guest_talks_with_the_internet_under_the_uplinks_address() {
    let world = World::new();
    let server = world.internet.udp(SERVER);
    let guest = world.guest(0);
    guest.say(server.address, "ping");
    let (from, said) = server.next();
    assert_eq!((from.ip(), said.as_str()), (IpAddr::V4(UPLINK), "ping"));
    server.answer(from, "pong");
    assert_eq!(guest.hear_udp(), (server.address, "pong".to_owned()));
}

#[test]
fn each_guest_leaves_its_slot_under_the_slots_address() {
    let world = World::new();
    let server = world.internet.udp(SERVER);
    let guests = [world.guest(0), world.guest(7)];
    // Without the second translation the first shows.
    world.uplink.run(&format!("nft flush chain {} flint_postrouting", world.table()));
    let seen = guests.map(|guest| {
        guest.say(server.address, "who am I");
        server.next().0.ip()
    });
    assert_eq!(seen, [[10, 213, 0, 1], [10, 213, 0, 15]].map(IpAddr::from));
}

#[test]
fn a_guest_opens_a_tcp_connection() {
    let world = World::new();
    let address = SocketAddrV4::new(SERVER, 80);
    let bind = || TcpListener::bind(address);
    let listener = netns::run_in(&world.internet.path(), bind).unwrap().unwrap();
    world.guest(0).connect(address);
    assert_eq!(listener.accept().unwrap().1.ip(), IpAddr::V4(UPLINK));
}

#[test]
fn a_guest_finds_its_gateway_at_a_fixed_mac() {
    let world = World::new();
    assert_eq!(world.guest(0).gateway, mac_of(GATEWAY));
}

#[test]
fn a_guest_may_ask_the_configured_resolver_and_only_for_names() {
    let resolver = PRIVATE[0];
    let world = World::with(|options| options.dns = vec![IpAddr::V4(resolver)]);
    let attached = world.attach(0);
    assert_eq!(attached.guest.dns, [resolver.to_string()]);
    let guest = super::guest::Guest::on(&attached);
    let bind = || std::net::UdpSocket::bind(SocketAddrV4::new(resolver, 53));
    let names = netns::run_in(&world.internet.path(), bind).unwrap().unwrap();
    guest.say(SocketAddrV4::new(resolver, 53), "name?");
    assert_eq!(names.recv(&mut [0; 16]).unwrap(), 5);
    guest.say(SocketAddrV4::new(resolver, 7), "more?");
    assert_eq!(guest.hear_refusal(), resolver);
}

#[test]
fn a_private_range_that_is_allowed_is_reached_and_its_neighbour_is_not() {
    let world = World::with(|options| options.allow = vec!["10.99.0.1".parse().unwrap()]);
    let server = world.internet.udp(PRIVATE[0]);
    let guest = world.guest(0);
    guest.say(server.address, "GHES?");
    assert_eq!(server.next().1, "GHES?");
    let neighbour = Ipv4Addr::new(10, 99, 0, 2);
    guest.say(SocketAddrV4::new(neighbour, 7), "and you?");
    assert_eq!(guest.hear_refusal(), neighbour);
}
