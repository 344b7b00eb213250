//! Texts that mean sizes, times, addresses and owners: each parser says what it wanted.

use flint_core::units::MiB;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

/// A network: an address and how many of its leading bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// With all bits that do not count at zero.
    pub address: IpAddr,
    /// 0 to 32, or 0 to 128.
    pub prefix: u8,
}

impl Cidr {
    /// Whether the two have an address in common.
    #[must_use]
    pub fn overlaps(&self, other: &Cidr) -> bool {
        let shorter = self.prefix.min(other.prefix);
        masked(self.address, shorter) == masked(other.address, shorter)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl FromStr for Cidr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || "a network such as `10.1.0.0/16`".to_owned();
        let (address, prefix) = text.split_once('/').ok_or_else(wanted)?;
        let address: IpAddr = address.parse().map_err(|_| wanted())?;
        let prefix: u8 = prefix.parse().map_err(|_| wanted())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        if prefix > width {
            return Err(wanted());
        }
        let network = masked(address, prefix);
        if network != address {
            return Err(format!("a network: did you mean `{network}/{prefix}`?"));
        }
        Ok(Cidr { address, prefix })
    }
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    let prefix = u32::from(prefix);
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

/// `512 MiB`, `4 GiB`, `1 TiB`; the space is optional. Never a bare number: nobody remembers which unit was meant.
pub(super) fn size(text: &str) -> Result<MiB, String> {
    let wanted = || "a size with its unit, such as `4 GiB` or `512 MiB`".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wanted())?;
    let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "mib" => 1,
        "gib" => 1024,
        "tib" => 1024 * 1024,
        "mb" | "gb" | "tb" => {
            return Err(format!("{}: sizes are in MiB, GiB or TiB", wanted()));
        }
        _ => return Err(wanted()),
    };
    number.checked_mul(unit).map(MiB).ok_or_else(wanted)
}

/// `90s`, `5 minutes`, `1h 30m`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let wanted = || "a time such as `90s`, `5 minutes` or `1h 30m`".to_owned();
    let parsed: jiff::SignedDuration = text.parse().map_err(|_| wanted())?;
    let duration = Duration::try_from(parsed).map_err(|_| wanted())?;
    if duration.is_zero() {
        return Err("a time above zero".to_owned());
    }
    Ok(duration)
}

/// `127.0.0.1:9198`, `[::1]:9198`, or `:9198` as the original Flint wrote "all addresses".
pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    let whole = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
    whole.parse().map_err(|_| "an address and a port, such as `127.0.0.1:9198`".to_owned())
}

/// `owner/name` with GitHub's characters.
pub(super) fn repository(text: &str) -> Result<(String, String), String> {
    let plain = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    match text.split_once('/') {
        Some((owner, name)) if plain(owner) && plain(name) => {
            Ok((owner.to_owned(), name.to_owned()))
        }
        _ => Err("a repository, such as `octocat/hello-world`".to_owned()),
    }
}

/// An organization's login.
pub(super) fn organization(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !text.is_empty() && text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    Err("an organization's login, as in its address, such as `octo-org`".to_owned())
}

/// GitHub's REST address, with a slash at its end so that paths can be joined to it.
pub(super) fn url(text: &str) -> Result<url::Url, String> {
    let wanted = || "an address such as `https://api.github.com`".to_owned();
    let mut parsed = url::Url::parse(text).map_err(|_| wanted())?;
    if !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() {
        return Err(wanted());
    }
    if parsed.query().is_some() || parsed.fragment().is_some() || !parsed.username().is_empty() {
        return Err(format!("{}, without user, `?` and `#`", wanted()));
    }
    if !parsed.path().ends_with('/') {
        let path = format!("{}/", parsed.path());
        parsed.set_path(&path);
    }
    Ok(parsed)
}

/// The known word nearest to a wrong one, if it is near enough to be what was meant.
pub(super) fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let ranked = known.map(|word| (distance(wrong, word), word)).min()?;
    // A third of the word may be wrong; beyond that a suggestion misleads.
    (ranked.0 <= (wrong.len() / 3).max(1)).then_some(ranked.1)
}

/// Levenshtein's distance.
pub(super) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replace = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
