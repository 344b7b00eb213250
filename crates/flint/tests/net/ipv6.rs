//! Guests with IPv6: whom they reach, under which address, and whom not.

use super::frames;
use super::world::{BESIDE6, PREFIX6, PRIVATE6, SERVER6, UPLINK6, World};
use flint::net::derive::{GATEWAY6, GUEST6, mac_of};
use flint::net::{Finding, Ipv6};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

fn translated() -> World {
    World::with(|options| options.ipv6 = Ipv6::Nat)
}

fn next(server: &UdpSocket) -> (IpAddr, String) {
    let mut buffer = [0; 2048];
    let (length, from) = server.recv_from(&mut buffer).expect("a datagram arrives");
    (from.ip(), String::from_utf8(buffer[..length].to_vec()).unwrap())
}

#[test]
fn a_guest_talks_with_the_internet_under_the_uplinks_address() {
    let world = translated();
    let server = world.internet.udp6(SERVER6);
    let guest = world.guest(0);
    guest.say6(GUEST6, SERVER6, "ping");
    let mut buffer = [0; 16];
    let (length, from) = server.recv_from(&mut buffer).unwrap();
    assert_eq!((from.ip(), &buffer[..length]), (IpAddr::V6(UPLINK6), b"ping".as_slice()));
    server.send_to(b"pong", from).unwrap();
    assert_eq!(guest.hear_udp6(), (SERVER6, "pong".to_owned()));
}

#[test]
fn a_slot_is_seen_under_an_address_of_the_prefix_that_is_routed_here() {
    let world = World::with(|options| options.ipv6 = Ipv6::Prefix(PREFIX6.parse().unwrap()));
    let server = world.internet.udp6(SERVER6);
    let seen = [0, 7].map(|slot| {
        world.guest(slot).say6(GUEST6, SERVER6, "who am I");
        next(&server).0.to_string()
    });
    assert_eq!(seen, ["2a00:9::3", "2a00:9::11"]);
}

#[test]
fn nobody_reaches_a_slot_from_outside_under_its_own_address() {
    let world = World::with(|options| options.ipv6 = Ipv6::Prefix(PREFIX6.parse().unwrap()));
    let server = world.internet.udp6(SERVER6);
    let guest = world.guest(0);
    let inside: Ipv6Addr = "2a00:9::3".parse().unwrap();
    let bind = || UdpSocket::bind((inside, 7)).unwrap();
    let socket = flint::sys::netns::run_in(&world.slot_path(0), bind).unwrap();
    socket.set_nonblocking(true).unwrap();
    server.send_to(b"let me in", (inside, 7)).unwrap();
    // A later answer of the same server arrives, so that one has met its fate.
    guest.say6(GUEST6, SERVER6, "say something");
    let from = server.recv_from(&mut [0; 64]).unwrap().1;
    server.send_to(b"later", from).unwrap();
    assert_eq!(guest.hear_udp6().1, "later");
    assert!(socket.recv(&mut [0; 64]).is_err());
    let table = world.table();
    world.uplink.run(&format!("nft flush chain {table} flint_to_slots"));
    world.run_in_slot(0, "nft 'add chain inet flint flint_input { type filter hook input priority filter; policy accept; }'");
    socket.set_nonblocking(false).unwrap();
    server.send_to(b"control", (inside, 7)).unwrap();
    assert_eq!(socket.recv(&mut [0; 64]).unwrap(), 7);
}

#[test]
fn private_ranges_hidden_ipv4_and_the_hosts_neighbourhood_are_refused() {
    let world = translated();
    let guest = world.guest(0);
    let hidden = "64:ff9b::a63:1".parse().unwrap();
    for denied in [PRIVATE6, hidden, BESIDE6, "2002:a63:1::1".parse().unwrap()] {
        guest.say6(GUEST6, denied, "let me in");
        assert_eq!(guest.hear_refusal6(), denied);
    }
    // Control: without the rule the neighbour hears it.
    let beside = world.internet.udp6(BESIDE6);
    world.run_in_slot(0, "nft flush set inet flint flint_deny6");
    guest.say6(GUEST6, BESIDE6, "control");
    assert_eq!(next(&beside).1, "control");
}

