//! What a guest does not reach. Each denial has its control: without the rule the same packet arrives.

use super::frames;
use super::guest::Guest;
use super::world::{PRIVATE, SERVER, UPLINK, World};
use flint::net::derive::{GATEWAY, GUEST, mac_of};
use flint::sys::netns;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

#[test]
fn a_guest_reaches_neither_private_ranges_nor_the_metadata_service() {
    let world = World::new();
    let guest = world.guest(0);
    for private in PRIVATE {
        let server = world.internet.udp(private);
        guest.say(server.address, "let me in");
        assert_eq!(guest.hear_refusal(), private);
        server.heard_nothing();
    }
    world.run_in_slot(0, "nft flush set inet flint flint_deny4");
    for private in PRIVATE {
        let server = world.internet.udp(private);
        guest.say(server.address, "control");
        assert_eq!(server.next().1, "control");
    }
}

#[test]
fn a_guest_does_not_reach_the_host() {
    let world = World::new();
    let guest = world.guest(0);
    // The veth's address is private, too; the slot's own refusal is not what is shown here.
    world.run_in_slot(0, "nft flush set inet flint flint_deny4");
    let hosts = [UPLINK, Ipv4Addr::new(10, 213, 0, 0)].map(|address| world.uplink.udp(address));
    for host in &hosts {
        guest.say(host.address, "let me in");
        assert_eq!(guest.hear_refusal(), *host.address.ip());
        host.heard_nothing();
    }
    world.uplink.run(&format!("nft flush chain {} flint_input", world.table()));
    for host in &hosts {
        guest.say(host.address, "control");
        assert_eq!(host.next().1, "control");
    }
}

#[test]
fn a_guest_does_not_reach_another_slot_for_three_reasons() {
    let world = World::new();
    let (guest, _other) = (world.guest(0), world.guest(1));
    let other = world.udp_in_slot(1, Ipv4Addr::new(10, 213, 0, 3));
    guest.say(other.address, "its own slot refuses");
    assert_eq!(guest.hear_refusal(), *other.address.ip());

    world.run_in_slot(0, "nft flush set inet flint flint_deny4");
    guest.say(other.address, "the uplink refuses");
    assert_eq!(guest.hear_refusal(), *other.address.ip());

    let table = world.table();
    world.uplink.run(&format!(
        "nft flush chain {table} flint_from_slots; nft flush chain {table} flint_to_slots"
    ));
    guest.say(other.address, "the other slot drops");
    prove_delivered(&world, &guest);
    other.heard_nothing();

    open(&world, 1, "input");
    guest.say(other.address, "control");
    assert_eq!(other.next().1, "control");
}

#[test]
fn a_guest_does_not_reach_into_its_own_slots_namespace() {
    let world = World::new();
    let guest = world.guest(0);
    let inside = world.udp_in_slot(0, GATEWAY);
    guest.say(inside.address, "let me in");
    prove_delivered(&world, &guest);
    inside.heard_nothing();
    open(&world, 0, "input");
    guest.say(inside.address, "control");
    assert_eq!(inside.next().1, "control");
}

#[test]
fn a_vmm_in_the_slots_namespace_has_no_network_of_its_own() {
    let world = World::new();
    world.attach(0);
    let server = world.internet.udp(SERVER);
    let vmm = world.udp_in_slot(0, Ipv4Addr::UNSPECIFIED);
    assert_eq!(vmm.say(server.address, "let me out"), Err(ErrorKind::PermissionDenied));
    server.heard_nothing();
    open(&world, 0, "output");
    vmm.say(server.address, "control").unwrap();
    assert_eq!(server.next().1, "control");
}

#[test]
fn a_guest_cannot_use_another_source_address() {
    let world = World::new();
    let guest = world.guest(0);
    let server = world.internet.udp(SERVER);
    let strangers = [Ipv4Addr::new(192, 168, 241, 3), Ipv4Addr::new(203, 0, 113, 77)];
    for stranger in strangers {
        guest.say_as(guest.mac, stranger, server.address, "spoofed");
        guest.say(server.address, "honest");
        assert_eq!(server.next().1, "honest");
    }
    // A foreign source would also die of strict reverse-path filtering, where the host has it on.
    world.run_in_slot(
        0,
        "nft flush chain inet flint flint_prerouting
         for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done",
    );
    for stranger in strangers {
        guest.say_as(guest.mac, stranger, server.address, "control");
        assert_eq!(server.next().1, "control");
    }
}

