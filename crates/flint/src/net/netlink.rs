//! Interfaces, addresses, routes and neighbours of one network namespace, over netlink.
//!
//! A netlink socket belongs to the namespace in which its thread was when it was opened, for ever. So one thread
//! can hold the uplink's [`Links`] while it works inside of a slot.

use super::derive::{UPLINK, VETH_NETWORK};
use super::{Cidr, Error};
use futures_util::TryStreamExt;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::AddressAttribute;
use netlink_packet_route::link::{InfoData, InfoVeth, LinkAttribute, LinkMessage};
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage};
use rtnetlink::{Handle, LinkBridge, LinkBridgePort, LinkUnspec, LinkVeth, RouteMessageBuilder};
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
    /// What somebody wrote beside it.
    pub(super) alias: String,
    /// The bridge that it is a port of.
    controller: Option<u32>,
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
    pub(super) mac: [u8; 6],
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

    /// All interfaces.
    pub(super) async fn all(&self) -> Result<Vec<Link>, Error> {
        let all: Result<Vec<_>, _> = self.handle.link().get().execute().try_collect().await;
        let all = all.map_err(io_of).map_err(refused("list", "all interfaces"))?;
        Ok(all.into_iter().map(Link::from).collect())
    }

    /// The names of all interfaces.
    pub(super) async fn names(&self) -> Result<Vec<String>, Error> {
        Ok(self.all().await?.into_iter().map(|link| link.name).collect())
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
            .address(other.mac.to_vec())
            .mtu(mtu)
            .setns_by_fd(other_namespace.as_raw_fd())
            .build();
        let pair = LinkVeth::new(this.name, other.name)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .address(this.mac.to_vec())
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
        let End { name, address, .. } = end;
        self.up(name).await?;
        let link = self.find(name).await?;
        let gone = || refused("give an address to", name)(ErrorKind::NotFound.into());
        let index = link.ok_or_else(gone)?.index;
        self.address((name, index), IpAddr::V4(address), prefix).await?;
        Ok(index)
    }

    /// Gives an interface one more address, if it has not got it.
    pub(super) async fn address(
        &self,
        (name, index): (&str, u32),
        address: IpAddr,
        prefix: u8,
    ) -> Result<(), Error> {
        let added = self.handle.address().add(index, address, prefix).replace().execute().await;
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

    /// Makes a bridge with this mark beside its name.
    pub(super) async fn add_bridge(
        &self,
        name: &str,
        mark: &str,
        mac: [u8; 6],
    ) -> Result<Link, Error> {
        let bridge = LinkBridge::new(name).address(mac.to_vec()).alias(mark).build();
        let added = self.handle.link().add(bridge).execute().await;
        added.map_err(io_of).map_err(refused("make the bridge", name))?;
        // The kernel takes an alias for an interface that is there, and not while it makes one.
        let marked = LinkUnspec::new_with_name(name).alias(mark).build();
        let set = self.handle.link().set(marked).execute().await;
        set.map_err(io_of).map_err(refused("mark", name))?;
        let gone = || refused("find", name)(ErrorKind::NotFound.into());
        self.find(name).await?.ok_or_else(gone)
    }

    /// Makes an interface a port of a bridge that speaks with none of the other ports.
    pub(super) async fn join(&self, (name, index): (&str, u32), bridge: u32) -> Result<(), Error> {
        let joined = LinkUnspec::new_with_index(index).controller(bridge).build();
        let set = self.handle.link().set(joined).execute().await;
        set.map_err(io_of).map_err(refused("make a port of", name))?;
        let apart = LinkBridgePort::new(index).isolated(true).build();
        let set = self.handle.link().set_port(apart).execute().await;
        set.map_err(io_of).map_err(refused("set apart the port", name))
    }

    /// The names of a bridge's ports.
    pub(super) async fn ports(&self, bridge: u32) -> Result<Vec<String>, Error> {
        let links = self.all().await?.into_iter();
        Ok(links.filter(|l| l.controller == Some(bridge)).map(|link| link.name).collect())
    }

    /// An interface's addresses.
    pub(super) async fn addresses(&self, index: u32) -> Result<Vec<IpAddr>, Error> {
        let get = self.handle.address().get().set_link_index_filter(index).execute();
        let all: Result<Vec<_>, _> = get.try_collect().await;
        let all =
            all.map_err(io_of).map_err(refused("list the addresses of", &index.to_string()))?;
        let attributes = all.into_iter().flat_map(|message| message.attributes);
        let address = |attribute| match attribute {
            AddressAttribute::Address(address) => Some(address),
            _ => None,
        };
        Ok(attributes.filter_map(address).collect())
    }

    /// Leads what is for this address to an interface.
    pub(super) async fn route_to(&self, address: Ipv6Addr, interface: u32) -> Result<(), Error> {
        let route = RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(address, 128);
        let route = route.output_interface(interface).build();
        let added = self.handle.route().add(route).replace().execute().await;
        added.map_err(io_of).map_err(refused("add a route for", &address.to_string()))
    }

    /// Answers on this interface for an address that is behind the host (proxied NDP).
    pub(super) async fn proxy(&self, road: &Link, address: Ipv6Addr) -> Result<(), Error> {
        let proxy = self.handle.neighbours().add(road.index, IpAddr::V6(address));
        let proxy = proxy.flags(NeighbourFlags::Proxy).state(NeighbourState::None);
        let added = proxy.replace().execute().await;
        added.map_err(io_of).map_err(refused("answer for a guest on", &road.name))
    }

    /// Answers for it no more. An address that it did not answer for is fine.
    pub(super) async fn unproxy(&self, road: &Link, address: Ipv6Addr) -> Result<(), Error> {
        self.forget(road.index, IpAddr::V6(address), NeighbourFlags::Proxy)
            .await
            .map_err(refused("answer no more for a guest on", &road.name))
    }

    /// The addresses that it answers for on an interface.
    pub(super) async fn proxied(&self, road: &Link) -> Result<Vec<Ipv6Addr>, Error> {
        let get = self
            .handle
            .neighbours()
            .get()
            .proxies()
            .set_address_family(AddressFamily::Inet6)
            .execute();
        let all: Result<Vec<_>, _> = get.try_collect().await;
        let all =
            all.map_err(io_of).map_err(refused("list what is answered for on", &road.name))?;
        let ours = all.into_iter().filter(|message| message.header.ifindex == road.index);
        let address = |attribute| match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => Some(address),
            _ => None,
        };
        Ok(ours.flat_map(|message| message.attributes).filter_map(address).collect())
    }

    /// Forgets which MAC address a neighbour has. One that was not known is fine.
    pub(super) async fn unpin(
        &self,
        (name, index): (&str, u32),
        address: IpAddr,
    ) -> Result<(), Error> {
        self.forget(index, address, NeighbourFlags::empty())
            .await
            .map_err(refused("forget the neighbour of", name))
    }

    async fn forget(&self, index: u32, address: IpAddr, flags: NeighbourFlags) -> io::Result<()> {
        let mut message = NeighbourMessage::default();
        message.header.family = match address {
            IpAddr::V4(_) => AddressFamily::Inet,
            IpAddr::V6(_) => AddressFamily::Inet6,
        };
        message.header.ifindex = index;
        message.header.flags = flags;
        let address = match address {
            IpAddr::V4(address) => NeighbourAddress::Inet(address),
            IpAddr::V6(address) => NeighbourAddress::Inet6(address),
        };
        message.attributes.push(NeighbourAttribute::Destination(address));
        match self.handle.neighbours().del(message).execute().await.map_err(io_of) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            deleted => deleted,
        }
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
        let (name, alias, controller) = (String::new(), String::new(), None);
        let mut link = Link { index: message.header.index, name, mtu: 1500, alias, controller };
        for attribute in message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name = name,
                LinkAttribute::Mtu(mtu) => link.mtu = mtu,
                LinkAttribute::IfAlias(alias) => link.alias = alias,
                LinkAttribute::Controller(index) => link.controller = Some(index),
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
        let narrow = if range.is_ipv6() { range.length() } else { VETH_NETWORK };
        self.to.length() >= narrow && self.to.overlaps(range)
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
