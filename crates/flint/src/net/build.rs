//! Makes and removes one slot's network: straight lines, each step undone by removing the whole.
//!
//! The thread that runs this changes its namespace; it must be one of [`super::worker`]'s.

use super::bridge::{self, Bridge};
use super::derive::{
    self, GATEWAY, GATEWAY6, GATEWAY6_LINK, GUEST, GUEST_NETWORK, GUEST_NETWORK6, Place, TAP,
    UPLINK, mac_of,
};
use super::netlink::{End, Family, Link, Links};
use super::rules::{self, Reach};
use super::{Cidr, Egress, Error, Ipv6, Options, nft, worker};
use crate::sys::{netns, tap};
use flint_core::id::Slot;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// A guest's Ethernet is 1500 unless the uplink is narrower: jumbo frames end at the host.
const WIDEST: u32 = 1500;

/// Everything that is link-local: no prefix of a neighbourhood.
const LINK_LOCAL: Cidr = Cidr::v6(std::net::Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10);

/// A slot's network as it is to be.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) options: &'a Options,
    pub(super) place: &'a Place,
    /// Whom the guest, or its resolver, may ask for names.
    pub(super) dns: &'a [IpAddr],
    /// The user who may open the tap.
    pub(super) owner: u32,
    pub(super) egress: &'a Egress,
}

/// The interfaces through which guests leave.
pub(super) struct Roads {
    pub(super) v4: Link,
    pub(super) v6: Option<Link>,
    /// The uplink's IPv6 neighbourhoods: machines of the same owner, with global addresses.
    neighbours: Vec<Cidr>,
}

/// Makes the slot's network anew. Call it on a thread of its own.
pub(super) fn attach(wanted: Wanted<'_>) -> Result<(), Error> {
    let Wanted { options, place, dns, owner, egress } = wanted;
    let uplink = worker::enter_uplink(options)?;
    worker::drive(async {
        let outside = Links::here()?;
        let roads = Roads::find(options, &outside).await?;
        refuse_stolen(options, &outside, place).await?;
        let deny = roads.denied(options);
        let reach = Reach { dns, allow: &options.allow, deny: &deny, ipv6: options.ipv6 };
        let (prefix, pool) = (options.prefix.as_str(), options.pool);
        let slots = rules::Slots { prefix, pool, bridge: options.bridge.as_ref() };
        let ring = rules::uplink(&slots, &roads.names(), &reach);
        let outer_ring = nft::load("the uplink", &ring)?;
        remove(options, &outside, &roads, place).await?;
        enter_slot(place)?;
        set_all(&slot_settings(options.ipv6))?;
        let ring = rules::slot(&reach, egress, place.public);
        let inner_ring = nft::load(&place.netns.display().to_string(), &ring)?;
        let inside = Links::here()?;
        let mtu = roads.mtu();
        add_tap(&inside, place, owner, mtu).await?;
        let (this, other) = (inner_end(place), outer_end(place));
        inside.add_veth(this, other, uplink.as_fd(), mtu).await?;
        outer_ring.finish()?;
        inner_ring.finish()?;
        // Nothing forwards before both rulesets are in place.
        set_all(&[("ipv4/ip_forward".to_owned(), "1")])?;
        if options.ipv6 != Ipv6::Off {
            set_all(&[("ipv6/conf/all/forwarding".to_owned(), "1")])?;
        }
        open_uplink(options, (&outside, &uplink), place, &roads).await?;
        // Last, because the end that comes up second can send at once; the kernel wakes the other in its own time.
        open_slot(&inside, place).await
    })
}

/// Removes what is there of the slot's network. Call it on a thread of its own.
pub(super) fn detach(options: &Options, slot: Slot) -> Result<(), Error> {
    let veth = derive::veth_of(&options.prefix, slot);
    if worker::enter_uplink_if_there(options)? {
        worker::drive(async {
            let outside = Links::here()?;
            outside.delete(&veth).await?;
            let Some(bridge) = &options.bridge else { return Ok(()) };
            nft::load("the bridge", &rules::no_port(&veth))?.finish()?;
            let road = bridge::road(options, &outside).await?;
            match options.place(slot) {
                Ok(place) => close_bridge(bridge, &outside, road.as_ref(), &place).await,
                // Beyond a pool that has become smaller: nobody was told of it under this one.
                Err(_) => Ok(()),
            }
        })?;
    }
    forget(&derive::netns_of(&options.prefix, slot))
}

