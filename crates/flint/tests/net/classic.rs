//! Classic mode: slots on a bridge, guests with public IPv6 addresses.

use super::guest::Guest;
use super::world::{BESIDE6, SERVER, SERVER6, UPLINK, World, chain, neighbour_of};
use flint::net::{Attached, Bridge, Cidr, Error, Finding, HostNet, Ipv6, Net, Options, bridge};
use flint_core::id::Slot;
use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};

/// The neighbourhood that the uplink is in: the router asks on the link for whom it does not know.
const PREFIX: &str = "2a00:51::/64";

/// What the bridge has of it.
const BRIDGE6: &str = "2a00:51::1:0:0:2";

fn classic() -> Bridge {
    Bridge { name: "br-flint".into(), address: Ipv4Addr::new(10, 0, 0, 1), length: 24 }
}

fn world() -> World {
    World::with(|options| {
        options.bridge = Some(classic());
        options.ipv6 = Ipv6::Prefix(PREFIX.parse().unwrap());
    })
}

/// The guest's own address, as it is told.
fn own(attached: &Attached) -> Ipv6Addr {
    let six = attached.guest.ipv6.as_ref().expect("it has IPv6");
    assert_eq!(six.gateway, "fe80::1");
    six.address.strip_suffix("/128").expect("it is alone").parse().unwrap()
}

/// Only addresses of this range may begin connections to guests.
fn open_to(world: &mut World, range: &str) {
    world.egress.inbound = vec![range.parse::<Cidr>().unwrap()];
}

fn neighbours(world: &World) -> String {
    world.uplink.run("ip -6 neigh show proxy; ip neigh show nud permanent; nft list tables")
}

#[test]
fn a_guest_of_the_bridge_reaches_the_internet_over_both_protocols() {
    let world = world();
    let (server, server6) = (world.internet.udp(SERVER), world.internet.udp6(SERVER6));
    let attached = world.attach(3);
    let (guest, own) = (Guest::on(&attached), own(&attached));
    guest.say(server.address, "over IPv4");
    let (from, text) = server.next();
    assert_eq!((from.ip(), text.as_str()), (UPLINK.into(), "over IPv4"));
    server.answer(from, "back");
    assert_eq!(guest.hear_udp(), (server.address, "back".to_owned()));
    guest.say6(own, SERVER6, "over IPv6");
    let mut bytes = [0; 64];
    let (length, from) = server6.recv_from(&mut bytes).expect("a datagram arrives");
    assert_eq!((from.ip(), &bytes[..length]), (own.into(), &b"over IPv6"[..]), "under its own");
    // The router asks who has the address; the host answers for the guest.
    server6.send_to(b"back", from).unwrap();
    assert_eq!(guest.hear_udp6(), (SERVER6, "back".to_owned()));
}

#[test]
fn a_guest_is_reached_at_its_own_address_only_where_allowed() {
    let mut world = world();
    open_to(&mut world, &format!("{SERVER6}/128"));
    let (allowed, stranger) = (world.internet.udp6(SERVER6), world.internet.udp6(BESIDE6));
    let attached = world.attach(3);
    let (guest, own) = (Guest::on(&attached), own(&attached));
    stranger.send_to(b"a stranger", (own, 4000)).unwrap();
    allowed.send_to(b"an invited one", (own, 4000)).unwrap();
    assert_eq!(guest.hear_udp6(), (SERVER6, "an invited one".to_owned()), "and nobody before");
    world.detach(3);
    open_to(&mut world, &format!("{BESIDE6}/128"));
    let guest = Guest::on(&world.attach(3));
    allowed.send_to(b"no more", (own, 4000)).unwrap();
    stranger.send_to(b"invited now", (own, 4000)).unwrap();
    assert_eq!(guest.hear_udp6(), (BESIDE6, "invited now".to_owned()), "the control");
}

#[test]
fn guests_of_the_bridge_do_not_reach_each_other_or_the_host() {
    let mut world = world();
    open_to(&mut world, "::/0");
    let (server6, host) = (world.internet.udp6(SERVER6), world.uplink.udp(Ipv4Addr::UNSPECIFIED));
    let [one, other] = [1, 2].map(|slot| world.attach(slot));
    let [guest, neighbour] = [&one, &other].map(Guest::on);
    let [mine, theirs] = [own(&one), own(&other)];
    let inner = Ipv4Addr::new(10, 0, 0, 4);
    for to in [inner, classic().address, UPLINK] {
        guest.say(SocketAddrV4::new(to, 7), "to a neighbour, the bridge, the uplink");
        assert_eq!(guest.hear_refusal(), to);
    }
    guest.say6(mine, theirs, "to a neighbour");
    assert_eq!(guest.hear_refusal6(), theirs);
    let host6: Ipv6Addr = BRIDGE6.parse().unwrap();
    guest.say6(mine, host6, "to the host");
    assert_eq!(guest.hear_refusal6(), host6);
    server6.send_to(b"from outside", (theirs, 4000)).unwrap();
    assert_eq!(neighbour.hear_udp6(), (SERVER6, "from outside".to_owned()), "nothing before it");
    host.heard_nothing();
}