#[test]
fn a_guest_cannot_use_another_mac_address() {
    let world = World::new();
    let guest = world.guest(0);
    let server = world.internet.udp(SERVER);
    let stranger = [0x06, 0, 0, 0, 0, 0x99];
    guest.say_as(stranger, GUEST, server.address, "spoofed");
    guest.say(server.address, "honest");
    assert_eq!(server.next().1, "honest");
    world.run_in_slot(0, "nft flush chain inet flint flint_prerouting");
    guest.say_as(stranger, GUEST, server.address, "control");
    assert_eq!(server.next().1, "control");
}

#[test]
fn a_slot_cannot_use_another_slots_address() {
    let world = World::new();
    world.attach(0);
    world.attach(1);
    let server = world.internet.udp(SERVER);
    // Worse than any guest: root in the slot's namespace, with its rules gone.
    world.run_in_slot(0, "nft flush ruleset; ip addr add 10.213.0.3/32 dev lo");
    let thief = world.udp_in_slot(0, Ipv4Addr::new(10, 213, 0, 3));
    let honest = world.udp_in_slot(0, Ipv4Addr::new(10, 213, 0, 1));
    thief.say(server.address, "stolen").unwrap();
    honest.say(server.address, "honest").unwrap();
    assert_eq!(server.next().1, "honest");
    world.uplink.run(&format!("nft flush chain {} flint_prerouting", world.table()));
    world.uplink.run("for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done");
    thief.say(server.address, "control").unwrap();
    assert_eq!(server.next().1, "control");
}

#[test]
fn nobody_reaches_a_slot_from_outside() {
    let world = World::new();
    let guest = world.guest(0);
    let server = world.internet.udp(SERVER);
    let inside = world.udp_in_slot(0, Ipv4Addr::new(10, 213, 0, 1));
    // Only the uplink's ring is shown here.
    open(&world, 0, "input");
    server.say(inside.address, "let me in").unwrap();
    prove_answered(&guest, &server);
    inside.heard_nothing();
    world.uplink.run(&format!("nft flush chain {} flint_to_slots", world.table()));
    server.say(inside.address, "control").unwrap();
    assert_eq!(inside.next().1, "control");
}

#[test]
fn a_guest_has_no_ipv6() {
    let world = World::new();
    let guest = world.guest(0);
    assert_eq!(world.run_in_slot(0, "ip -6 addr show; ip -6 route show"), "");
    assert_eq!(world.uplink.run(&format!("ip -6 addr show dev {}-0", world.options.prefix)), "");
    // Somebody switches it on in there: it is still dropped.
    world.run_in_slot(
        0,
        "sysctl -qw net.ipv6.conf.vmtap0.disable_ipv6=0; ip addr add fd00::1/64 dev vmtap0 nodad",
    );
    let [from, to] = [2, 1].map(|last| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last));
    let bind = || UdpSocket::bind((to, 7));
    let inside = netns::run_in(&world.slot_path(0), bind).unwrap().unwrap();
    inside.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    open(&world, 0, "input");
    let say = |word: &str| {
        let macs = [guest.mac, mac_of(GATEWAY)];
        guest.send(&frames::udp6(macs, [(from, 7), (to, 7)], word.as_bytes()));
    };
    say("dropped");
    prove_delivered(&world, &guest);
    world.run_in_slot(0, "nft flush chain inet flint flint_prerouting");
    say("control");
    let mut word = [0; 7];
    inside.recv(&mut word).unwrap();
    assert_eq!(&word, b"control");
}

/// A later packet of the guest arrived, so an earlier one has met its fate.
fn prove_delivered(world: &World, guest: &Guest) {
    let server = world.internet.udp(SERVER);
    guest.say(server.address, "later");
    assert_eq!(server.next().1, "later");
}

/// A later packet of the server reached the guest, so an earlier one has met its fate.
fn prove_answered(guest: &Guest, server: &super::world::Server) {
    guest.say(server.address, "say something");
    let (from, _) = server.next();
    server.answer(from, "later");
    assert_eq!(guest.hear_udp(), (server.address, "later".to_owned()));
}

/// Takes the default deny away from one hook of a slot.
fn open(world: &World, slot: u16, hook: &str) {
    let chain = format!("chain inet flint flint_{hook}");
    let kind = format!("type filter hook {hook} priority filter; policy accept;");
    world.run_in_slot(slot, &format!("nft 'add {chain} {{ {kind} }}'"));
}

#[test]
fn a_control_without_its_rule_would_be_no_control() {
    // `open` changes a policy; were it to add a second chain, every control above would prove nothing.
    let world = World::new();
    world.attach(0);
    let chains =
        |world: &World| world.run_in_slot(0, "nft list chains inet").matches("chain").count();
    let before = chains(&world);
    open(&world, 0, "input");
    assert_eq!(chains(&world), before);
    assert!(
        world.run_in_slot(0, "nft list chain inet flint flint_input").contains("policy accept")
    );
}