impl Roads {
    /// Finds them in the uplink's namespace.
    pub(super) async fn find(options: &Options, outside: &Links) -> Result<Roads, Error> {
        let v4 = road(options, outside).await?;
        let mut roads = Roads { v4, v6: None, neighbours: Vec::new() };
        if options.ipv6 == Ipv6::Off {
            return Ok(roads);
        }
        roads.v6 = match &options.uplink {
            Some(_) => Some(roads.v4.clone()),
            // None for now is no reason against a guest: it finds no way, and takes IPv4.
            None => outside.default_route(Family::V6).await?.filter(|l| rules::is_plain(&l.name)),
        };
        let index = roads.v6.as_ref().map(|link| link.index);
        let routes = outside.routes(Family::V6).await?;
        let near = routes.iter().filter(|route| {
            let here = Some(route.interface) == index && route.on_link;
            here && route.to.length() > 0 && !LINK_LOCAL.overlaps(route.to)
        });
        roads.neighbours = near.map(|route| route.to).collect();
        Ok(roads)
    }

    fn names(&self) -> Vec<&str> {
        let other = self.v6.as_ref().filter(|link| link.name != self.v4.name);
        std::iter::once(&self.v4).chain(other).map(|link| link.name.as_str()).collect()
    }

    fn mtu(&self) -> u32 {
        let narrower = self.v6.as_ref().map_or(WIDEST, |link| link.mtu);
        self.v4.mtu.min(narrower).min(WIDEST)
    }

    /// What guests may not reach, with what follows from where this host is.
    fn denied(&self, options: &Options) -> Vec<Cidr> {
        let mut denied = options.deny.clone();
        denied.extend(&self.neighbours);
        denied.extend(match options.ipv6 {
            Ipv6::Prefix(pool) => Some(pool),
            Ipv6::Off | Ipv6::Nat => None,
        });
        denied
    }
}

/// The interface through which guests leave over IPv4.
async fn road(options: &Options, outside: &Links) -> Result<Link, Error> {
    let road = match &options.uplink {
        None => outside.default_route(Family::V4).await?.ok_or(Error::NoDefaultRoute)?,
        Some(name) => {
            let found = outside.find(name).await?;
            found.ok_or_else(|| Error::Uplink { name: name.clone() })?
        }
    };
    if rules::is_plain(&road.name) { Ok(road) } else { Err(Error::Uplink { name: road.name }) }
}

/// Another daemon with the same pool, or the same prefix, would take this slot's answers.
async fn refuse_stolen(options: &Options, outside: &Links, place: &Place) -> Result<(), Error> {
    let ours = options.bridge.as_ref().map_or(&place.veth, |bridge| &bridge.name);
    refuse_taken(outside, place.range(), ours).await?;
    match place.range6() {
        Some(range) => refuse_taken(outside, range, ours).await,
        None => Ok(()),
    }
}

/// A range that somebody's interface but `ours` has a way to.
pub(super) async fn refuse_taken(outside: &Links, range: Cidr, ours: &str) -> Result<(), Error> {
    let family = if range.is_ipv6() { Family::V6 } else { Family::V4 };
    let routes = outside.routes(family).await?;
    for route in routes.iter().filter(|route| route.steals(range)) {
        let link = outside.of_index(route.interface).await?;
        match link.map(|link| link.name) {
            Some(interface) if interface != ours => {
                return Err(Error::PoolTaken { range, interface, route: route.to });
            }
            _ => {}
        }
    }
    Ok(())
}

/// The veth first: the kernel takes a namespace apart in its own time, and the name would stay taken meanwhile.
async fn remove(
    options: &Options,
    outside: &Links,
    roads: &Roads,
    place: &Place,
) -> Result<(), Error> {
    outside.delete(&place.veth).await?;
    if let Some(bridge) = &options.bridge {
        close_bridge(bridge, outside, roads.v6.as_ref(), place).await?;
    }
    forget(&place.netns)
}

/// The host answers for the slot's guest no more, and forgets who it was.
async fn close_bridge(
    bridge: &Bridge,
    outside: &Links,
    road: Option<&Link>,
    place: &Place,
) -> Result<(), Error> {
    if let Some(link) = outside.find(&bridge.name).await? {
        for address in behind(place) {
            outside.unpin((&link.name, link.index), address).await?;
        }
    }
    match (road, place.public) {
        (Some(road), Some(public)) => outside.unproxy(road, public).await,
        _ => Ok(()),
    }
}

