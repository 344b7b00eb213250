//! Making, removing, healing, and leaving others alone.

use super::guest::Guest;
use super::world::{PREFIX6, SERVER, World, neighbour_of};
use flint::net::{Cidr, Egress, Error, Finding, HostNet, Ipv6, Net, Options};
use flint::sys::netns;
use flint_core::id::Slot;
use std::fs;

static EVERYWHERE: Egress = Egress::internet();

fn slots(numbers: &[u16]) -> std::collections::BTreeSet<Slot> {
    numbers.iter().copied().map(Slot).collect()
}

fn reaches_the_internet(world: &World, guest: &Guest) {
    let server = world.internet.udp(SERVER);
    guest.say(server.address, "ping");
    let (from, _) = server.next();
    server.answer(from, "pong");
    assert_eq!(guest.hear_udp().1, "pong");
}

#[test]
fn detach_leaves_nothing() {
    let world = World::new();
    let links = || world.uplink.run("ip -o link | cut -d: -f2");
    let before = links();
    world.attach(0);
    world.attach(1);
    assert_eq!(world.attached(), slots(&[0, 1]));
    world.detach(0);
    assert_eq!(world.attached(), slots(&[1]));
    world.detach(1);
    assert_eq!(world.attached(), slots(&[]));
    assert_eq!(links(), before);
    assert!(!world.slot_path(0).exists() && !world.slot_path(1).exists());
    assert!(world.wait(world.net.teardown_uplink()).unwrap());
    assert_eq!(world.uplink.run("nft list ruleset"), "");
}

#[test]
fn detaching_what_is_not_there_is_fine() {
    let world = World::new();
    world.detach(0);
    world.attach(0);
    world.detach(0);
    world.detach(0);
    world.detach(u16::MAX);
}

#[test]
fn attaching_twice_gives_a_fresh_network() {
    let world = World::new();
    world.attach(0);
    world.run_in_slot(0, "ip link add old type bridge; nft flush ruleset");
    let guest = world.guest(0);
    assert!(!world.run_in_slot(0, "ip -o link").contains("old"));
    assert!(world.run_in_slot(0, "nft list ruleset").contains("flint_deny"));
    reaches_the_internet(&world, &guest);
}

#[test]
fn leftovers_of_every_kind_are_seen_and_healed() {
    let world = World::new();
    // A name without its namespace, as after a reboot that kept /run; a veth without its slot; a slot without its veth.
    fs::create_dir_all(netns::NAMED).unwrap();
    fs::write(world.slot_path(0), "").unwrap();
    let veth = |slot: u16| format!("{}-{slot}", world.options.prefix);
    world.uplink.run(&format!("ip link add {} type veth peer name lost", veth(1)));
    world.attach(2);
    world.uplink.run(&format!("ip link del {}", veth(2)));
    assert_eq!(world.attached(), slots(&[0, 1, 2]));
    for slot in 0..3 {
        reaches_the_internet(&world, &world.guest(slot));
        world.detach(slot);
    }
    assert_eq!(world.attached(), slots(&[]));
}

#[test]
fn leftovers_can_be_detached_without_attaching() {
    let world = World::new();
    fs::create_dir_all(netns::NAMED).unwrap();
    fs::write(world.slot_path(0), "").unwrap();
    world.uplink.run(&format!("ip link add {}-1 type veth peer name lost", world.options.prefix));
    world.detach(0);
    world.detach(1);
    assert_eq!(world.attached(), slots(&[]));
}

#[test]
fn a_slot_goes_although_its_uplink_is_gone_already() {
    let world = World::new();
    world.attach(0);
    let uplink_namespace = Some(std::path::PathBuf::from("/run/netns/no-such-uplink"));
    let later = HostNet::new(Options { uplink_namespace, ..world.options.clone() }).unwrap();
    assert_eq!(world.wait(later.attached()).unwrap(), slots(&[0]));
    world.wait(later.detach(Slot(0))).unwrap();
    assert_eq!(world.wait(later.attached()).unwrap(), slots(&[]));
    assert!(world.wait(later.teardown_uplink()).unwrap());
    assert!(!world.slot_path(0).exists());
}

