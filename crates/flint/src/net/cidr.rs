//! A range of IPv4 addresses, `10.213.0.0/16`.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// A network and the length of its prefix; no bit behind the prefix is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cidr {
    address: Ipv4Addr,
    length: u8,
}

/// A text that is no range of addresses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a range of IPv4 addresses, such as `10.213.0.0/16`")]
pub struct BadCidr {
    /// What was given.
    pub text: String,
}

impl Cidr {
    /// The range of `length` bits that `address` lies in. A length over 32 is 32.
    #[must_use]
    pub const fn of(address: [u8; 4], length: u8) -> Self {
        let length = if length > 32 { 32 } else { length };
        let bits = u32::from_be_bytes(address) & mask(length);
        Cidr { address: Ipv4Addr::from_bits(bits), length }
    }

    /// Its first address.
    #[must_use]
    pub const fn first(self) -> Ipv4Addr {
        self.address
    }

    /// The length of its prefix, 0 to 32.
    #[must_use]
    pub const fn length(self) -> u8 {
        self.length
    }

    /// Whether the address lies in it.
    #[must_use]
    pub const fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & mask(self.length) == self.address.to_bits()
    }

    /// Whether an address lies in both.
    #[must_use]
    pub const fn overlaps(self, other: Cidr) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }
}

const fn mask(length: u8) -> u32 {
    // A shift by 32 is none of Rust's; `/0` is the only one.
    match u32::MAX.checked_shl(32 - length as u32) {
        Some(mask) => mask,
        None => 0,
    }
}

impl FromStr for Cidr {
    type Err = BadCidr;

    /// A lone address is a range of one. Bits behind the prefix are a mistake, not to be guessed at.
    fn from_str(text: &str) -> Result<Self, BadCidr> {
        let (address, length) = text.split_once('/').unwrap_or((text, "32"));
        let address: Option<Ipv4Addr> = address.parse().ok();
        let length = length.parse().ok().filter(|length| *length <= 32);
        let range = address.zip(length).map(|(a, length)| (a, Cidr::of(a.octets(), length)));
        range
            .filter(|(address, range)| range.address == *address)
            .map(|(_, range)| range)
            .ok_or_else(|| BadCidr { text: text.to_owned() })
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

    #[test]
    fn a_range_prints_as_it_is_read() {
        for text in ["10.213.0.0/16", "0.0.0.0/0", "192.168.241.2/32"] {
            assert_eq!(text.parse::<Cidr>().unwrap().to_string(), text);
        }
        assert_eq!("10.0.0.1".parse::<Cidr>().unwrap().to_string(), "10.0.0.1/32");
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "/8", "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/-1", "::/0", "10.0.0/8"] {
            assert!(text.parse::<Cidr>().is_err(), "{text}");
        }
    }

    #[test]
    fn overlap_is_containment_of_one_in_the_other() {
        let range = |text: &str| text.parse::<Cidr>().unwrap();
        assert!(range("10.0.0.0/8").overlaps(range("10.213.0.0/16")));
        assert!(range("10.213.0.0/16").overlaps(range("10.0.0.0/8")));
        assert!(range("0.0.0.0/0").overlaps(range("1.2.3.4/32")));
        assert!(!range("10.213.0.0/31").overlaps(range("10.213.0.2/31")));
    }
}
