//! Where runners are registered: what an entry of `[[github]]` serves, and which of it a profile's scale set is for.

use super::github::Entry;
use super::reader::{Found, Reader, Section};
use super::report::Origin;
use super::values::{self, SCOPES_MAX};
use super::{ProfileOptions, Scope};
use flint_core::id::ScopeId;
use flint_core::policy::Repositories;
use flint_core::scale_set::Source;

/// Scopes that a message names; whoever has more knows them from the file.
const NAMED: usize = 8;

/// What an entry serves. Of two sources the one that comes first wins, whatever kinds of scopes either names: a flag
/// replaces the file's choice, as with any other key.
pub(super) fn read<'a>(reader: &mut Reader<'a>, entry: &Entry<'a>) -> Vec<Found<Scope>> {
    let section = entry.section;
    let rank = |name: &&str| reader.origin(section, name).map(|origin| origin.rank());
    let keys = ["organization", "repository", "enterprise"];
    let first = keys.iter().filter_map(rank).min();
    let given: Vec<&str> = keys.into_iter().filter(|name| rank(name) == first).collect();
    let before = reader.problems.len();
    let mut scopes = Vec::new();
    for name in given.into_iter().filter(|_| first.is_some()) {
        scopes.extend(match name {
            "organization" => reader
                .words(section, name, |text| values::organization(text).map(Scope::Organization)),
            "repository" => reader.words(section, name, |text| {
                values::repository(text).map(|(owner, name)| Scope::Repository { owner, name })
            }),
            _ => {
                let found = reader.text(section, name, values::enterprise);
                let scope = |slug: Found<String>| Found {
                    value: Scope::Enterprise(slug.value),
                    origin: slug.origin,
                };
                found.map(scope).into_iter().collect()
            }
        });
    }
    if scopes.is_empty() && reader.problems.len() == before {
        let message = "nobody's jobs are served: no organization and no repository".to_owned();
        let help = format!(
            "set `organization` or `repository` in `[github]`{}",
            reader.or(", or give --organization")
        );
        reader.error(entry.origin.clone(), message, help);
    }
    scopes
}

/// A name must decide: no repository is of two scopes, no owner of two entries.
pub(super) fn refuse_overlaps(reader: &mut Reader<'_>, entries: &[&[Found<Scope>]]) {
    let numbered = entries.iter().enumerate();
    let all: Vec<(usize, &Found<Scope>)> =
        numbered.flat_map(|(n, scopes)| scopes.iter().map(move |scope| (n, scope))).collect();
    for (at, (entry, scope)) in all.iter().enumerate() {
        let clashes = all[..at]
            .iter()
            .find_map(|(other, earlier)| clash(&earlier.value, &scope.value, other == entry));
        if let Some((message, help)) = clashes {
            reader.error(scope.origin.clone(), message, help.to_owned());
        }
    }
    if let Some((_, first)) = all.get(SCOPES_MAX) {
        let message = format!("{} scopes are given; {SCOPES_MAX} are the most", all.len());
        let help =
            "serve an organization in place of each of its repositories, or start a second daemon";
        reader.error(first.origin.clone(), message, help.to_owned());
    }
}

/// Why two scopes cannot both be served.
fn clash(earlier: &Scope, scope: &Scope, one_entry: bool) -> Option<(String, &'static str)> {
    let [first, second] = [earlier, scope].map(Scope::id);
    if first == second {
        return Some((format!("`{second}` is given twice"), "once is enough"));
    }
    let owner = |scope: &Scope| match scope {
        Scope::Organization(owner) | Scope::Repository { owner, .. } => {
            Some(owner.to_ascii_lowercase())
        }
        Scope::Enterprise(_) => None,
    };
    let (Some(owner_of_first), Some(owner_of_second)) = (owner(earlier), owner(scope)) else {
        // What no other scope covers is an enterprise's.
        let both = !earlier.has_webhooks() && !scope.has_webhooks();
        let message = format!("`{second}` is a second enterprise, beside `{first}`");
        return both
            .then_some((message, "one daemon serves one: no name tells of which a repository is"));
    };
    if owner_of_first != owner_of_second {
        return None;
    }
    if first.covers(second.as_str()) || second.covers(first.as_str()) {
        let message = format!("`{first}` and `{second}` have repositories in common");
        return Some((message, "keep one: an organization's runners serve its repositories too"));
    }
    let message = format!("`{owner_of_first}` is in two entries, by `{first}` and `{second}`");
    let help = "one entry serves all of an owner: `organization` and `repository` take lists";
    (!one_entry).then_some((message, help))
}