/// The addresses that are behind the slot's end.
fn behind(place: &Place) -> impl Iterator<Item = IpAddr> {
    let six = place.six.map(|(_, inner)| inner);
    std::iter::once(IpAddr::V4(place.inner))
        .chain(six.into_iter().chain(place.public).map(IpAddr::V6))
}

fn forget(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::Namespace { verb: "remove", path: path.to_owned(), source };
    netns::remove(path).map_err(failed)
}

fn enter_slot(place: &Place) -> Result<(), Error> {
    let failed = |source| Error::Namespace { verb: "make", path: place.netns.clone(), source };
    netns::enter_new(&place.netns).map_err(failed)
}

/// Before any device is there: new ones take the defaults.
fn slot_settings(ipv6: Ipv6) -> Vec<(String, &'static str)> {
    let none = if ipv6 == Ipv6::Off { "1" } else { "0" };
    // Nobody's word is taken for who is who: not in advertisements, not in redirects.
    let settings = [
        ("ipv6/conf/all/disable_ipv6", none),
        ("ipv6/conf/default/disable_ipv6", none),
        ("ipv6/conf/default/accept_ra", "0"),
        ("ipv6/conf/default/accept_redirects", "0"),
        ("ipv6/conf/default/accept_dad", "0"),
        ("ipv6/conf/default/addr_gen_mode", "1"),
        ("ipv4/conf/all/accept_redirects", "0"),
        ("ipv4/conf/all/send_redirects", "0"),
        ("ipv4/conf/all/accept_source_route", "0"),
    ];
    settings.map(|(setting, value)| (setting.to_owned(), value)).to_vec()
}

async fn add_tap(inside: &Links, place: &Place, owner: u32, mtu: u32) -> Result<(), Error> {
    let failed = |source| Error::Tap { tap: TAP, netns: place.netns.clone(), source };
    tap::create(TAP, owner).map_err(failed)?;
    inside.up("lo").await?;
    inside.shape(TAP, mac_of(GATEWAY), mtu).await?;
    let end = End { name: TAP, address: GATEWAY, mac: mac_of(GATEWAY) };
    let index = inside.raise(end, GUEST_NETWORK).await?;
    let tap = (TAP, index);
    // A guest that was restored elsewhere has not said who it is: nothing is needed to answer it.
    inside.pin(tap, IpAddr::V4(GUEST), mac_of(GUEST)).await?;
    if place.six.is_some() {
        inside.address(tap, IpAddr::V6(GATEWAY6), GUEST_NETWORK6).await?;
        inside.pin(tap, IpAddr::V6(place.guest6()), mac_of(GUEST)).await?;
    }
    if let Some(public) = place.public {
        inside.address(tap, IpAddr::V6(GATEWAY6_LINK), GUEST_NETWORK6).await?;
        inside.route_to(public, index).await?;
    }
    Ok(())
}

/// Opens the slot's end.
async fn open_slot(inside: &Links, place: &Place) -> Result<(), Error> {
    let index = inside.raise(inner_end(place), place.lengths.0).await?;
    let veth = (UPLINK, index);
    if place.port {
        inside.pin(veth, IpAddr::V4(place.outer), mac_of(place.outer)).await?;
    }
    if let Some((outer, inner)) = place.six {
        inside.address(veth, IpAddr::V6(inner), place.lengths.1).await?;
        // Both ends know each other, so neither needs to hear the other's word for it.
        inside.pin(veth, IpAddr::V6(outer), mac_of(place.outer)).await?;
        inside.default_via(IpAddr::V6(outer), index).await?;
    }
    inside.default_via(IpAddr::V4(place.outer), index).await
}

