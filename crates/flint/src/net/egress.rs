//! Where a guest may go: everywhere outside, only to what is listed, or nowhere.

use super::{BadCidr, Cidr};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Where guests may go, and how much at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Egress {
    /// Where.
    pub to: To,
    /// What is not listed is let through, and only noted. What is never reached stays so.
    pub audit: bool,
    /// How much at once.
    pub limits: Traffic,
    /// Who may begin connections to a guest that has an address of its own.
    #[serde(default)]
    pub inbound: Vec<Cidr>,
}

/// Where guests may go. Never to the host, to other guests, or to a range that is denied to all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum To {
    /// Everywhere else.
    Internet,
    /// To these only; none is nowhere.
    Listed {
        /// Ranges of addresses; a private range that is named here is reached.
        ranges: Vec<Cidr>,
        /// Names, whose addresses are reached for as long as the answer that brought them lives.
        names: Vec<Name>,
    },
}

/// How much a guest may have of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Bytes per second, each way; `None` is no limit.
    pub bytes_per_second: Option<u64>,
    /// Connections at once.
    pub connections: u32,
    /// New connections per second; twice as many in a burst.
    pub new_per_second: u32,
}

/// Much more than a build needs, and far below what fills a host's table of connections.
pub const TRAFFIC: Traffic =
    Traffic { bytes_per_second: None, connections: 16_384, new_per_second: 1_000 };

/// What GitHub says that a runner needs, with its caches, artifacts and packages
/// (docs.github.com, "Self-hosted runners reference", accessible domains).
pub const GITHUB: [&str; 10] = [
    "github.com",
    "api.github.com",
    "codeload.github.com",
    "ghcr.io",
    "*.actions.githubusercontent.com",
    "*.githubusercontent.com",
    "*.pkg.github.com",
    "*.blob.core.windows.net",
    "github-cloud.s3.amazonaws.com",
    "uploads.github.com",
];

impl Egress {
    /// Everywhere outside, with the limits that everybody has.
    #[must_use]
    pub const fn internet() -> Self {
        Egress { to: To::Internet, audit: false, limits: TRAFFIC, inbound: Vec::new() }
    }

    /// The names for which a resolver of ours must stand between the guest and the others.
    #[must_use]
    pub fn names(&self) -> Option<&[Name]> {
        match &self.to {
            To::Listed { names, .. } if !names.is_empty() => Some(names),
            _ => None,
        }
    }
}

/// A domain name, `acme.example`, or all names below one, `*.acme.example`. Lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Name {
    domain: String,
    below: bool,
}

/// An entry of a list that is neither a range nor a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEntry {
    /// A star somewhere else, or above everything.
    #[error(
        "`{text}` would match too much: a star stands for what is below a name of two or more parts, such as `*.example.com`"
    )]
    Wildcard {
        /// As given.
        text: String,
    },
    /// A range of all addresses.
    #[error("`{text}` is every address: write `egress = \"internet\"`")]
    Everything {
        /// As given.
        text: String,
    },
    /// Everything that is no name.
    #[error(
        "`{text}` is neither a domain name, such as `acme.example`, nor a range of addresses, such as `10.1.0.0/16`"
    )]
    Neither {
        /// As given.
        text: String,
    },
    /// Letters that DNS does not have.
    #[error("`{text}` is not written as DNS writes it: use its `xn--` form")]
    International {
        /// As given.
        text: String,
    },
    /// A range with something wrong about it.
    #[error(transparent)]
    Range(BadCidr),
}

/// One entry of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// `github`: what a runner needs of GitHub.
    Github,
    /// Addresses.
    Range(Cidr),
    /// A name.
    Name(Name),
}

impl FromStr for Entry {
    type Err = BadEntry;

    fn from_str(text: &str) -> Result<Self, BadEntry> {
        if text == "github" {
            return Ok(Entry::Github);
        }
        let is_address = text.contains(['/', ':']) || text.split('.').all(is_number);
        if is_address {
            return match text.parse::<Cidr>() {
                Ok(range) if range.length() == 0 => {
                    Err(BadEntry::Everything { text: text.to_owned() })
                }
                range => range.map(Entry::Range).map_err(BadEntry::Range),
            };
        }
        text.parse().map(Entry::Name)
    }
}

