//! `[github]`, once or several times: whose jobs, and who Flint is there.

use super::check::table;
use super::reader::{Found, Reader, Section};
use super::report::Origin;
use super::{
    Credentials, GithubOptions, Purpose, RunnerGroup, Scope, Webhooks, ca, credentials, defaults,
    scopes, secrets, values,
};
use flint_core::id::ScopeId;
use std::collections::BTreeSet;
use toml::de::{DeTable, DeValue};

/// Entries at most: the signature of each webhook is compared with the secrets of all of them.
const ENTRIES_MAX: usize = 32;

/// One `[[github]]`, or the one `[github]`; or none, where flags and variables say it all.
#[derive(Clone)]
pub(super) struct Entry<'a> {
    /// Its keys.
    pub(super) section: Section<'a>,
    /// What is missing in it is missing here.
    pub(super) origin: Origin,
}

/// What is known of all entries.
pub(super) struct Known {
    /// Nothing, if an entry lacks something.
    pub(super) entries: Option<Vec<GithubOptions>>,
    /// Of all entries, in the order of the file; nothing, if one could not be read, or if none is needed.
    pub(super) scopes: Option<Vec<ScopeId>>,
    /// The hosts that runners must reach.
    pub(super) hosts: BTreeSet<String>,
}

/// One entry that was read.
struct Read {
    /// Those that could be read.
    scopes: Vec<Found<Scope>>,
    /// Whether these are all.
    whole: bool,
    url: url::Url,
    options: Option<GithubOptions>,
}

/// Reads all entries. A local purpose needs none and reads no file; where no profile `hears` of its jobs by webhooks, no
/// secret is needed.
pub(super) fn read<'a>(
    reader: &mut Reader<'a>,
    root: &'a DeTable<'a>,
    (purpose, hears): (Purpose, bool),
) -> Known {
    let entries = entries(reader, root);
    for entry in &entries {
        reader.refuse_unknown(entry.section);
    }
    if purpose == Purpose::Local {
        let hosts = BTreeSet::from([defaults::GITHUB_HOST.to_owned()]);
        return Known { entries: Some(Vec::new()), scopes: None, hosts };
    }
    if entries.len() > 1 {
        refuse_outside(reader, &entries);
        reader.deaf_for = Some("github");
    }
    let read: Vec<Read> = entries.iter().map(|entry| read_one(reader, entry, hears)).collect();
    refuse_one_key(reader, &entries, &read);
    let found: Vec<&[Found<Scope>]> = read.iter().map(|read| read.scopes.as_slice()).collect();
    scopes::refuse_overlaps(reader, &found);
    reader.deaf_for = None;
    let ids = found.iter().flat_map(|scopes| scopes.iter()).map(|scope| scope.value.id()).collect();
    Known {
        scopes: read.iter().all(|read| read.whole).then_some(ids),
        hosts: read.iter().filter_map(|read| host(&read.url)).collect(),
        entries: read.into_iter().map(|read| read.options).collect(),
    }
}

/// Where runners find GitHub: the host of its API, but for `api.`, which github.com's and GHE.com's have.
fn host(url: &url::Url) -> Option<String> {
    let host = url.host_str()?;
    Some(host.strip_prefix("api.").unwrap_or(host).to_owned())
}

/// Never empty, unless something is wrong with what is there.
fn entries<'a>(reader: &mut Reader<'a>, root: &'a DeTable<'a>) -> Vec<Entry<'a>> {
    let name = "github";
    let Some(value) = root.get(name) else {
        return vec![Entry { section: Section { name, table: None }, origin: Origin::Nowhere }];
    };
    let DeValue::Array(items) = value.get_ref() else {
        let section = Section { name, table: table(reader, name, value) };
        return vec![Entry { section, origin: value.span().into() }];
    };
    if !(1..=ENTRIES_MAX).contains(&items.len()) {
        let message = format!("`github` has {} entries, and not 1 to {ENTRIES_MAX}", items.len());
        let help = "one entry serves all that its App is installed in: give `organization` and `repository` lists";
        reader.error(value.span().into(), message, help.to_owned());
        return Vec::new();
    }
    let entry = |item: &'a serde_spanned::Spanned<DeValue<'a>>| {
        let table = table(reader, "[github]", item)?;
        let section = Section { name, table: Some(table) };
        Some(Entry { section, origin: item.span().into() })
    };
    items.iter().filter_map(entry).collect()
}

