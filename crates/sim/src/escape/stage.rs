//! The stage: the demo's two places with everything in them that an intruder would like to reach; and the same without
//! anything that holds it.

use crate::demo::places::Places;
use crate::intruder::places::{
    GATEWAY, GATEWAY_MAC, GATEWAY6, HOST_PRIVATE, HOST_TOO, HOST6, METADATA, PRIVATE, PRIVATE6,
    RESOLVER, SERVER, SERVER6,
};
use anyhow::{Context, Result, bail};
use std::fmt::Display;
use std::path::PathBuf;
use std::process::Command;

/// A bridge that does nothing else: with `br_netfilter` the kernel would follow connections on it and join fragments.
const PLAIN: &str = "for what in iptables ip6tables arptables; do
                         sysctl -qw net.bridge.bridge-nf-call-$what=0 2> /dev/null || true
                     done";

/// The slots' addresses.
pub(super) const POOL: &str = "10.213.0.0/16";

/// The stage, while `escape` runs.
pub(super) struct Stage {
    pub(super) places: Places,
    /// The prefix of the slots' names.
    prefix: String,
}

/// Two slots that are to have no guards.
pub(super) struct Slots {
    pub(super) intruder: u16,
    pub(super) neighbour: u16,
}

impl Stage {
    /// Makes it. What it makes goes with the namespaces.
    pub(super) fn make(name: &str) -> Result<Stage> {
        let places = Places::make(name)?;
        let (host, internet) = (places.host(), places.github());
        let addresses = |all: &[&dyn Display], bits: u8| -> String {
            let one = |address: &&dyn Display| format!("ip addr add {address}/{bits} dev lo\n");
            all.iter().map(one).collect()
        };
        let [a, b, c, d] = &PRIVATE;
        let four = addresses(&[&SERVER, &RESOLVER, &METADATA, a, b, c, d], 32);
        let [private6, nat64, sixtofour, beside] = &PRIVATE6;
        let six = addresses(&[&SERVER6, private6, nat64, sixtofour], 128);
        let own = addresses(&[&HOST_TOO, &HOST_PRIVATE], 32);
        run(
            internet,
            &format!(
                "{four}{six}
                 sysctl -qw net.ipv6.conf.all.forwarding=1
                 ip addr add 2a00:51::2/64 dev eth0 nodad
                 ip addr add {beside}/64 dev eth0 nodad
                 ip -6 route add fd46:4c49:4e54::/48 via {HOST6}"
            ),
        )?;
        run(
            host,
            &format!(
                "{own}ip addr add {HOST6}/64 dev eth0 nodad
                 ip -6 route add default via 2a00:51::2"
            ),
        )?;
        Ok(Stage { places, prefix: name.to_owned() })
    }

    /// Where a slot's traffic leaves it: its own end, over IPv4 and IPv6, and the host's end.
    pub(super) fn ends(&self, slot: u16) -> Result<[String; 3]> {
        let pool = POOL.parse()?;
        let slot = flint_core::id::Slot(slot);
        let place = flint::net::derive::Place::of(&self.prefix, pool, flint::net::Ipv6::Nat, slot)?;
        let (_, six) = place.six.context("there is IPv6")?;
        Ok([place.inner.to_string(), six.to_string(), place.outer.to_string()])
    }

    /// How many connections of a slot are followed.
    pub(super) fn connections(&self, slot: u16) -> Result<u64> {
        let count = output(&self.slot(slot), "sysctl -n net.netfilter.nf_conntrack_count")?;
        Ok(count.trim().parse()?)
    }

    /// The host's namespace.
    pub(super) fn host_file(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(self.places.host())
    }

    fn slot(&self, number: u16) -> String {
        format!("{}-{number}", self.prefix)
    }

    /// Takes away what Flint put between these guests, the host and the internet: they stand on one bridge that is the
    /// host's, as the guests of those stand who use one. The host forwards and translates, and refuses nothing.
    pub(super) fn flatten(&self, slots: &Slots) -> Result<()> {
        let host = self.places.host();
        let mac = GATEWAY_MAC.map(|byte| format!("{byte:02x}")).join(":");
        run(
            host,
            &format!(
                "nft flush ruleset
                 {PLAIN}
                 ip link add flat0 address {mac} type bridge
                 echo 65528 > /sys/class/net/flat0/bridge/group_fwd_mask
                 echo 0 > /sys/class/net/flat0/bridge/multicast_snooping
                 ip link set flat0 up
                 ip addr add {GATEWAY}/29 dev flat0
                 ip addr add {GATEWAY6}/64 dev flat0 nodad
                 for at in all flat0 eth0; do
                     sysctl -qw net.ipv4.conf.$at.rp_filter=0 net.ipv4.conf.$at.route_localnet=1 \
                         net.ipv4.conf.$at.accept_local=1 net.ipv4.conf.$at.forwarding=1
                 done
                 sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
                 nft 'table inet flat {{ chain post {{ type nat hook postrouting priority srcnat;
                     oifname \"eth0\" masquerade; }}; }}'"
            ),
        )?;
        for (number, end) in [(slots.intruder, "flat1"), (slots.neighbour, "flat2")] {
            let slot = self.slot(number);
            // Snooping and filters stay out of the way (the kernel keeps only three groups to itself), and the tap is no
            // gateway any more: a port's own address is not passed on.
            run(
                &slot,
                &format!(
                    "nft flush ruleset
                     {PLAIN}
                     ip link add flat0 type bridge
                     echo 65528 > /sys/class/net/flat0/bridge/group_fwd_mask
                     echo 0 > /sys/class/net/flat0/bridge/multicast_snooping
                     ip link add out0 type veth peer name {end} netns {host}
                     ip addr flush dev vmtap0
                     ip link set vmtap0 address 06:02:00:00:00:01
                     ip link set vmtap0 master flat0
                     ip link set out0 master flat0
                     ip link set out0 up
                     ip link set flat0 up"
                ),
            )?;
            run(host, &format!("ip link set {end} master flat0\nip link set {end} up"))?;
        }
        Ok(())
    }

    /// Takes the bridge and its ports away again; the slots' parts go with the slots.
    pub(super) fn unflatten(&self) {
        // They may not be there yet, or gone with their slots already.
        let all = "for link in flat0 flat1 flat2; do ip link del $link 2> /dev/null || true; done";
        run(self.places.host(), all).ok();
    }
}

fn run(namespace: &str, script: &str) -> Result<()> {
    output(namespace, script).map(drop)
}

/// Runs a script in a namespace.
fn output(namespace: &str, script: &str) -> Result<String> {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace, "sh", "-ec", script]);
    let ran = command.output().context("cannot run `ip` (package iproute2)")?;
    if !ran.status.success() {
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        bail!("the stage cannot be set in {namespace}: {}", said.trim());
    }
    Ok(String::from_utf8_lossy(&ran.stdout).into_owned())
}
