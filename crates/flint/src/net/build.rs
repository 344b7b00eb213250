//! Makes and removes one slot's network: straight lines, each step undone by removing the whole.
//!
//! The thread that runs this changes its namespace; it must be one of [`super::worker`]'s.

use super::derive::{GATEWAY, GUEST, GUEST_NETWORK, Place, TAP, UPLINK, VETH_NETWORK, mac_of};
use super::netlink::{End, Link, Links};
use super::rules::{self, Reach};
use super::{Error, Options, nft, worker};
use crate::sys::{netns, tap};
use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// A guest's Ethernet is 1500 unless the uplink is narrower: jumbo frames end at the host.
const WIDEST: u32 = 1500;

/// Makes the slot's network anew. Call it on a thread of its own.
pub(super) fn attach(
    options: &Options,
    place: &Place,
    dns: &[Ipv4Addr],
    owner: u32,
) -> Result<(), Error> {
    let uplink = worker::enter_uplink(options)?;
    let reach = Reach { dns, allow: &options.allow, deny: &options.deny };
    worker::drive(async {
        let outside = Links::here()?;
        let road = road(options, &outside).await?;
        refuse_stolen(&outside, place).await?;
        let ring = rules::uplink(&options.prefix, options.pool, &road.name, &reach);
        let outer_ring = nft::load("the uplink", &ring)?;
        remove(&outside, place).await?;
        enter_slot(place)?;
        set_all(&[("ipv6/conf/all/disable_ipv6", "1"), ("ipv6/conf/default/disable_ipv6", "1")])?;
        let inner_ring = nft::load(&place.netns.display().to_string(), &rules::slot(&reach))?;
        let inside = Links::here()?;
        let mtu = road.mtu.min(WIDEST);
        add_tap(&inside, place, owner, mtu).await?;
        let (this, other) = (inner_end(place), outer_end(place));
        inside.add_veth(this, other, uplink.as_fd(), mtu).await?;
        outer_ring.finish()?;
        inner_ring.finish()?;
        // Nothing forwards before both rulesets are in place.
        set_all(&[("ipv4/ip_forward", "1")])?;
        open_uplink(&outside, &uplink, place, &road).await?;
        // Last, because the end that comes up second can send at once; the kernel wakes the other in its own time.
        inside.raise(inner_end(place), VETH_NETWORK).await?;
        inside.default_via(place.outer).await
    })
}

/// Removes what is there of the slot's network. Call it on a thread of its own.
pub(super) fn detach(options: &Options, veth: &str, path: &Path) -> Result<(), Error> {
    if worker::enter_uplink_if_there(options)? {
        worker::drive(async { Links::here()?.delete(veth).await })?;
    }
    forget(path)
}

/// The interface through which guests leave.
pub(super) async fn road(options: &Options, outside: &Links) -> Result<Link, Error> {
    let road = match &options.uplink {
        None => outside.default_route().await?.ok_or(Error::NoDefaultRoute)?,
        Some(name) => {
            let found = outside.find(name).await?;
            found.ok_or_else(|| Error::Uplink { name: name.clone() })?
        }
    };
    if rules::is_plain(&road.name) { Ok(road) } else { Err(Error::Uplink { name: road.name }) }
}

/// Another daemon with the same pool would take this slot's answers.
async fn refuse_stolen(outside: &Links, place: &Place) -> Result<(), Error> {
    let range = place.range();
    let routes = outside.routes().await?;
    for route in routes.iter().filter(|route| route.steals(range)) {
        let link = outside.of_index(route.interface).await?;
        match link.map(|link| link.name) {
            Some(interface) if interface != place.veth => {
                return Err(Error::PoolTaken { range, interface, route: route.to });
            }
            _ => {}
        }
    }
    Ok(())
}

/// The veth first: the kernel takes a namespace apart in its own time, and the name would stay taken meanwhile.
async fn remove(outside: &Links, place: &Place) -> Result<(), Error> {
    outside.delete(&place.veth).await?;
    forget(&place.netns)
}

fn forget(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::Namespace { verb: "remove", path: path.to_owned(), source };
    netns::remove(path).map_err(failed)
}

fn enter_slot(place: &Place) -> Result<(), Error> {
    let failed = |source| Error::Namespace { verb: "make", path: place.netns.clone(), source };
    netns::enter_new(&place.netns).map_err(failed)
}

async fn add_tap(inside: &Links, place: &Place, owner: u32, mtu: u32) -> Result<(), Error> {
    let failed = |source| Error::Tap { tap: TAP, netns: place.netns.clone(), source };
    tap::create(TAP, owner).map_err(failed)?;
    inside.up("lo").await?;
    inside.shape(TAP, mac_of(GATEWAY), mtu).await?;
    let index = inside.raise(End { name: TAP, address: GATEWAY }, GUEST_NETWORK).await?;
    // A guest that was restored elsewhere has not said who it is: no ARP is needed to answer it.
    inside.pin(index, End { name: TAP, address: GUEST }).await
}

/// Opens the uplink's end. The thread is back in the uplink's namespace afterwards.
async fn open_uplink(
    outside: &Links,
    uplink: &OwnedFd,
    place: &Place,
    road: &Link,
) -> Result<(), Error> {
    netns::enter(uplink.as_fd()).map_err(|source| Error::Thread { source })?;
    let (veth, road) = (&place.veth, &road.name);
    // Per interface: the host becomes no router for its other interfaces.
    set_all(&[
        (&format!("ipv6/conf/{veth}/disable_ipv6"), "1"),
        (&format!("ipv4/conf/{veth}/forwarding"), "1"),
        (&format!("ipv4/conf/{road}/forwarding"), "1"),
    ])?;
    outside.raise(outer_end(place), VETH_NETWORK).await.map(drop)
}

fn inner_end(place: &Place) -> End<'_> {
    End { name: UPLINK, address: place.inner }
}

fn outer_end(place: &Place) -> End<'_> {
    End { name: &place.veth, address: place.outer }
}

fn set_all(settings: &[(&str, &str)]) -> Result<(), Error> {
    for (setting, value) in settings {
        match netns::set(setting, value) {
            // A kernel without IPv6 needs it not switched off.
            Err(source) if source.kind() == ErrorKind::NotFound && setting.starts_with("ipv6/") => {
            }
            Err(source) => return Err(Error::Setting { setting: (*setting).to_owned(), source }),
            Ok(()) => {}
        }
    }
    Ok(())
}