#[test]
fn no_address_of_the_host_is_reached() {
    let world = translated();
    let host = world.uplink.udp6(UPLINK6);
    let guest = world.guest(0);
    guest.say6(GUEST6, UPLINK6, "let me in");
    assert_eq!(guest.hear_refusal6(), UPLINK6);
    // Neither ring alone is needed.
    world.run_in_slot(0, "nft flush set inet flint flint_deny6");
    guest.say6(GUEST6, UPLINK6, "let me in");
    assert_eq!(guest.hear_refusal6(), UPLINK6);
    world.uplink.run(&format!("nft flush chain {} flint_input", world.table()));
    guest.say6(GUEST6, UPLINK6, "control");
    assert_eq!(next(&host).1, "control");
}

#[test]
fn a_guest_cannot_use_another_source_address_or_a_routing_header() {
    let world = translated();
    let server = world.internet.udp6(SERVER6);
    let guest = world.guest(0);
    for stranger in ["fd46:4c49:4e54::9", "2a00:51::2", "fe80::1"] {
        guest.say6(stranger.parse().unwrap(), SERVER6, "spoofed");
        guest.say6(GUEST6, SERVER6, "honest");
        assert_eq!(next(&server).1, "honest");
    }
    for header in [0, 43, 60] {
        guest.send(&frames::udp6_behind(
            header,
            [guest.mac, guest.gateway],
            (GUEST6, SERVER6),
            b"behind",
        ));
        guest.say6(GUEST6, SERVER6, "honest");
        assert_eq!(next(&server).1, "honest");
    }
    world.run_in_slot(0, "nft flush chain inet flint flint_from_guest");
    guest.say6("fd46:4c49:4e54::9".parse().unwrap(), SERVER6, "control");
    assert_eq!(next(&server).1, "control");
    guest.send(&frames::udp6_behind(60, [guest.mac, guest.gateway], (GUEST6, SERVER6), b"control"));
    assert_eq!(next(&server).1, "control");
}

#[test]
fn what_a_guest_advertises_changes_nothing() {
    let world = translated();
    let guest = world.guest(0);
    let state = |world: &World| {
        let slot = world.run_in_slot(
            0,
            "ip -6 route show table all; ip -6 addr show; ip -6 neigh show nud permanent",
        );
        slot + &world.uplink.run("ip -6 route show default")
    };
    let before = state(&world);
    let link_local = "fe80::bad".parse().unwrap();
    for kind in [frames::ROUTER_ADVERTISEMENT, frames::NEIGHBOUR_ADVERTISEMENT, frames::REDIRECT] {
        for from in [link_local, GUEST6] {
            guest.send(&frames::icmp6(kind, [guest.mac, guest.gateway], from, GATEWAY6));
        }
    }
    let server = world.internet.udp6(SERVER6);
    guest.say6(GUEST6, SERVER6, "later");
    assert_eq!(next(&server).1, "later");
    assert_eq!(state(&world), before);
}

#[test]
fn a_prefix_that_is_a_links_or_the_hosts_own_is_found() {
    let world = World::with(|options| options.ipv6 = Ipv6::Prefix("2a00:51::/64".parse().unwrap()));
    let found = world.wait(world.net.check()).unwrap();
    let [Finding::PrefixOnLink { route, interface, .. }] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!((route.to_string().as_str(), interface.as_str()), ("2a00:51::/64", "eth0"));
    let world = World::with(|options| options.ipv6 = Ipv6::Prefix(PREFIX6.parse().unwrap()));
    // The first two are left to routers; the slot's own are its own.
    world.uplink.run("ip addr add 2a00:9::1/128 dev lo");
    world.attach(0);
    assert_eq!(world.wait(world.net.check()).unwrap(), [], "the control");
    world.uplink.run("ip addr add 2a00:9::5/128 dev lo");
    let found = world.wait(world.net.check()).unwrap();
    let [Finding::PrefixOfHost { address, interface, .. }] = found.as_slice() else {
        panic!("{found:?}")
    };
    assert_eq!((address.to_string().as_str(), interface.as_str()), ("2a00:9::5", "lo"));
}

#[test]
fn a_guest_without_ipv6_is_told_of_none() {
    let (with, without) = (translated(), World::new());
    let six = with.attach(0).guest.ipv6.unwrap();
    assert_eq!(
        (six.address.as_str(), six.gateway.as_str()),
        ("fd46:4c49:4e54::2/64", "fd46:4c49:4e54::1")
    );
    assert_eq!(without.attach(0).guest.ipv6, None);
    assert_eq!(mac_of(Ipv4Addr::new(192, 168, 241, 2)), frames::GUEST_MAC);
}
