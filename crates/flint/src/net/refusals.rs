//! What a guest was refused, as the kernel has counted it: it goes on counting while no daemon runs.

use super::{Error, nft};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// What one guest was refused, and what an audit let through that its list does not have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    /// What did not go out.
    pub refused: Tally,
    /// What would not have gone out, had it not been an audit.
    pub noted: Tally,
}

/// Attempts of one guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// In all, to whatever end.
    pub attempts: u64,
    /// The first distinct ends over TCP and UDP, the most frequent first.
    pub ends: Vec<Refused>,
    /// Names that were asked for, and how often each. Forgotten at a restart of the daemon.
    pub names: BTreeMap<String, u64>,
}

/// An end that a guest wanted to reach.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Refused {
    /// Where.
    pub to: SocketAddr,
    /// `tcp` or `udp`.
    pub protocol: Protocol,
    /// How often.
    pub attempts: u64,
}

/// What has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// What each line of a log about them begins with.
pub const EGRESS: &str = "egress: ";

/// Lines that a log gets of each tally.
const LINES: usize = 20;

impl Refusals {
    /// For the guest's log: nothing if there was nothing.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let refused = self.refused.lines("refused");
        refused.into_iter().chain(self.noted.lines("not listed, let through")).collect()
    }
}

impl Tally {
    fn lines(&self, word: &str) -> Vec<String> {
        let times = |times: u64| match times {
            1 => "once".to_owned(),
            more => format!("{more} times"),
        };
        let names = self
            .names
            .iter()
            .map(|(name, n)| format!("{EGRESS}{word}: the name {name}, {}", times(*n)));
        let ends =
            self.ends.iter().map(|end| format!("{EGRESS}{word}: {end}, {}", times(end.attempts)));
        let mut lines: Vec<_> = names.chain(ends).collect();
        let more = lines.len().saturating_sub(LINES);
        lines.truncate(LINES);
        if self.attempts > 0 {
            let beside =
                if more > 0 { format!(", and {more} more such lines") } else { String::new() };
            lines.push(format!(
                "{EGRESS}{word}: {} packets of connections in all{beside}",
                self.attempts
            ));
        }
        lines
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        write!(f, "{} over {protocol}", self.to)
    }
}

/// Reads the counters of the calling thread's namespace.
pub(super) fn read(whose: &str) -> Result<Refusals, Error> {
    let listing = nft::ask(whose, &["-j", "list", "table", "inet", "flint"])?;
    Ok(from_json(&listing))
}

/// From nft's JSON; what makes no sense counts as nothing.
fn from_json(listing: &[u8]) -> Refusals {
    let listing: Value = serde_json::from_slice(listing).unwrap_or_default();
    let entries = listing["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
    Refusals { refused: tally(entries, "flint_refused"), noted: tally(entries, "flint_noted") }
}

fn tally(entries: &[Value], name: &str) -> Tally {
    let mut tally = Tally::default();
    for entry in entries {
        if entry["counter"]["name"] == name {
            tally.attempts = entry["counter"]["packets"].as_u64().unwrap_or(0);
        }
        let set = &entry["set"];
        if set["name"].as_str().is_some_and(|set| set.strip_suffix(['4', '6']) == Some(name)) {
            let elements = set["elem"].as_array().map(Vec::as_slice).unwrap_or_default();
            tally.ends.extend(elements.iter().filter_map(refused));
        }
    }
    tally.ends.sort_by(|a, b| b.attempts.cmp(&a.attempts).then_with(|| a.cmp(b)));
    tally
}

/// `{"elem": {"val": {"concat": ["203.0.113.9", "tcp", 25]}, "counter": {"packets": 3, "bytes": 180}}}`.
fn refused(element: &Value) -> Option<Refused> {
    let element = &element["elem"];
    let parts = element["val"]["concat"].as_array()?;
    let [address, protocol, port] = parts.as_slice() else { return None };
    let address: IpAddr = address.as_str()?.parse().ok()?;
    let protocol = match protocol.as_str()? {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    let port = u16::try_from(port.as_u64()?).ok()?;
    let attempts = element["counter"]["packets"].as_u64().unwrap_or(0);
    Some(Refused { to: SocketAddr::new(address, port), protocol, attempts })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_the_most_frequent_first() {
        let json = br#"{"nftables": [{"metainfo": {}},
            {"counter": {"family": "inet", "name": "flint_refused", "packets": 5, "bytes": 300}},
            {"set": {"name": "flint_refused4", "elem": [
                {"elem": {"val": {"concat": ["203.0.113.9", "tcp", 25]}, "counter": {"packets": 1, "bytes": 60}}},
                {"elem": {"val": {"concat": ["203.0.113.8", "udp", 53]}, "counter": {"packets": 3, "bytes": 180}}}]}},
            {"set": {"name": "flint_refused6", "elem": [
                {"elem": {"val": {"concat": ["2001:db8::1", "tcp", 443]}, "counter": {"packets": 1, "bytes": 80}}},
                "nonsense"]}}]}"#;
        let mut refusals = from_json(json);
        refusals.refused.names.insert("evil.example".to_owned(), 2);
        let expected = [
            "egress: refused: the name evil.example, 2 times",
            "egress: refused: 203.0.113.8:53 over udp, 3 times",
            "egress: refused: 203.0.113.9:25 over tcp, once",
            "egress: refused: [2001:db8::1]:443 over tcp, once",
            "egress: refused: 5 packets of connections in all",
        ];
        assert_eq!(refusals.lines(), expected);
    }

    #[test]
    fn an_answer_that_is_no_listing_counts_nothing() {
        assert!(from_json(b"").lines().is_empty());
        assert!(from_json(br#"{"nftables": 7}"#).lines().is_empty());
    }

    #[test]
    fn a_log_gets_a_bounded_number_of_lines() {
        let names = (0..300).map(|n| (format!("n{n}.example"), 1)).collect();
        let refused = Tally { attempts: 7, ends: Vec::new(), names };
        let lines = Refusals { refused, noted: Tally::default() }.lines();
        assert_eq!(lines.len(), LINES + 1);
        assert!(lines[LINES].ends_with("7 packets of connections in all, and 280 more such lines"));
    }
}