/// Opens the uplink's end. The thread is back in the uplink's namespace afterwards.
async fn open_uplink(
    options: &Options,
    (outside, uplink): (&Links, &OwnedFd),
    place: &Place,
    roads: &Roads,
) -> Result<(), Error> {
    netns::enter(uplink.as_fd()).map_err(|source| Error::Thread { source })?;
    if let Some(bridge) = &options.bridge {
        let link = bridge::ours(options, bridge, outside).await?;
        return open_bridge(&link, outside, place, roads).await;
    }
    let veth = &place.veth;
    let no_ipv6 = if place.six.is_some() { "0" } else { "1" };
    set_all(&[
        (format!("ipv6/conf/{veth}/disable_ipv6"), no_ipv6),
        (format!("ipv6/conf/{veth}/accept_ra"), "0"),
        (format!("ipv6/conf/{veth}/accept_dad"), "0"),
        (format!("ipv6/conf/{veth}/addr_gen_mode"), "1"),
        // Per interface: the host becomes no router for its other interfaces.
        (format!("ipv4/conf/{veth}/forwarding"), "1"),
        (format!("ipv4/conf/{}/forwarding", roads.v4.name), "1"),
    ])?;
    let index = outside.raise(outer_end(place), place.lengths.0).await?;
    let Some((outer, inner)) = place.six else { return Ok(()) };
    outside.address((veth, index), IpAddr::V6(outer), place.lengths.1).await?;
    outside.pin((veth, index), IpAddr::V6(inner), mac_of(place.inner)).await?;
    forward_ipv6(veth, roads.v6.as_ref())
}

/// Makes the uplink's end a port of the bridge, and says who is behind it.
async fn open_bridge(
    bridge: &Link,
    outside: &Links,
    place: &Place,
    roads: &Roads,
) -> Result<(), Error> {
    let veth = &place.veth;
    let guards = nft::load("the bridge", &rules::port(place))?;
    set_all(&[(format!("ipv6/conf/{veth}/disable_ipv6"), "1")])?;
    let gone = || Error::Link {
        change: "find",
        interface: veth.clone(),
        source: ErrorKind::NotFound.into(),
    };
    let index = outside.find(veth).await?.ok_or_else(gone)?.index;
    outside.join((veth, index), bridge.index).await?;
    let on = (bridge.name.as_str(), bridge.index);
    let mac = mac_of(place.inner);
    for address in behind(place) {
        outside.pin(on, address, mac).await?;
    }
    if let (Some(road), Some(public)) = (&roads.v6, place.public) {
        outside.proxy(road, public).await?;
    }
    // Before it is up, nothing passes it.
    guards.finish()?;
    outside.up(veth).await
}

/// Linux has a switch for each interface since 6.17, and before that one for all. A router takes no advertisements
/// unless it is told to; the host must not lose its own way by it.
pub(super) fn forward_ipv6(veth: &str, road: Option<&Link>) -> Result<(), Error> {
    let names = std::iter::once(veth).chain(road.map(|link| link.name.as_str()));
    for name in names {
        let setting = format!("ipv6/conf/{name}/force_forwarding");
        match netns::set(&setting, "1") {
            Err(source) if source.kind() == ErrorKind::NotFound => return forward_all_ipv6(road),
            Err(source) => return Err(Error::Setting { setting, source }),
            Ok(()) => {}
        }
    }
    Ok(())
}

fn forward_all_ipv6(road: Option<&Link>) -> Result<(), Error> {
    if let Some(road) = road {
        keep_advertisements(road)?;
    }
    set_all(&[("ipv6/conf/all/forwarding".to_owned(), "1")])
}

/// Makes the uplink a router's interface: only such a one answers for others (`ndisc_recv_ns` of Linux).
pub(super) fn route_ipv6(road: &Link) -> Result<(), Error> {
    keep_advertisements(road)?;
    set_all(&[
        (format!("ipv6/conf/{}/forwarding", road.name), "1"),
        (format!("ipv6/conf/{}/proxy_ndp", road.name), "1"),
    ])
}

fn keep_advertisements(road: &Link) -> Result<(), Error> {
    let setting = format!("ipv6/conf/{}/accept_ra", road.name);
    let failed = |source| Error::Setting { setting: setting.clone(), source };
    match netns::get(&setting).map_err(failed)?.as_str() {
        "1" => netns::set(&setting, "2").map_err(failed),
        _ => Ok(()),
    }
}

fn inner_end(place: &Place) -> End<'_> {
    End { name: UPLINK, address: place.inner, mac: mac_of(place.inner) }
}

fn outer_end(place: &Place) -> End<'_> {
    End { name: &place.veth, address: place.outer, mac: place.outer_mac() }
}

pub(super) fn set_all(settings: &[(String, &str)]) -> Result<(), Error> {
    for (setting, value) in settings {
        match netns::set(setting, value) {
            // A kernel without IPv6 needs it not switched off.
            Err(source) if source.kind() == ErrorKind::NotFound && setting.starts_with("ipv6/") => {
            }
            Err(source) => return Err(Error::Setting { setting: setting.clone(), source }),
            Ok(()) => {}
        }
    }
    Ok(())
}