#[test]
fn a_port_says_nothing_in_anothers_name() {
    let world = world();
    let server = world.internet.udp(SERVER);
    world.attach(1);
    // As if a guest had taken over its slot's namespace.
    world.run_in_slot(
        1,
        "nft flush ruleset
         ip addr add 10.0.0.9/24 dev uplink0
         ip addr add 2a00:51::1:0:9:9/80 dev uplink0 nodad",
    );
    let spoofed = world.udp_in_slot(1, Ipv4Addr::new(10, 0, 0, 9));
    spoofed.say(server.address, "another's").unwrap();
    let own = world.udp_in_slot(1, Ipv4Addr::new(10, 0, 0, 3));
    own.say(server.address, "its own").unwrap();
    assert_eq!(server.next().1, "its own", "the control, and nothing before it");
}

#[test]
fn nothing_of_a_slot_stays_at_the_bridge_and_nothing_of_the_bridge_on_the_host() {
    let world = world();
    assert!(world.wait(world.net.raise_bridge()).unwrap());
    let before = neighbours(&world);
    // Made again, it is as it was.
    assert!(world.wait(world.net.raise_bridge()).unwrap());
    assert_eq!(neighbours(&world), before);
    world.attach(1);
    let state = world.wait(world.net.bridge()).unwrap().unwrap();
    assert_eq!(state.ports, [format!("{}-1", world.options.prefix)]);
    assert_eq!(state.proxied.len(), 2, "the bridge's own and the guest's: {state}");
    let used = world.wait(world.net.lower_bridge()).unwrap_err();
    assert!(
        matches!(used, Error::Bridge { source: bridge::Error::InUse { .. }, .. }),
        "{}",
        chain(&used)
    );
    world.detach(1);
    let table = format!("table {}\n", world.table());
    assert_eq!(neighbours(&world).replace(&table, ""), before);
    assert!(world.wait(world.net.lower_bridge()).unwrap());
    assert!(!world.wait(world.net.lower_bridge()).unwrap(), "once more there is nothing to do");
    assert_eq!(world.uplink.run("ip -6 neigh show proxy; ip -o link | grep br- || true"), "");
    assert_eq!(world.wait(world.net.bridge()).unwrap().unwrap().to_string().lines().count(), 2);
}

#[test]
fn slots_that_come_at_once_find_one_bridge_and_leave_nothing_there() {
    // Without IPv6, as well.
    let world = World::with(|options| options.bridge = Some(classic()));
    let attach = |slot| world.net.attach(Slot(slot), 12_345, &world.egress);
    let (one, two) = world.wait(async { tokio::join!(attach(1), attach(2)) });
    assert!(one.is_ok() && two.is_ok(), "{one:?} {two:?}");
    let ports = world.wait(world.net.bridge()).unwrap().unwrap().ports;
    assert_eq!(ports.len(), 2, "{ports:?}");
    world.detach(1);
    world.detach(2);
    assert_eq!(world.uplink.run("ip neigh show nud permanent"), "");
}

#[test]
fn a_second_bridge_with_the_same_ipv6_network_is_not_made() {
    let world = world();
    world.attach(1);
    let address = Ipv4Addr::new(10, 1, 0, 1);
    let bridge = Some(Bridge { name: "br-second".into(), address, ..classic() });
    let other = Options { bridge, ..neighbour_of(&world, world.options.pool) };
    let second = HostNet::new(other.clone()).unwrap();
    let refused = world.wait(second.raise_bridge()).unwrap_err();
    assert!(
        matches!(&refused, Error::PoolTaken { interface, .. } if interface == "br-flint"),
        "{}",
        chain(&refused)
    );
    assert_eq!(world.uplink.run("ip -o link | grep br-second || true"), "");
    let third = HostNet::new(Options { ipv6: Ipv6::Off, ..other }).unwrap();
    assert!(world.wait(third.raise_bridge()).unwrap(), "the control");
}

#[test]
fn what_stands_in_a_bridges_way_is_found() {
    let elsewhere = Ipv6::Prefix("2a00:9::/64".parse().unwrap());
    let world = World::with(|options| {
        options.bridge = Some(classic());
        options.ipv6 = elsewhere;
    });
    world.uplink.run("ip link add br-flint type bridge");
    let found = world.wait(world.net.check()).unwrap();
    let kinds = |finding: &Finding| match finding {
        Finding::ForeignBridge { .. } => 1,
        Finding::PrefixElsewhere { interface, .. } if interface == "eth0" => 2,
        _ => 0,
    };
    assert_eq!(found.iter().map(kinds).collect::<Vec<_>>(), [1, 2], "{found:?}");
    let fine = self::world();
    assert_eq!(fine.wait(fine.net.check()).unwrap(), [], "the control");
}

#[test]
fn somebody_elses_bridge_is_left_alone() {
    let world = world();
    world.uplink.run("ip link add br-flint type bridge");
    let refused = world.attach_fails(1);
    assert!(
        matches!(refused, Error::Bridge { source: bridge::Error::Foreign { .. }, .. }),
        "{}",
        chain(&refused)
    );
    assert!(refused.help().unwrap().contains("alias"));
    for error in [
        world.wait(world.net.raise_bridge()).unwrap_err(),
        world.wait(world.net.lower_bridge()).map(|_| false).unwrap_err(),
    ] {
        assert!(
            matches!(error, Error::Bridge { source: bridge::Error::Foreign { .. }, .. }),
            "{}",
            chain(&error)
        );
    }
    world.detach(1);
    // Who gives it to Flint, has it used.
    world.uplink.run(&format!("ip link set br-flint alias 'flint {}'", world.options.prefix));
    world.attach(1);
    assert_eq!(world.attached(), BTreeSet::from([Slot(1)]));
}
