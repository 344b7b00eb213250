//! The machine: directories, programs, what may be handed out, and the way to the network.

use super::reader::{Found, Reader, Section};
use super::values;
use super::{HostOptions, Machine, VmmChoice, defaults};
use crate::net::{Bridge, Cidr, Ipv6};
use flint_core::units::{MiB, Resources};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// The guests' own network, the same in every guest: no pool may hold it.
const GUEST_NETWORK: &str = "192.168.241.0/29";

/// Reads `[host]`.
pub(super) fn read<'a>(
    reader: &mut Reader<'a>,
    section: Section<'a>,
    machine: &Machine,
) -> HostOptions {
    let state_dir = path(reader, section, "state_dir", defaults::STATE_DIR);
    let slots = reader.number(section, "slots", 1..=4096).map_or(defaults::SLOTS, |f| f.value);
    let ipv6 = reader.text(section, "ipv6", values::ipv6);
    let bridge = bridge(reader, section, slots, ipv6.as_ref());
    HostOptions {
        run_dir: path(reader, section, "run_dir", defaults::RUN_DIR),
        vmm: reader.text(section, "vmm", vmm).map_or(VmmChoice::Auto, |f| f.value),
        firecracker: path(reader, section, "firecracker", defaults::FIRECRACKER),
        jailer: path(reader, section, "jailer", defaults::JAILER),
        qemu: reader.word(section, "qemu").map_or_else(defaults::qemu, |f| f.value),
        allow_unfiltered_vmm: reader
            .switch(section, "allow_unfiltered_vmm")
            .map_or(defaults::ALLOW_UNFILTERED_VMM, |found| found.value),
        uid_base: base(reader, section, "uid_base", defaults::UID_BASE),
        gid_base: base(reader, section, "gid_base", defaults::GID_BASE),
        slots,
        capacity: capacity(reader, section, machine, &state_dir),
        netns_prefix: reader
            .text(section, "netns_prefix", prefix)
            .map_or_else(|| defaults::NETNS_PREFIX.to_owned(), |f| f.value),
        uplink_netns: reader.word(section, "uplink_netns").map(|f| f.value),
        uplink: reader.word(section, "uplink").map(|f| f.value),
        address_pool: address_pool(reader, section, slots),
        dns: dns(reader, section),
        ipv6: ipv6.map_or(defaults::IPV6, |found| found.value),
        bridge,
        allow: reader.list(section, "allow", values::network).map(|f| f.value).unwrap_or_default(),
        drain_timeout: reader
            .text(section, "drain_timeout", values::duration)
            .map_or(defaults::DRAIN_TIMEOUT, |f| f.value),
        state_dir,
    }
}

fn path<'a>(reader: &mut Reader<'a>, section: Section<'a>, name: &str, default: &str) -> PathBuf {
    reader.word(section, name).map_or_else(|| PathBuf::from(default), |found| found.value)
}

/// Uid 0 would be root; the highest ids are the kernel's "nobody" and "no change".
fn base<'a>(reader: &mut Reader<'a>, section: Section<'a>, name: &str, default: u32) -> u32 {
    reader.number(section, name, 1..=4_294_900_000).map_or(default, |found| found.value)
}

fn vmm(text: &str) -> Result<VmmChoice, String> {
    match text {
        "auto" => Ok(VmmChoice::Auto),
        "firecracker" => Ok(VmmChoice::Firecracker),
        "qemu" => Ok(VmmChoice::Qemu),
        _ => Err("`auto`, `firecracker` or `qemu`".to_owned()),
    }
}

/// It begins the names of devices too, which have 15 characters: nine are left to it beside `-` and a slot.
fn prefix(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let letter = text.starts_with(|c: char| c.is_ascii_lowercase());
    if text.len() <= 9 && letter && text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    Err("1 to 9 of a-z and 0-9, a letter first".to_owned())
}

fn capacity<'a>(
    reader: &mut Reader<'a>,
    section: Section<'a>,
    machine: &Machine,
    state_dir: &Path,
) -> Resources {
    let cpus = reader.number(section, "vcpus", 1..=4096).map_or(machine.cpus, |f| f.value);
    let factor = reader.factor(section, "cpu_overcommit", 0.1..=64.0);
    let factor = factor.map_or(defaults::CPU_OVERCOMMIT, |found| found.value);
    let memory = reader.text(section, "memory", values::size);
    if let Some(found) = memory.as_ref().filter(|found| found.value > machine.memory) {
        let message = format!("`host.memory` is more than this machine's {}", machine.memory);
        reader.error(found.origin.clone(), message, None);
    }
    let free_disk = || {
        let free = (machine.free_disk)(state_dir).unwrap_or(MiB(0));
        MiB(free.0.saturating_sub(defaults::DISK_RESERVE.0))
    };
    Resources {
        vcpus: overcommitted(cpus, factor),
        memory: memory.map_or_else(|| defaults::memory_capacity(machine.memory), |f| f.value),
        disk: reader.text(section, "disk", values::size).map_or_else(free_disk, |f| f.value),
    }
}

