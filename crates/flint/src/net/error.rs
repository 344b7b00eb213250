//! What can go wrong with a slot's network.

use super::{Cidr, bridge, names};
use flint_core::id::Slot;
use std::io;
use std::path::PathBuf;

/// A network that could not be made, looked at or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configured prefix names no interface.
    #[error("cannot name interfaces after `{prefix}`")]
    Prefix {
        /// As configured.
        prefix: String,
    },
    /// More slots than addresses.
    #[error("cannot give slot {slot} an address: the pool `{pool}` is too small")]
    SlotBeyondPool {
        /// Which.
        slot: Slot,
        /// As configured.
        pool: Cidr,
    },
    /// Somebody else on this host uses the slot's addresses.
    #[error("cannot use `{range}` for a slot: `{interface}` has a route to `{route}`")]
    PoolTaken {
        /// The slot's part of the pool.
        range: Cidr,
        /// Whose route is in the way.
        interface: String,
        /// That route.
        route: Cidr,
    },
    /// No way out.
    #[error("cannot find the uplink: no default route in its network namespace")]
    NoDefaultRoute,
    /// The configured uplink is not there, or cannot be named in a ruleset.
    #[error("cannot use the uplink interface `{name}`: no such interface, or not a plain name")]
    Uplink {
        /// As configured, or as the default route has it.
        name: String,
    },
    /// The bridge of classic mode.
    #[error("cannot use the bridge `{name}`")]
    Bridge {
        /// As configured.
        name: String,
        /// Why.
        source: bridge::Error,
    },
    /// The slot's namespace, or the uplink's.
    #[error("cannot {verb} the network namespace `{path}`")]
    Namespace {
        /// `make`, `remove`, `list`, or `enter` the uplink's.
        verb: &'static str,
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The tap device.
    #[error("cannot make the tap `{tap}` in `{netns}`")]
    Tap {
        /// Its name.
        tap: &'static str,
        /// Where.
        netns: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel refused a change of an interface, an address, a route or a neighbour.
    #[error("cannot {change} `{interface}`")]
    Link {
        /// What was to be done, as in "bring up".
        change: &'static str,
        /// Which interface.
        interface: String,
        /// Why.
        source: io::Error,
    },
    /// A setting under `/proc/sys/net`.
    #[error("cannot set `net/{setting}`")]
    Setting {
        /// Its path.
        setting: String,
        /// Why.
        source: io::Error,
    },
    /// No `nft` program.
    #[error("cannot run `nft`")]
    NftMissing {
        /// Why.
        source: io::Error,
    },
    /// `nft` is there and could not be run.
    #[error("cannot run `nft` for {whose}")]
    Nft {
        /// Whose ruleset.
        whose: String,
        /// Why.
        source: io::Error,
    },
    /// `nft` refused.
    #[error("cannot load the ruleset of {whose}: nft says `{said}`")]
    Rules {
        /// Whose.
        whose: String,
        /// Its words.
        said: String,
    },
    /// The resolver for guests with a list of names.
    #[error("cannot resolve names for guests")]
    Names {
        /// Why.
        source: names::Error,
    },
    /// The thread that does the work ended early, or could not be started.
    #[error("cannot work in another network namespace")]
    Thread {
        /// Why.
        source: io::Error,
    },
}

impl From<names::Error> for Error {
    fn from(source: names::Error) -> Self {
        Error::Names { source }
    }
}

impl Error {
    /// What the user can do about it, if it is the user's to do.
    #[must_use]
    pub fn help(&self) -> Option<&'static str> {
        match self {
            Error::Prefix { .. } => {
                Some("a prefix has 1 to 9 of a-z and 0-9 and starts with a letter, such as `flint`")
            }
            Error::SlotBeyondPool { .. } => {
                Some("each slot takes two addresses: choose a larger pool or fewer slots")
            }
            Error::PoolTaken { .. } => Some("choose a pool that nothing else on this host uses"),
            Error::NoDefaultRoute => Some(
                "name the uplink interface in the configuration, or give the host a default route",
            ),
            Error::Uplink { .. } => Some("`ip link` lists the interfaces that are there"),
            Error::Bridge { source, .. } => Some(source.help()),
            Error::NftMissing { .. } => Some("install nftables: `apt install nftables`"),
            Error::Tap { .. } => Some("`modprobe tun` makes /dev/net/tun, if it is missing"),
            _ => None,
        }
    }
}
