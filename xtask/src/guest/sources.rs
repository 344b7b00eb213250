//! The host's own apt sources, for an image of the host's own distribution. No mirror is named in this project.

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;

/// What the image is made from.
pub(super) struct Sources {
    /// `bookworm`, `noble`.
    pub(super) suite: String,
    /// One-line entries, each signed by the host's keyring.
    pub(super) lines: Vec<String>,
}

/// Reads `/etc/apt`, keeping the distribution's own suites: third parties have no place in an image.
pub(super) fn of_host() -> Result<Sources> {
    let release = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let codename = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let suite = codename.context("/etc/os-release names no VERSION_CODENAME")?.to_owned();
    let mut texts = read_all(Path::new("/etc/apt/sources.list.d"));
    texts.extend(fs::read_to_string("/etc/apt/sources.list").ok().map(|text| (false, text)));
    let lines: Vec<String> = texts
        .iter()
        .flat_map(|(deb822, text)| if *deb822 { stanzas(text) } else { one_liners(text) })
        .flat_map(|entry| entry.lines(&suite))
        .collect();
    if lines.is_empty() {
        bail!("apt's sources have no entry for `{suite}`");
    }
    Ok(Sources { suite, lines })
}

/// Files of a folder, each with whether it is in the deb822 format.
fn read_all(folder: &Path) -> Vec<(bool, String)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    let kind = |path: &Path| match path.extension()?.to_str()? {
        "sources" => Some(true),
        "list" => Some(false),
        _ => None,
    };
    let text = |path: &std::path::PathBuf| Some((kind(path)?, fs::read_to_string(path).ok()?));
    paths.iter().filter_map(text).collect()
}

#[derive(Default)]
struct Entry {
    binary: bool,
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    signed_by: Option<String>,
}

impl Entry {
    /// What of it belongs to the distribution, as one-line entries.
    fn lines(&self, codename: &str) -> Vec<String> {
        let own = |suite: &&String| {
            let pocket = suite.strip_prefix(codename);
            matches!(pocket, Some("" | "-updates" | "-security")) && self.binary
        };
        let signed = self.signed_by.as_ref().filter(|path| path.starts_with('/'));
        let options = signed.map(|path| format!("[signed-by={path}] ")).unwrap_or_default();
        let parts = self.components.join(" ");
        let line = |(uri, suite): (&String, &String)| format!("deb {options}{uri} {suite} {parts}");
        let uris = self.uris.iter();
        uris.flat_map(|uri| self.suites.iter().filter(own).map(move |s| (uri, s))).map(line).collect()
    }
}

/// `Types:`, `URIs:`, … in paragraphs: sources.list(5), "DEB822-style format".
fn stanzas(text: &str) -> Vec<Entry> {
    let plain: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let paragraphs = plain.split(|line| line.trim().is_empty());
    paragraphs.filter(|lines| !lines.is_empty()).map(stanza).collect()
}

fn stanza(lines: &[&str]) -> Entry {
    let mut entry = Entry::default();
    for (key, value) in lines.iter().filter_map(|line| line.split_once(':')) {
        let words = || value.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        match key.to_ascii_lowercase().as_str() {
            "types" => entry.binary = words().iter().any(|word| word == "deb"),
            "uris" => entry.uris = words(),
            "suites" => entry.suites = words(),
            "components" => entry.components = words(),
            "signed-by" => entry.signed_by = words().into_iter().next(),
            _ => {}
        }
    }
    entry
}

/// `deb [signed-by=…] URI SUITE COMPONENT…`
fn one_liners(text: &str) -> Vec<Entry> {
    text.lines().filter_map(one_liner).collect()
}

fn one_liner(line: &str) -> Option<Entry> {
    let rest = line.trim().strip_prefix("deb ")?.trim();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    let (uri, suite) = (words.next()?, words.next()?);
    let mut options = options.split_whitespace();
    let signed_by = options.find_map(|option| option.strip_prefix("signed-by=")).map(str::to_owned);
    let components = words.collect();
    Some(Entry { binary: true, uris: vec![uri], suites: vec![suite], components, signed_by })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_distributions_own_suites_are_taken() {
        let text = "Types: deb deb-src\n# a comment\nURIs: http://mirror.example/d\n\
                    Suites: bookworm bookworm-updates\nComponents: main\nSigned-By: /k.gpg\n\n\
                    Types: deb\nURIs: http://other.example\nSuites: nodistro\nComponents: main\n";
        let lines: Vec<String> = stanzas(text).iter().flat_map(|e| e.lines("bookworm")).collect();
        assert_eq!(
            lines,
            [
                "deb [signed-by=/k.gpg] http://mirror.example/d bookworm main",
                "deb [signed-by=/k.gpg] http://mirror.example/d bookworm-updates main",
            ]
        );
    }

    #[test]
    fn a_one_line_entry_keeps_its_options() {
        let entry = one_liner("deb [arch=amd64 signed-by=/k.gpg] http://m.example noble main universe");
        let lines = entry.expect("it is an entry").lines("noble");
        assert_eq!(lines, ["deb [signed-by=/k.gpg] http://m.example noble main universe"]);
        assert!(one_liner("# deb http://m.example noble main").is_none());
    }
}