#[test]
fn a_flushed_uplink_is_whole_again_after_the_next_attach() {
    let world = World::new();
    let guest = world.guest(0);
    world.uplink.run("nft flush ruleset");
    world.attach(1);
    reaches_the_internet(&world, &guest);
    assert!(world.uplink.run("nft list ruleset").contains("flint_to_host"));
}

#[test]
fn the_tap_belongs_to_the_vmms_user_and_knows_the_guest() {
    let world = World::new();
    world.attach(0);
    let tap = world.run_in_slot(0, "ip -d link show vmtap0");
    assert!(tap.contains("user 12345") && tap.contains("persist on"), "{tap}");
    assert!(tap.contains("06:00:c0:a8:f1:01"), "{tap}");
    let neighbours = world.run_in_slot(0, "ip neigh show");
    assert!(
        neighbours.contains("192.168.241.2 dev vmtap0 lladdr 06:00:c0:a8:f1:02 PERMANENT"),
        "{neighbours}"
    );
}

#[test]
fn only_the_slot_and_two_interfaces_forward() {
    let world = World::new();
    world.uplink.run("ip link add other type bridge");
    world.attach(0);
    let forwarding = |interface: &str| {
        world
            .uplink
            .run(&format!("cat /proc/sys/net/ipv4/conf/{interface}/forwarding"))
            .trim()
            .to_owned()
    };
    assert_eq!(forwarding("eth0"), "1");
    assert_eq!(forwarding(&format!("{}-0", world.options.prefix)), "1");
    assert_eq!(forwarding("other"), "0");
    assert_eq!(forwarding("all"), "0");
}

#[test]
fn a_foreign_table_is_left_alone() {
    let world = World::new();
    let foreign = "table inet stranger {\n\tchain forward {\n\t\ttype filter hook forward priority filter; policy accept;\n\t\tcounter packets 0 bytes 0\n\t}\n}\n";
    world.uplink.run(&format!("nft -f - <<'END'\n{foreign}END"));
    let before = world.uplink.run("nft list table inet stranger");
    world.attach(0);
    world.detach(0);
    world.wait(world.net.teardown_uplink()).unwrap();
    assert_eq!(world.uplink.run("nft list ruleset"), before);
}

#[test]
fn two_prefixes_do_not_disturb_each_other() {
    let world = World::new();
    let second = neighbour_of(&world, Cidr::v4([10, 214, 0, 0], 16));
    let second = HostNet::new(second).unwrap();
    let guest = world.guest(0);
    let theirs = world.wait(second.attach(Slot(0), 1, &EVERYWHERE)).unwrap();
    reaches_the_internet(&world, &Guest::on(&theirs));
    assert_eq!(world.wait(second.attached()).unwrap(), slots(&[0]));
    world.wait(second.detach(Slot(0))).unwrap();
    assert!(world.wait(second.teardown_uplink()).unwrap());
    assert_eq!(world.attached(), slots(&[0]));
    reaches_the_internet(&world, &guest);
}

#[test]
fn two_prefixes_with_one_pool_are_refused() {
    let world = World::new();
    world.attach(0);
    let second = HostNet::new(neighbour_of(&world, world.options.pool)).unwrap();
    let refused = world.wait(second.attach(Slot(0), 1, &EVERYWHERE)).unwrap_err();
    assert!(matches!(&refused, Error::PoolTaken { .. }), "{refused}");
    assert!(refused.to_string().contains("10.213.0.0/31"), "{refused}");
    assert_eq!(world.wait(second.attached()).unwrap(), slots(&[]));
}

#[test]
fn two_prefixes_with_one_prefix_of_ipv6_are_refused() {
    let six = |text: &str| Ipv6::Prefix(text.parse().unwrap());
    let world = World::with(|options| options.ipv6 = six(PREFIX6));
    world.attach(0);
    let other = neighbour_of(&world, Cidr::v4([10, 214, 0, 0], 16));
    let second = HostNet::new(other.clone()).unwrap();
    let refused = world.wait(second.attach(Slot(0), 1, &EVERYWHERE)).unwrap_err();
    assert!(matches!(&refused, Error::PoolTaken { .. }), "{refused}");
    assert!(refused.to_string().contains("2a00:9::2/127"), "{refused}");
    assert!(refused.help().unwrap().contains("`host.ipv6`"));
    assert_eq!(world.wait(second.attached()).unwrap(), slots(&[]));
    let third = HostNet::new(Options { ipv6: six("2a00:9:0:1::/64"), ..other }).unwrap();
    world.wait(third.attach(Slot(0), 1, &EVERYWHERE)).expect("the control");
    world.wait(third.detach(Slot(0))).unwrap();
}

