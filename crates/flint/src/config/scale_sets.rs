//! Which profiles hear of their jobs by a scale set, and what the set is called.

use super::ProfileOptions;
use super::labels::label;
use super::reader::{Found, Reader, Section};
use super::report::Origin;
use flint_core::id::{ProfileId, ScopeId};
use flint_core::scale_set::Source;
use serde_spanned::Spanned;
use std::collections::BTreeMap;
use toml::de::{DeTable, DeValue};

/// How a profile says that it has one.
const SCALE_SET: &str = "scale-set";

/// Whether any profile hears of its jobs by webhooks. What is wrong with a `source` is said where it is read.
pub(super) fn hear_by_webhooks(root: &DeTable<'_>) -> bool {
    let entries = root.get("profile").and_then(|value| value.get_ref().as_array());
    let source = |entry: &Spanned<DeValue<'_>>| {
        let source = entry.get_ref().as_table().and_then(|table| table.get("source"));
        source.is_some_and(|source| source.get_ref().as_str() == Some(SCALE_SET))
    };
    entries.is_none_or(|entries| entries.is_empty() || !entries.iter().all(source))
}

/// How it hears of its jobs. A scale set's runners have the set's labels: no job can ask for a size by one.
pub(super) fn source<'a>(reader: &mut Reader<'a>, section: Section<'a>, sizes: bool) -> Source {
    let found = reader.text(section, "source", |text| match text {
        "webhook" => Ok(Source::Webhook),
        SCALE_SET => Ok(Source::ScaleSet),
        _ => Err(format!("`webhook` or `{SCALE_SET}`")),
    });
    let Some(Found { value, origin }) = found else { return Source::Webhook };
    if value == Source::ScaleSet && sizes {
        let message = "a profile with a scale set offers sizes: GitHub gives its jobs to the set, whatever they ask for";
        let help = "make a profile of its own for each size, or leave `sizes` to one with `source = \"webhook\"`";
        reader.error(origin, message.to_owned(), help.to_owned());
    }
    value
}

/// The scale set's name: that of the profile, unless another is given.
pub(super) fn name<'a>(
    reader: &mut Reader<'a>,
    section: Section<'a>,
    (source, profile): (Source, &str),
) -> Option<String> {
    let given = reader.text(section, "scale_set", label);
    match (source, given) {
        (Source::ScaleSet, given) => {
            Some(given.map_or_else(|| profile.to_owned(), |found| found.value))
        }
        (Source::Webhook, Some(found)) => {
            let message =
                "`profile.scale_set` is given, and the profile hears by webhooks".to_owned();
            let help = format!("add `source = \"{SCALE_SET}\"`, or leave the name away");
            reader.error(found.origin, message, help);
            None
        }
        (Source::Webhook, None) => None,
    }
}

/// A scale set has one session, and its jobs one profile. Its name is its scope's own.
pub(super) fn refuse_shared(
    reader: &mut Reader<'_>,
    profiles: &BTreeMap<ProfileId, ProfileOptions>,
) {
    let mut known: BTreeMap<(Option<&ScopeId>, &str), &ProfileId> = BTreeMap::new();
    for (id, options) in profiles {
        let Some(name) = options.scale_set.as_deref() else { continue };
        if let Some(other) = known.insert((options.profile.scope.as_ref(), name), id) {
            let message = format!("profiles `{other}` and `{id}` have one scale set, `{name}`");
            let help = "give one of them another `scale_set`".to_owned();
            reader.error(Origin::Nowhere, message, help);
        }
    }
}
