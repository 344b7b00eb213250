//! What the root half does in a slot's namespace for the resolver: sockets at the start, addresses at each answer.

use super::super::derive::{GATEWAY, GATEWAY6};
use super::super::{Error as Failed, nft, rules, worker};
use super::{Error, Served};
use crate::sys::netns;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

/// Resolvers that are asked; more help nobody.
const RESOLVERS_MAX: usize = 4;

/// A slot's sockets: those the guest asks, and how many; then one for each resolver.
pub(super) async fn sockets(served: &Served) -> Result<(Vec<OwnedFd>, usize), Failed> {
    let served = served.clone();
    worker::run(move || {
        let failed = |source| Error::Slot { netns: served.netns.clone(), source };
        enter(&served.netns).map_err(failed)?;
        Ok(open(&served).map_err(failed)?)
    })
    .await
}

/// Whether somebody else listens there.
pub(super) fn is_taken(error: &Failed) -> bool {
    let Failed::Names { source: Error::Slot { source, .. } } = error else { return false };
    source.kind() == io::ErrorKind::AddrInUse
}

fn open(served: &Served) -> io::Result<(Vec<OwnedFd>, usize)> {
    let mut sockets = vec![UdpSocket::bind((GATEWAY, 53))?];
    if served.ipv6 {
        sockets.push(UdpSocket::bind((GATEWAY6, 53))?);
    }
    let listen = sockets.len();
    for resolver in served.dns.iter().take(RESOLVERS_MAX) {
        let any = match resolver {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect((*resolver, 53))?;
        sockets.push(socket);
    }
    Ok((sockets.into_iter().map(OwnedFd::from).collect(), listen))
}

/// Opens addresses for so many seconds each.
pub(super) async fn addresses(netns: PathBuf, addresses: Vec<(IpAddr, u64)>) -> Result<(), Failed> {
    worker::run(move || {
        let failed = |source| Error::Slot { netns: netns.clone(), source };
        enter(&netns).map_err(failed)?;
        nft::load(&netns.display().to_string(), &rules::open(&addresses))?.finish()
    })
    .await
}

fn enter(netns: &std::path::Path) -> io::Result<()> {
    netns::enter(netns::open(netns)?.as_fd())
}
