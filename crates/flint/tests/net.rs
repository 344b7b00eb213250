//! Slots' networks for real: netlink, nft and frames through a tap, in namespaces that each test makes for itself.
//!
//! Needs root and says so. A guest is played by [`net::guest`]: a few lines of Ethernet on the tap's file, where a
//! VMM would sit. Each denial stands beside a control that removes the rule and sees the same packet arrive.

#[cfg(test)]
mod confined;
#[cfg(test)]
#[path = "net/mod.rs"]
mod net;