#[test]
fn the_shared_table_stays_while_a_slot_is_attached() {
    let world = World::new();
    world.attach(0);
    assert!(!world.wait(world.net.teardown_uplink()).unwrap());
    assert!(world.uplink.run("nft list ruleset").contains("flint_to_host"));
}

#[test]
fn many_slots_are_attached_at_once() {
    let world = World::new();
    let all: Vec<u16> = (0..8).collect();
    let attach = |slot: &u16| world.net.attach(Slot(*slot), 1, &EVERYWHERE);
    let done = world.wait(futures_util::future::join_all(all.iter().map(attach)));
    let guests: Vec<_> = done.into_iter().map(|attached| Guest::on(&attached.unwrap())).collect();
    assert_eq!(world.attached(), slots(&all));
    guests.iter().for_each(|guest| reaches_the_internet(&world, guest));
}

#[test]
fn orders_for_one_slot_take_turns() {
    let world = World::new();
    // The first three are given up when they have just begun; what they do must not reach into the fourth.
    world.wait(async {
        for _ in 0..3 {
            let attach = std::pin::pin!(world.net.attach(Slot(0), 1, &EVERYWHERE));
            assert!(futures_util::poll!(attach).is_pending());
        }
        world.net.detach(Slot(0)).await.unwrap();
    });
    assert_eq!(world.attached(), slots(&[]));
}

#[test]
fn without_a_way_out_the_error_says_so() {
    let world = World::new();
    world.uplink.run("ip route del default");
    assert!(matches!(world.attach_fails(0), Error::NoDefaultRoute));
    let findings = world.wait(world.net.check()).unwrap();
    assert!(matches!(findings.as_slice(), [Finding::NoUplink { .. }]), "{findings:?}");

    let world = World::with(|options| options.uplink = Some("wlan7".to_owned()));
    assert!(matches!(world.attach_fails(0), Error::Uplink { name } if name == "wlan7"));

    let nowhere = std::path::PathBuf::from("/run/netns/no-such-uplink");
    let world = World::with(|options| options.uplink_namespace = Some(nowhere.clone()));
    assert!(
        matches!(world.attach_fails(0), Error::Namespace { verb: "enter", path, .. } if path == nowhere)
    );
}

#[test]
fn a_failed_attach_leaves_nothing_that_detach_does_not_remove() {
    let world = World::new();
    // Nothing can be written over: the slot's name is a directory.
    fs::create_dir_all(world.slot_path(0)).unwrap();
    assert!(matches!(world.attach_fails(0), Error::Namespace { verb: "remove", .. }));
    fs::remove_dir(world.slot_path(0)).unwrap();
    reaches_the_internet(&world, &world.guest(0));
}

#[test]
fn the_check_finds_what_stands_in_the_way() {
    let world = World::new();
    assert_eq!(world.wait(world.net.check()).unwrap(), []);
    world.attach(0);
    assert_eq!(world.wait(world.net.check()).unwrap(), []);
    world.uplink.run(
        "nft 'table ip filter { chain FORWARD { type filter hook forward priority filter; policy drop; }; }'
         ip route add 10.213.128.0/24 via 198.51.100.1",
    );
    let (table, chain) = ("ip filter".to_owned(), "FORWARD".to_owned());
    let (pool, slots) = (world.options.pool, format!("{}-+", world.options.prefix));
    let route = Cidr::v4([10, 213, 128, 0], 24);
    assert_eq!(
        world.wait(world.net.check()).unwrap(),
        [
            Finding::PoolInUse { pool, route, interface: "eth0".to_owned() },
            Finding::ForeignForwardDrop { table, chain, slots },
        ]
    );
}
