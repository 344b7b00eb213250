//! A range of addresses, `10.213.0.0/16` or `fd00:1::/48`.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A network and the length of its prefix; no bit behind the prefix is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Cidr {
    address: IpAddr,
    length: u8,
}

/// A text that is no range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a range of addresses, such as `10.213.0.0/16`{}", hint(.meant))]
pub struct BadCidr {
    /// What was given.
    pub text: String,
    /// The range that its address lies in, if only the bits behind the prefix are wrong.
    pub meant: Option<Cidr>,
}

fn hint(meant: &Option<Cidr>) -> String {
    meant.map(|range| format!("; did you mean `{range}`?")).unwrap_or_default()
}

impl Cidr {
    /// The IPv4 range of `length` bits that `address` lies in. A length over 32 is 32.
    #[must_use]
    pub const fn v4(address: [u8; 4], length: u8) -> Self {
        let length = if length > 32 { 32 } else { length };
        let bits = u32::from_be_bytes(address) & mask4(length);
        Cidr { address: IpAddr::V4(Ipv4Addr::from_bits(bits)), length }
    }

    /// The IPv6 range of `length` bits that `address` lies in. A length over 128 is 128.
    #[must_use]
    pub const fn v6(address: Ipv6Addr, length: u8) -> Self {
        let length = if length > 128 { 128 } else { length };
        let bits = address.to_bits() & mask6(length);
        Cidr { address: IpAddr::V6(Ipv6Addr::from_bits(bits)), length }
    }

    /// The range of `length` bits that `address` lies in.
    #[must_use]
    pub const fn around(address: IpAddr, length: u8) -> Self {
        match address {
            IpAddr::V4(address) => Cidr::v4(address.octets(), length),
            IpAddr::V6(address) => Cidr::v6(address, length),
        }
    }

    /// Its first address.
    #[must_use]
    pub const fn first(self) -> IpAddr {
        self.address
    }

    /// The length of its prefix, 0 to 32 or 128.
    #[must_use]
    pub const fn length(self) -> u8 {
        self.length
    }

    /// Whether its addresses are IPv6.
    #[must_use]
    pub const fn is_ipv6(self) -> bool {
        self.address.is_ipv6()
    }

    /// Whether the address lies in it.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        Cidr::around(address, self.length).address == self.address
    }

    /// Whether an address lies in both.
    #[must_use]
    pub fn overlaps(self, other: Cidr) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }
}

// A shift by the whole width is none of Rust's; `/0` is the only one.

const fn mask4(length: u8) -> u32 {
    match u32::MAX.checked_shl(32 - length as u32) {
        Some(mask) => mask,
        None => 0,
    }
}

const fn mask6(length: u8) -> u128 {
    match u128::MAX.checked_shl(128 - length as u32) {
        Some(mask) => mask,
        None => 0,
    }
}

impl FromStr for Cidr {
    type Err = BadCidr;

    /// A lone address is a range of one. Bits behind the prefix are a mistake, not to be guessed at.
    fn from_str(text: &str) -> Result<Self, BadCidr> {
        let bad = |meant| BadCidr { text: text.to_owned(), meant };
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| bad(None))?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let length = length.map_or(Some(width), |length| length.parse().ok());
        let length = length.filter(|length| *length <= width).ok_or_else(|| bad(None))?;
        match Cidr::around(address, length) {
            range if range.address == address => Ok(range),
            meant => Err(bad(Some(meant))),
        }
    }
}

impl TryFrom<String> for Cidr {
    type Error = BadCidr;

    fn try_from(text: String) -> Result<Self, BadCidr> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(range: Cidr) -> Self {
        range.to_string()
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn a_range_prints_as_it_is_read() {
        for text in ["10.213.0.0/16", "0.0.0.0/0", "192.168.241.2/32", "fd00:1::/48", "::/0"] {
            assert_eq!(range(text).to_string(), text);
        }
        assert_eq!(range("10.0.0.1").to_string(), "10.0.0.1/32");
        assert_eq!(range("2001:db8::7").to_string(), "2001:db8::7/128");
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in [
            "",
            "/8",
            "10.0.0.0/33",
            "10.0.0.1/8",
            "10.0.0.0/-1",
            "10.0.0/8",
            "::/129",
            "fd00::1/64",
        ] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
        let meant = "10.0.0.1/8".parse::<Cidr>().unwrap_err().meant;
        assert_eq!(meant, Some(range("10.0.0.0/8")));
    }

    #[test]
    fn overlap_is_containment_of_one_in_the_other() {
        assert!(range("10.0.0.0/8").overlaps(range("10.213.0.0/16")));
        assert!(range("10.213.0.0/16").overlaps(range("10.0.0.0/8")));
        assert!(range("0.0.0.0/0").overlaps(range("1.2.3.4/32")));
        assert!(!range("10.213.0.0/31").overlaps(range("10.213.0.2/31")));
        assert!(range("::/0").overlaps(range("fd00::/8")));
        assert!(!range("::/0").overlaps(range("0.0.0.0/0")));
    }
}
