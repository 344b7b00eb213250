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
            Error::PoolTaken { .. } => Some(
                "choose addresses that nothing else on this host uses, in `host.address_pool`, and in `host.ipv6` if that is \
                 a prefix: another Flint needs its own of both",
            ),
            Error::NoDefaultRoute => Some(
                "name the uplink interface in the configuration, or give the host a default route",
            ),
            Error::Uplink { .. } => Some("`ip link` lists the interfaces that are there"),
            Error::Bridge { source, .. } => Some(source.help()),
            Error::Names { source } => Some(source.help()),
            Error::NftMissing { .. } => Some("install nftables: `apt install nftables`"),
            Error::Tap { .. } => Some("`modprobe tun` makes /dev/net/tun, if it is missing"),
            other => other.help_of_kernel(),
        }
    }

    /// The same of what only the kernel or `nft` has against it.
    fn help_of_kernel(&self) -> Option<&'static str> {
        match self {
            Error::Namespace { verb: "enter", .. } => Some(
                "`host.uplink_netns` names it: `ip netns list` shows those that are there, `ip netns add` makes one",
            ),
            Error::Namespace { .. } => Some(
                "Flint runs as root with CAP_SYS_ADMIN, and /run/netns is a directory that it may write; `flint doctor` \
                 looks at the rest",
            ),
            Error::Link { .. } => Some(
                "Flint runs as root with CAP_NET_ADMIN, on a kernel with veth and, for `host.bridge`, bridge: `modprobe veth \
                 bridge`, and `dmesg` may say more",
            ),
            Error::Setting { .. } => Some(
                "the kernel's settings must be writable: in a container, run it privileged; `sysctl` shows and sets the same one",
            ),
            Error::Rules { .. } => Some(
                "nftables 0.9.3 or newer, on a kernel with nf_tables, its NAT and connection tracking: `modprobe nf_tables \
                 nft_chain_nat nft_ct nft_fib_inet nft_connlimit`",
            ),
            Error::Nft { .. } => Some(
                "`nft list ruleset` as root shows what ails it: most often no memory, or no right to start a process",
            ),
            Error::Thread { .. } => Some(
                "Flint runs as root with CAP_SYS_ADMIN; if that is so, the host has no threads or no memory left: `flint \
                 doctor` reads both",
            ),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> io::Error {
        io::Error::from(io::ErrorKind::PermissionDenied)
    }

    #[test]
    fn each_error_names_its_fix() {
        let pool = Cidr::v4([10, 213, 0, 0], 16);
        let (netns, path, whose) = (PathBuf::new(), PathBuf::new(), String::new());
        let interface = whose.clone();
        let said = whose.clone();
        let errors = [
            Error::Prefix { prefix: whose.clone() },
            Error::SlotBeyondPool { slot: Slot(0), pool },
            Error::PoolTaken { range: pool, interface: whose.clone(), route: pool },
            Error::NoDefaultRoute,
            Error::Uplink { name: whose.clone() },
            Error::Bridge { name: whose.clone(), source: bridge::Error::Gone },
            Error::Namespace { verb: "enter", path: path.clone(), source: source() },
            Error::Namespace { verb: "make", path: path.clone(), source: source() },
            Error::Tap { tap: "vmtap0", netns: netns.clone(), source: source() },
            Error::Link { change: "bring up", interface, source: source() },
            Error::Setting { setting: whose.clone(), source: source() },
            Error::NftMissing { source: source() },
            Error::Nft { whose: whose.clone(), source: source() },
            Error::Rules { whose, said },
            Error::Thread { source: source() },
            names::Error::Kept { verb: "read", path, source: source() }.into(),
            names::Error::Slot { netns, source: source() }.into(),
            names::Error::Absent { slot: Slot(0) }.into(),
            names::Error::Process { source: source() }.into(),
            names::Error::Unconfined { lost: String::new() }.into(),
            names::Error::Alone.into(),
        ];
        for error in errors {
            assert!(error.help().is_some_and(|help| help.len() > 20), "{error:?}");
        }
        let unconfined = Error::from(names::Error::Unconfined { lost: String::new() });
        assert!(unconfined.help().is_some_and(|help| help.contains("`confine = false`")));
    }
}