/// At least one: a factor below one must not leave a machine with nothing.
#[expect(
    clippy::cast_possible_truncation,
    reason = "both factors are positive and bounded: at most 4096 x 64"
)]
fn overcommitted(cpus: u32, factor: f64) -> u32 {
    ((f64::from(cpus) * factor).floor() as u32).max(1)
}

fn address_pool<'a>(reader: &mut Reader<'a>, section: Section<'a>, slots: u16) -> Cidr {
    let default: Cidr = defaults::ADDRESS_POOL.parse().expect("the default pool is a network");
    let guests: Cidr = GUEST_NETWORK.parse().expect("the guests' network is a network");
    let Some(found) = reader.text(section, "address_pool", values::network) else {
        return default;
    };
    let wrong = if found.value.is_ipv6() {
        "an IPv4 network".to_owned()
    } else if found.value.overlaps(guests) {
        format!("a network beside {GUEST_NETWORK}, which is inside every guest")
    } else if (1u64 << (32 - found.value.length())) < u64::from(slots) * 2 {
        format!("large enough for {slots} slots with two addresses each")
    } else {
        return found.value;
    };
    reader.error(found.origin, format!("`host.address_pool` is not {wrong}"), None);
    default
}

/// Classic mode, if a bridge is named.
fn bridge<'a>(
    reader: &mut Reader<'a>,
    section: Section<'a>,
    slots: u16,
    ipv6: Option<&Found<Ipv6>>,
) -> Option<Bridge> {
    let name = reader.text(section, "bridge", values::interface);
    let address = reader.text(section, "bridge_address", values::address_in_network);
    let Some(name) = name else {
        if let Some(found) = address {
            let message = "`host.bridge_address` is without a bridge".to_owned();
            reader.error(found.origin, message, "name one in `host.bridge`".to_owned());
        }
        return None;
    };
    if let Some(found) = ipv6.filter(|found| !suits_bridge(found.value)) {
        let message = "with a bridge, `host.ipv6` is `off` or your public /64".to_owned();
        let help =
            "guests have addresses `PREFIX:1::2:N` of it, for which the host answers".to_owned();
        reader.error(found.origin.clone(), message, help);
    }
    let (ip, length) = address.as_ref().map_or(defaults::BRIDGE_ADDRESS, |found| found.value);
    let bridge = Bridge { name: name.value, address: ip, length };
    let guests: Cidr = GUEST_NETWORK.parse().expect("the guests' network is a network");
    let wrong = if bridge.network().overlaps(guests) {
        Some(format!("beside {GUEST_NETWORK}, which is inside every guest"))
    } else {
        // Its own number, the bridge's address, the broadcast address.
        let room = (1_u64 << (32 - length)).saturating_sub(3);
        (room < u64::from(slots)).then(|| format!("large enough for {slots} slots"))
    };
    if let Some(wrong) = wrong {
        let origin = address.map_or(name.origin, |found| found.origin);
        let help = "`host.slots` says how many there are".to_owned();
        reader.error(origin, format!("`host.bridge_address` is in no network {wrong}"), help);
    }
    Some(bridge)
}

fn suits_bridge(ipv6: Ipv6) -> bool {
    match ipv6 {
        Ipv6::Off => true,
        Ipv6::Nat => false,
        Ipv6::Prefix(prefix) => prefix.length() == 64,
    }
}

fn dns<'a>(reader: &mut Reader<'a>, section: Section<'a>) -> Vec<IpAddr> {
    let address = |text: &str| text.parse().map_err(|_| "an address such as `1.1.1.1`".to_owned());
    let default = || {
        let parsed =
            defaults::DNS.map(|text| text.parse().expect("the default resolvers are addresses"));
        parsed.to_vec()
    };
    let Some(found) = reader.list(section, "dns", address) else { return default() };
    let loops = found.value.iter().any(IpAddr::is_loopback);
    if loops {
        let message = "`host.dns` names a loopback address, which in a guest is the guest itself";
        reader.warn(
            found.origin,
            message.to_owned(),
            "name a resolver that guests can reach".to_owned(),
        );
    }
    found.value
}

/// What of a profile's shape is more than the host hands out: the key, and what the host has.
pub(super) fn exceeds(shape: &Resources, host: &HostOptions) -> Vec<(&'static str, String)> {
    let has = &host.capacity;
    let each = [
        ("vcpus", shape.vcpus > has.vcpus, has.vcpus.to_string()),
        ("memory", shape.memory > has.memory, has.memory.to_string()),
        ("scratch", shape.disk > has.disk, has.disk.to_string()),
    ];
    each.into_iter().filter(|(_, more, _)| *more).map(|(name, _, has)| (name, has)).collect()
}
