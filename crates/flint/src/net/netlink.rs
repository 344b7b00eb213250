//! Interfaces, addresses, routes and neighbours of one network namespace, over netlink.
//!
//! A netlink socket belongs to the namespace in which its thread was when it was opened, for ever. So one thread
//! can hold the uplink's [`Links`] while it works inside of a slot.

use super::derive::{UPLINK, VETH_NETWORK, mac_of};
use super::{Cidr, Error};
use futures_util::TryStreamExt;
use netlink_packet_route::link::{InfoData, InfoVeth, LinkAttribute, LinkMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage};
use rtnetlink::{Handle, LinkUnspec, LinkVeth, RouteMessageBuilder};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

/// One namespace's interfaces.
pub(super) struct Links {
    handle: Handle,
}

/// An interface that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) mtu: u32,
}

/// A route of the main table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) to: Cidr,
    pub(super) interface: u32,
    /// Whether what is there is a neighbour.
    pub(super) on_link: bool,
    metric: u32,
}

/// One of IPv4 and IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// One end of a veth pair.
pub(super) struct End<'a> {
    pub(super) name: &'a str,
    pub(super) address: Ipv4Addr,
}

impl Links {
    /// Those of the calling thread's namespace. Must be called inside a runtime of this thread.
    pub(super) fn here() -> Result<Self, Error> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(|source| Error::Thread { source })?;
        tokio::spawn(connection);
        Ok(Links { handle })
    }

    /// The interface of this name, if any.
    pub(super) async fn find(&self, name: &str) -> Result<Option<Link>, Error> {
        let found = self.handle.link().get().match_name(name).execute().try_next().await;
        let found = absent_is_none(found).map_err(refused("look at", name))?;
        Ok(found.flatten().map(Link::from))
    }

    /// The interface that the best default route leads through.
    pub(super) async fn default_route(&self, family: Family) -> Result<Option<Link>, Error> {
        let routes = self.routes(family).await?;
        let defaults = routes.iter().filter(|route| route.to.length() == 0);
        match defaults.min_by_key(|route| route.metric) {
            Some(best) => self.of_index(best.interface).await,
            None => Ok(None),
        }
    }

    /// The interface of this index, if any.
    pub(super) async fn of_index(&self, index: u32) -> Result<Option<Link>, Error> {
        let found = self.handle.link().get().match_index(index).execute().try_next().await;
        let what = || index.to_string();
        Ok(absent_is_none(found)
            .map_err(|e| refused("look at", &what())(e))?
            .flatten()
            .map(Link::from))
    }

    /// The names of all interfaces.
    pub(super) async fn names(&self) -> Result<Vec<String>, Error> {
        let all: Result<Vec<_>, _> = self.handle.link().get().execute().try_collect().await;
        let all = all.map_err(io_of).map_err(refused("list", "all interfaces"))?;
        Ok(all.into_iter().map(|message| Link::from(message).name).collect())
    }

    /// The routes of the main table.
    pub(super) async fn routes(&self, family: Family) -> Result<Vec<Route>, Error> {
        let all = match family {
            Family::V4 => RouteMessageBuilder::<Ipv4Addr>::new().build(),
            Family::V6 => RouteMessageBuilder::<Ipv6Addr>::new().build(),
        };
        let all: Result<Vec<_>, _> = self.handle.route().get(all).execute().try_collect().await;
        let all = all.map_err(io_of).map_err(refused("list", "the routes"))?;
        Ok(all.iter().filter_map(|message| route_of(message, family)).collect())
    }

    /// Removes an interface and all that hangs on it. An absent one is fine.
    pub(super) async fn delete(&self, name: &str) -> Result<(), Error> {
        let named = LinkUnspec::new_with_name(name).build();
        let deleted = self.handle.link().del_with_message(named).execute().await;
        absent_is_none(deleted).map(drop).map_err(refused("remove", name))
    }

    /// Makes a veth pair: this end here, the other in `other_namespace`. Both are down.
    pub(super) async fn add_veth(
        &self,
        this: End<'_>,
        other: End<'_>,
        other_namespace: BorrowedFd<'_>,
        mtu: u32,
    ) -> Result<(), Error> {
        let peer = LinkUnspec::new_with_name(other.name)
            .address(mac_of(other.address).to_vec())
            .mtu(mtu)
            .setns_by_fd(other_namespace.as_raw_fd())
            .build();
        let pair = LinkVeth::new(this.name, other.name)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .address(mac_of(this.address).to_vec())
            .mtu(mtu)
            .build();
        let added = self.handle.link().add(pair).execute().await;
        added.map_err(io_of).map_err(refused("make the veth pair", other.name))
    }

    /// Sets an interface's MAC address and MTU.
    pub(super) async fn shape(&self, name: &str, mac: [u8; 6], mtu: u32) -> Result<(), Error> {
        let shape = LinkUnspec::new_with_name(name).address(mac.to_vec()).mtu(mtu);
        let set = self.handle.link().set(shape.build()).execute().await;
        set.map_err(io_of).map_err(refused("set the MAC address and MTU of", name))
    }

    /// Brings an interface up and gives it an address; returns its index.
    pub(super) async fn raise(&self, end: End<'_>, prefix: u8) -> Result<u32, Error> {
        let End { name, address } = end;
        self.up(name).await?;
        let link = self.find(name).await?;
        let gone = || refused("give an address to", name)(ErrorKind::NotFound.into());
        let index = link.ok_or_else(gone)?.index;
        self.address((name, index), IpAddr::V4(address), prefix).await?;
        Ok(index)
    }

    /// Gives an interface one more address.
    pub(super) async fn address(
        &self,
        (name, index): (&str, u32),
        address: IpAddr,
        prefix: u8,
    ) -> Result<(), Error> {
        let added = self.handle.address().add(index, address, prefix).execute().await;
        added.map_err(io_of).map_err(refused("give an address to", name))
    }

    /// Brings an interface up.
    pub(super) async fn up(&self, name: &str) -> Result<(), Error> {
        let up = LinkUnspec::new_with_name(name).up().build();
        let set = self.handle.link().set(up).execute().await;
        set.map_err(io_of).map_err(refused("bring up", name))
    }

    /// Says once and for all which MAC address a neighbour has.
    pub(super) async fn pin(
        &self,
        (name, index): (&str, u32),
        address: IpAddr,
        mac: [u8; 6],
    ) -> Result<(), Error> {
        let neighbour = self.handle.neighbours().add(index, address);
        let added = neighbour.link_layer_address(&mac).replace().execute().await;
        added.map_err(io_of).map_err(refused("name the neighbour of", name))
    }

    /// Sends everything else to this gateway.
    pub(super) async fn default_via(&self, gateway: IpAddr, interface: u32) -> Result<(), Error> {
        let route = match gateway {
            IpAddr::V4(gateway) => {
                let route = RouteMessageBuilder::<Ipv4Addr>::new().gateway(gateway);
                route.output_interface(interface).build()
            }
            IpAddr::V6(gateway) => {
                let route = RouteMessageBuilder::<Ipv6Addr>::new().gateway(gateway);
                route.output_interface(interface).build()
            }
        };
        let added = self.handle.route().add(route).execute().await;
        added.map_err(io_of).map_err(refused("add a default route through", UPLINK))
    }
}