/// A profile's `github`: where its scale set is. `known` is every scope, if that is known.
pub(super) fn of_profile<'a>(
    reader: &mut Reader<'a>,
    section: Section<'a>,
    (source, known): (Source, Option<&[ScopeId]>),
) -> Option<ScopeId> {
    let given = reader
        .text(section, "github", |text| ScopeId::new(text).map_err(|bad| bad.wanted.to_owned()));
    match (source, given, known) {
        (Source::Webhook, Some(found), _) => {
            refuse_of_webhooks(reader, &found);
            None
        }
        (Source::Webhook, None, Some(known)) => {
            refuse_unheard(reader, section, known);
            None
        }
        (Source::ScaleSet, Some(found), Some(known)) if !known.contains(&found.value) => {
            let message = format!(
                "`profile.github` is `{}`, which no entry of `[github]` serves",
                found.value
            );
            reader.error(found.origin, message, format!("there are: {}", listed(known)));
            None
        }
        (Source::ScaleSet, Some(found), Some(_)) => Some(found.value),
        (Source::ScaleSet, None, Some([only])) => Some(only.clone()),
        (Source::ScaleSet, None, Some(known)) => {
            let message = format!("a scale set is in one place, and there are {}", known.len());
            let help = format!(
                "add `github = \"{}\"`, for instance; there are: {}",
                known.first()?,
                listed(known)
            );
            reader.error(
                reader.origin(section, "source").unwrap_or(Origin::Nowhere),
                message,
                help,
            );
            None
        }
        (Source::Webhook, None, None) | (Source::ScaleSet, _, None) => None,
    }
}

/// Webhooks tell of all scopes' jobs; whose a profile serves is told by their repositories.
fn refuse_of_webhooks(reader: &mut Reader<'_>, found: &Found<ScopeId>) {
    let scope = &found.value;
    let help = match scope {
        scope if scope.is_enterprise() => "add `source = \"scale-set\"`".to_owned(),
        scope if scope.as_str().contains('/') => format!("use `repositories = [\"{scope}\"]`"),
        scope => format!("use `repositories = [\"{scope}/*\"]`"),
    };
    let message =
        "`profile.github` is given, and the profile hears by webhooks: it serves all scopes";
    reader.error(found.origin.clone(), message.to_owned(), help);
}

fn refuse_unheard<'a>(reader: &mut Reader<'a>, section: Section<'a>, known: &[ScopeId]) {
    if known.is_empty() || !known.iter().all(ScopeId::is_enterprise) {
        return;
    }
    let keys = ["source", "name"].into_iter();
    let origin = keys.filter_map(|key| reader.origin(section, key)).next();
    let message = "the profile hears by webhooks, and an enterprise sends none".to_owned();
    let help = "add `source = \"scale-set\"` to each `[[profile]]`".to_owned();
    reader.error(origin.unwrap_or(Origin::Nowhere), message, help);
}

/// A name that is in reach of none of a profile's scopes is as likely a slip.
pub(super) fn warn_of_strangers<'a>(
    reader: &mut Reader<'a>,
    section: Section<'a>,
    repositories: &Repositories,
    (own, known): (Option<&ScopeId>, Option<&[ScopeId]>),
) {
    // Webhooks tell of all but an enterprise's.
    let told = known.unwrap_or_default().iter().filter(|scope| !scope.is_enterprise());
    let scopes: Vec<ScopeId> = own.map_or_else(|| told.cloned().collect(), |own| vec![own.clone()]);
    let Some(origin) = reader.origin(section, "repositories") else { return };
    if scopes.is_empty() {
        return;
    }
    for name in &repositories.only {
        let covered = |scope: &ScopeId| match name.strip_suffix("/*") {
            Some(owner) => scope.is_enterprise() || scope.as_str().split('/').next() == Some(owner),
            None => scope.covers(name),
        };
        if !scopes.iter().any(covered) {
            let message = format!("`profile.repositories` has `{name}`, whose jobs never come");
            let help = format!("the profile hears of the jobs of: {}", listed(&scopes));
            reader.warn(origin.clone(), message, help);
        }
    }
}

/// Whether no job can reach runners of both profiles: each has a scale set, and their scopes have nothing in common.
pub(super) fn apart(one: &ProfileOptions, other: &ProfileOptions) -> bool {
    let (Some(one), Some(other)) = (&one.profile.scope, &other.profile.scope) else { return false };
    one != other && !one.is_enterprise() && !other.is_enterprise()
}

/// Their names, for a message.
fn listed(scopes: &[ScopeId]) -> String {
    let names: Vec<String> = scopes.iter().take(NAMED).map(|scope| format!("`{scope}`")).collect();
    let more = scopes.len() - names.len();
    let rest = if more > 0 { format!(", and {more} more") } else { String::new() };
    names.join(", ") + &rest
}
