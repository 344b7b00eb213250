//! What a guest and its VMM are told of its network.

use super::derive::{
    self, GATEWAY, GATEWAY6, GATEWAY6_LINK, GUEST, GUEST_NETWORK, GUEST_NETWORK6, GUEST6, Place,
    TAP,
};
use super::egress::To;
use super::{Attached, Egress, Ipv6};
use crate::vmm::Nic;
use flint_wire::{Network, Network6};
use std::net::IpAddr;

/// Whom the guest is told to ask for names: nobody who would not answer.
pub(super) fn resolvers(egress: &Egress, ipv6: Ipv6, dns: &[IpAddr]) -> Vec<IpAddr> {
    match (&egress.to, egress.names()) {
        (To::Internet, _) => {
            dns.iter().filter(|ip| ip.is_ipv4() || ipv6 != Ipv6::Off).copied().collect()
        }
        (_, Some(_)) => vec![IpAddr::V4(GATEWAY)],
        (_, None) => Vec::new(),
    }
}

pub(super) fn attached(place: &Place, dns: Vec<IpAddr>) -> Attached {
    let nic = Nic {
        netns: place.netns.clone(),
        tap: TAP.to_owned(),
        mac: derive::mac_text(derive::mac_of(GUEST)),
    };
    let six = place.six.map(|_| match place.public {
        None => Network6 {
            address: format!("{GUEST6}/{GUEST_NETWORK6}"),
            gateway: GATEWAY6.to_string(),
        },
        // Nobody else is on its link: not even others of its network.
        Some(own) => Network6 { address: format!("{own}/128"), gateway: GATEWAY6_LINK.to_string() },
    });
    let guest = Network {
        address: format!("{GUEST}/{GUEST_NETWORK}"),
        gateway: GATEWAY.to_string(),
        dns: dns.iter().map(ToString::to_string).collect(),
        ipv6: six,
    };
    Attached { nic, guest }
}