impl From<LinkMessage> for Link {
    fn from(message: LinkMessage) -> Self {
        let mut link = Link { index: message.header.index, name: String::new(), mtu: 1500 };
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name = name,
                LinkAttribute::Mtu(mtu) => link.mtu = mtu,
                _ => {}
            }
        }
        link
    }
}

fn route_of(message: &RouteMessage, family: Family) -> Option<Route> {
    let mut destination = match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let (mut interface, mut metric, mut on_link) = (None, 0, true);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(RouteAddress::Inet(to)) => destination = IpAddr::V4(*to),
            RouteAttribute::Destination(RouteAddress::Inet6(to)) => destination = IpAddr::V6(*to),
            RouteAttribute::Gateway(_) | RouteAttribute::Via(_) => on_link = false,
            RouteAttribute::Oif(index) => interface = Some(*index),
            RouteAttribute::Priority(priority) => metric = *priority,
            _ => {}
        }
    }
    let to = Cidr::around(destination, message.header.destination_prefix_length);
    let main = message.header.table == RouteHeader::RT_TABLE_MAIN;
    interface.filter(|_| main).map(|interface| Route { to, interface, on_link, metric })
}

impl Route {
    /// Whether this route takes packets away from `range`: it is as narrow, and leads elsewhere.
    pub(super) fn steals(&self, range: Cidr) -> bool {
        self.to.length() >= VETH_NETWORK && self.to.overlaps(range)
    }
}

fn io_of(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other),
    }
}

fn absent_is_none<T>(result: Result<T, rtnetlink::Error>) -> io::Result<Option<T>> {
    const ENODEV: i32 = rustix::io::Errno::NODEV.raw_os_error();
    match result.map_err(io_of) {
        Err(error) if error.raw_os_error() == Some(ENODEV) => Ok(None),
        result => result.map(Some),
    }
}

fn refused(change: &'static str, interface: &str) -> impl FnOnce(io::Error) -> Error {
    let interface = interface.to_owned();
    move |source| Error::Link { change, interface, source }
}
