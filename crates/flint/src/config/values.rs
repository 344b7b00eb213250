//! Texts that mean sizes, times, addresses and owners: each parser says what it wanted.

use crate::net::{BadCidr, Cidr, DENIED, Ipv6};
use flint_core::units::MiB;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

/// A network, `10.1.0.0/16`; never a lone address, which is as likely a slip.
pub(super) fn network(text: &str) -> Result<Cidr, String> {
    let wanted = || "a network such as `10.1.0.0/16`".to_owned();
    if !text.contains('/') {
        return Err(wanted());
    }
    text.parse().map_err(|BadCidr { meant, .. }| match meant {
        Some(meant) => format!("a network: did you mean `{meant}`?"),
        None => wanted(),
    })
}

/// The name of an interface, as the kernel and nft take it.
pub(super) fn interface(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let letter = text.starts_with(|c: char| c.is_ascii_alphabetic());
    if text.len() <= 15 && letter && text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    Err("1 to 15 of a-z, A-Z, 0-9 and `._-`, a letter first, such as `br-flint`".to_owned())
}

/// `10.0.0.1/24`: an address in its network.
pub(super) fn address_in_network(text: &str) -> Result<(Ipv4Addr, u8), String> {
    let wanted = || "an IPv4 address with its network's prefix, 8 to 30, such as `10.0.0.1/24`";
    let (address, length) = text.split_once('/').ok_or_else(|| wanted().to_owned())?;
    let address: Ipv4Addr = address.parse().map_err(|_| wanted().to_owned())?;
    let length: u8 = length.parse().map_err(|_| wanted().to_owned())?;
    let host = u32::MAX.checked_shr(length.into()).unwrap_or(0);
    let own = address.to_bits() & host;
    // The network's own number and its broadcast address are no interface's.
    if (8..=30).contains(&length) && own != 0 && own != host {
        return Ok((address, length));
    }
    Err(wanted().to_owned())
}

/// `off`, `nat`, or a prefix that is routed to this host.
pub(super) fn ipv6(text: &str) -> Result<Ipv6, String> {
    let wanted = || {
        "`off`, `nat`, or an IPv6 prefix that is routed to this host, of 48 to 112 bits, such as \
                     `2001:db8:1:2::/64`"
    };
    match text {
        "off" => Ok(Ipv6::Off),
        "nat" => Ok(Ipv6::Nat),
        text => {
            let range = network(text).map_err(|_| wanted().to_owned())?;
            let global = range.is_ipv6() && !DENIED.iter().any(|denied| denied.overlaps(range));
            let sized = (48..=112).contains(&range.length());
            if global && sized { Ok(Ipv6::Prefix(range)) } else { Err(wanted().to_owned()) }
        }
    }
}

/// `200 Mbit/s`, `1 Gbit/s`, in bytes per second.
pub(super) fn bandwidth(text: &str) -> Result<u64, String> {
    let wanted =
        || "a rate such as `200 Mbit/s` or `1 Gbit/s`, from 1 Mbit/s to 100 Gbit/s".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wanted())?;
    let unit: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "mbit/s" => 1_000_000 / 8,
        "gbit/s" => 1_000_000_000 / 8,
        _ => return Err(wanted()),
    };
    let bytes = number.checked_mul(unit).filter(|n| (125_000..=12_500_000_000).contains(n));
    bytes.ok_or_else(wanted)
}

/// `200 MiB/s`, `1 GiB/s`, in bytes per second. Less than 8 MiB/s boots no guest before its deadline.
pub(super) fn byte_rate(text: &str) -> Result<u64, String> {
    let wanted = || "a rate such as `200 MiB/s` or `1 GiB/s`, at least 8 MiB/s".to_owned();
    let (number, per_second) = text.rsplit_once('/').ok_or_else(wanted)?;
    let size = size(number.trim_end()).map_err(|_| wanted())?;
    let fits = per_second.trim() == "s" && (8..1 << 30).contains(&size.0);
    if fits { Ok(size.0 << 20) } else { Err(wanted()) }
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
pub(crate) fn listen(text: &str) -> Result<SocketAddr, String> {
    let whole = if text.starts_with(':') { format!("0.0.0.0{text}") } else { text.to_owned() };
    whole.parse().map_err(|_| "an address and a port, such as `127.0.0.1:9198`".to_owned())
}

/// Scopes at most, of all entries: each is asked about at GitHub by itself.
pub(crate) const SCOPES_MAX: usize = 256;

/// The longest secret of a webhook: an entry's scopes and secrets go in one packet to the process that faces the network.
pub(crate) const WEBHOOK_SECRET_MAX: usize = 4096;

/// No name at GitHub is longer: a repository's has 100 characters at most, a login fewer.
pub(crate) const NAME_MAX: usize = 100;

/// `owner/name` with GitHub's characters.
pub(crate) fn repository(text: &str) -> Result<(String, String), String> {
    let plain = |part: &str| {
        (1..=NAME_MAX).contains(&part.len())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    match text.split_once('/') {
        Some((owner, name)) if plain(owner) && plain(name) => {
            Ok((owner.to_owned(), name.to_owned()))
        }
        _ => Err("a repository, such as `octocat/hello-world`".to_owned()),
    }
}

/// An organization's login.
pub(crate) fn organization(text: &str) -> Result<String, String> {
    let wanted = || "an organization's login, as in its address, such as `octo-org`".to_owned();
    login(text).ok_or_else(wanted)
}

/// An enterprise's slug.
pub(super) fn enterprise(text: &str) -> Result<String, String> {
    let wanted = || "an enterprise's slug, as in its address, such as `octo-corp`".to_owned();
    login(text).ok_or_else(wanted)
}

fn login(text: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let fits = (1..=NAME_MAX).contains(&text.len()) && text.chars().all(plain);
    fits.then(|| text.to_owned())
}

/// GitHub's REST address, with a slash at its end so that paths can be joined to it.
pub(crate) fn url(text: &str) -> Result<url::Url, String> {
    let wanted = || "an address such as `https://api.github.com`".to_owned();
    let mut parsed = url::Url::parse(text).map_err(|_| wanted())?;
    if !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() {
        return Err(wanted());
    }
    if parsed.query().is_some() || parsed.fragment().is_some() || !parsed.username().is_empty() {
        return Err(format!("{}, without user, `?` and `#`", wanted()));
    }
    if let Some(api) = pages_instead(parsed.host_str().unwrap_or_default()) {
        return Err(format!("GitHub's REST address but that of its pages: {api}"));
    }
    if !parsed.path().ends_with('/') {
        let path = format!("{}/", parsed.path());
        parsed.set_path(&path);
    }
    Ok(parsed)
}

/// The REST address that was meant, where a host has GitHub's pages and no API.
fn pages_instead(host: &str) -> Option<String> {
    let resident = host.strip_suffix(".ghe.com").filter(|sub| !sub.starts_with("api."));
    match (host, resident) {
        ("github.com" | "www.github.com", _) => {
            Some("leave it out, or write `https://api.github.com`".to_owned())
        }
        (_, Some(sub)) => Some(format!("`https://api.{sub}.ghe.com`")),
        (_, None) => None,
    }
}

/// The known word nearest to a wrong one, if it is near enough to be what was meant.
pub(super) fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the word may be wrong; beyond that a suggestion misleads.
    let most = (wrong.len() / 3).max(1);
    let alike = known.filter(|word| word.len().abs_diff(wrong.len()) <= most);
    let ranked = alike.map(|word| (distance(wrong, word), word)).min()?;
    (ranked.0 <= most).then_some(ranked.1)
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