/// A flag cannot say which entry it is for.
fn refuse_outside<'a>(reader: &mut Reader<'a>, entries: &[Entry<'a>]) {
    let Some(first) = entries.first() else { return };
    for (key, origin) in reader.given_outside(first.section) {
        let message = format!(
            "`github.{key}` is given outside of the file, which has {} entries `[[github]]`",
            entries.len()
        );
        let help = format!("leave it away there, and write `{key}` into the entry that is meant");
        reader.error(origin, message, help);
    }
}

fn read_one<'a>(reader: &mut Reader<'a>, entry: &Entry<'a>, hears: bool) -> Read {
    let section = entry.section;
    let default_url = || values::url(defaults::GITHUB_URL).expect("the default address is one");
    let url =
        reader.text(section, "url", values::url).map_or_else(default_url, |found| found.value);
    let group = runner_group(reader, section);
    let ca_certificates = ca::read(reader, section);
    let before = reader.problems.len();
    let scopes = scopes::read(reader, entry);
    let whole = reader.problems.len() == before;
    let enterprise = scopes.iter().find(|scope| !scope.value.has_webhooks());
    let credentials = credentials::read(reader, entry, enterprise);
    let told = scopes.is_empty() || scopes.iter().any(|scope| scope.value.has_webhooks());
    let webhooks = match hears && told {
        true => secrets::webhooks(reader, entry),
        false => Some(Webhooks::Refused),
    };
    let group = group.map_or(RunnerGroup::Number(defaults::RUNNER_GROUP), |found| found.value);
    let all: Vec<Scope> = scopes.iter().map(|scope| scope.value.clone()).collect();
    let options =
        credentials.zip(webhooks).filter(|_| whole).map(|(credentials, webhooks)| GithubOptions {
            url: url.clone(),
            ca_certificates,
            scopes: all,
            credentials,
            webhooks,
            runner_group: group,
        });
    Read { scopes, whole, url, options }
}

/// A number, or a name in quotes.
fn runner_group<'a>(reader: &mut Reader<'a>, section: Section<'a>) -> Option<Found<RunnerGroup>> {
    let numbers = 1..=u64::from(u32::MAX);
    reader.number_or_text(section, "runner_group", |text| match text.trim() {
        "" => Err("a runner group: its number or its name".to_owned()),
        text if text.bytes().all(|byte| byte.is_ascii_digit()) => match text.parse() {
            Ok(number) if numbers.contains(&number) => Ok(RunnerGroup::Number(number)),
            Ok(_) | Err(_) => {
                Err(format!("a number from {} to {}", numbers.start(), numbers.end()))
            }
        },
        text => Ok(RunnerGroup::Name(text.to_owned())),
    })
}

/// Each App has keys of its own; systemd's credential is the key of one.
fn refuse_one_key<'a>(reader: &mut Reader<'a>, entries: &[Entry<'a>], read: &[Read]) {
    let mut first: Option<String> = None;
    for (entry, read) in entries.iter().zip(read) {
        let Some(GithubOptions { credentials: Credentials::App { id, .. }, .. }) = &read.options
        else {
            continue;
        };
        if reader.origin(entry.section, "private_key").is_some() {
            continue;
        }
        let other = first.get_or_insert_with(|| id.clone());
        if other != id {
            let message =
                format!("the Apps `{other}` and `{id}` have one key, the credential `private-key`");
            let help = "give each of their entries a `private_key` of its own".to_owned();
            let at = reader.origin(entry.section, "app_id").unwrap_or_else(|| entry.origin.clone());
            reader.error(at, message, help);
        }
    }
}
