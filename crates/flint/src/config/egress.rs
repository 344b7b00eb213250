//! Where a profile's guests may go.

use super::reader::{Found, Reader, Section};
use super::{HostOptions, defaults, values};
use crate::net::egress::{Entry, GITHUB, Name, To, Traffic};
use crate::net::{Cidr, Egress, Ipv6};
use std::collections::BTreeSet;

/// Entries of a list. A resolver compares each name that is asked for with all of them.
const ENTRIES_MAX: usize = 256;

/// A word of `egress`, or an entry of its list.
#[derive(Clone)]
enum Word {
    Internet,
    None,
    Entry(Entry),
}

/// Reads `egress`, `egress_audit`, `bandwidth`, `connections` and `inbound`. `githubs` are the hosts of each GitHub that is
/// served.
pub(super) fn read<'a>(
    reader: &mut Reader<'a>,
    section: Section<'a>,
    (host, githubs): (&HostOptions, &BTreeSet<String>),
) -> Egress {
    let words = reader.word_or_list(section, "egress", word, entry);
    let audit = reader.switch(section, "egress_audit");
    let limits = Traffic {
        bytes_per_second: reader.text(section, "bandwidth", values::bandwidth).map(|f| f.value),
        connections: reader
            .number(section, "connections", 16..=65_536)
            .map_or(defaults::EGRESS.limits.connections, |found| found.value),
        ..defaults::EGRESS.limits
    };
    let to = words.map_or(defaults::EGRESS.to, |found| to(reader, found, githubs));
    if let Some(found) = audit.as_ref().filter(|found| found.value && to == To::Internet) {
        let message =
            "`profile.egress_audit` has nothing to note: `egress` is `internet`".to_owned();
        let help = "give `egress` the list that you want to try out".to_owned();
        reader.error(found.origin.clone(), message, help);
    }
    let inbound = inbound(reader, section, host);
    Egress { to, audit: audit.is_some_and(|found| found.value), limits, inbound }
}

/// Who may begin connections to guests that have an address of their own.
fn inbound<'a>(reader: &mut Reader<'a>, section: Section<'a>, host: &HostOptions) -> Vec<Cidr> {
    let range = |text: &str| match values::network(text)? {
        range if range.is_ipv6() => Ok(range),
        _ => Err("a network of IPv6: over IPv4 guests have no address of their own".to_owned()),
    };
    let Some(found) = reader.list(section, "inbound", range) else { return Vec::new() };
    let public = host.bridge.is_some() && matches!(host.ipv6, Ipv6::Prefix(_));
    if !public && !found.value.is_empty() {
        let message = "`profile.inbound` opens nothing: guests have no public address".to_owned();
        let help = "give them one with `host.bridge`, and your /64 in `host.ipv6`".to_owned();
        reader.error(found.origin, message, help);
    }
    found.value
}

fn word(text: &str) -> Result<Word, String> {
    match text {
        "internet" => Ok(Word::Internet),
        "none" => Ok(Word::None),
        "github" => Ok(Word::Entry(Entry::Github)),
        _ => Err("`internet`, `github`, `none`, or a list of names and networks".to_owned()),
    }
}

fn entry(text: &str) -> Result<Word, String> {
    if matches!(text, "internet" | "none") {
        return Err(format!("a list with `{text}` in it: write `egress = \"{text}\"`"));
    }
    text.parse().map(Word::Entry).map_err(|bad| format!("a list of names and networks: {bad}"))
}

fn to(reader: &mut Reader<'_>, found: Found<Vec<Word>>, githubs: &BTreeSet<String>) -> To {
    let Found { value: words, origin } = found;
    let (mut ranges, mut names, mut runner) = (Vec::new(), Vec::new(), false);
    let count = words.len();
    for word in words {
        match word {
            Word::Internet => return To::Internet,
            Word::None => {}
            Word::Entry(Entry::Range(range)) => ranges.push(range),
            Word::Entry(Entry::Name(name)) => names.push(name),
            Word::Entry(Entry::Github) => {
                runner = true;
                names.extend(of_github(githubs));
            }
        }
    }
    if count > ENTRIES_MAX {
        let message = format!("`profile.egress` has {count} entries; {ENTRIES_MAX} are the most");
        reader.error(origin.clone(), message, None);
    }
    if !runner && !reaches_github(&names, githubs) {
        let message =
            "`profile.egress` leaves out GitHub, so a runner there never gets a job".to_owned();
        let help =
            "add `\"github\"` to the list; without it the profile is good for `flint run` alone"
                .to_owned();
        reader.warn(origin, message, help);
    }
    To::Listed { ranges, names }
}

fn of_github(githubs: &BTreeSet<String>) -> Vec<Name> {
    let others = githubs.iter().filter(|host| *host != defaults::GITHUB_HOST);
    let others = others.flat_map(|host| [host.clone(), format!("*.{host}")]);
    let names = GITHUB.iter().map(|name| (*name).to_owned()).chain(others);
    names.filter_map(|name| name.parse().ok()).collect()
}

fn reaches_github(names: &[Name], githubs: &BTreeSet<String>) -> bool {
    names.iter().any(|name| githubs.iter().any(|host| name.covers(host)))
}