fn is_number(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

impl Name {
    /// Whether it stands for this name, given in lower case without a dot at its end.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        match name.strip_suffix(&self.domain) {
            Some("") => !self.below,
            Some(rest) => self.below && rest.ends_with('.'),
            None => false,
        }
    }
}

impl FromStr for Name {
    type Err = BadEntry;

    fn from_str(text: &str) -> Result<Self, BadEntry> {
        let neither = || BadEntry::Neither { text: text.to_owned() };
        if !text.is_ascii() {
            return Err(BadEntry::International { text: text.to_owned() });
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let (domain, below) = match name.strip_prefix("*.") {
            Some(domain) => (domain.to_owned(), true),
            None => (name, false),
        };
        let two = domain.split('.').count() >= 2;
        if domain.contains('*') || (below && !two) {
            return Err(BadEntry::Wildcard { text: text.to_owned() });
        }
        let part = |part: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            (1..=63).contains(&part.len()) && part.chars().all(plain) && !part.starts_with('-')
        };
        // A name of one part is a top-level domain, or a name of the guest's own search list: neither can be meant.
        let good = two && domain.len() <= 253 && domain.split('.').all(part);
        if good { Ok(Name { domain, below }) } else { Err(neither()) }
    }
}

impl TryFrom<String> for Name {
    type Error = BadEntry;

    fn try_from(text: String) -> Result<Self, BadEntry> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.to_string()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.below { "*." } else { "" }, self.domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(name: &str, asked: &str) -> bool {
        name.parse::<Name>().unwrap().covers(asked)
    }

    #[test]
    fn a_name_covers_itself_and_a_star_what_is_below() {
        assert!(covers("acme.example", "acme.example"));
        assert!(covers("Acme.EXAMPLE.", "acme.example"));
        assert!(!covers("acme.example", "static.acme.example"));
        assert!(!covers("acme.example", "notacme.example"));
        assert!(covers("*.acme.example", "static.acme.example"));
        assert!(covers("*.acme.example", "a.b.acme.example"));
        assert!(!covers("*.acme.example", "acme.example"));
        assert!(!covers("*.acme.example", "evilacme.example"));
        assert!(!covers("*.acme.example", "acme.example.evil.net"));
    }

    #[test]
    fn what_would_match_too_much_is_refused() {
        for text in ["*", "*.com", "a.*.com", "*.*.com", "foo*.com"] {
            assert!(matches!(text.parse::<Entry>(), Err(BadEntry::Wildcard { .. })), "{text}");
        }
        for text in ["0.0.0.0/0", "::/0"] {
            assert!(matches!(text.parse::<Entry>(), Err(BadEntry::Everything { .. })), "{text}");
        }
    }

    #[test]
    fn what_is_no_entry_is_refused() {
        let long = format!("{}.com", "a".repeat(64));
        for text in
            ["", "com", "a..b", "-a.com", "a b.com", "http://a.com", "a.com/x", "1.2.3", &long]
        {
            assert!(text.parse::<Entry>().is_err(), "{text}");
        }
        let international = "bücher.example".parse::<Entry>();
        assert!(matches!(international, Err(BadEntry::International { .. })));
    }

    #[test]
    fn an_entry_is_a_range_a_name_or_github() {
        assert_eq!("github".parse(), Ok(Entry::Github));
        assert_eq!("10.1.0.0/16".parse(), Ok(Entry::Range("10.1.0.0/16".parse().unwrap())));
        assert_eq!("2001:db8::1".parse(), Ok(Entry::Range("2001:db8::1".parse().unwrap())));
        assert_eq!("1.2.3.4.nip.io".parse(), Ok(Entry::Name("1.2.3.4.nip.io".parse().unwrap())));
    }

    #[test]
    fn all_of_githubs_names_are_names() {
        assert!(GITHUB.iter().all(|name| name.parse::<Name>().is_ok()));
    }
}
