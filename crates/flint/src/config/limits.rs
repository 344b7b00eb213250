//! `[limits]`: how much of the host one repository or one organization may have.

use super::reader::{Found, Reader, Section};
use flint_core::limits::Limits;
use std::collections::BTreeMap;

/// More microVMs than any host has slots for.
const MOST: u64 = 4_096;

pub(super) fn read<'a>(reader: &mut Reader<'a>, section: Section<'a>) -> Limits {
    let per_repository = reader.number(section, "per_repository", 1..=MOST);
    let per_owner = reader.number(section, "per_owner", 1..=MOST);
    let repository = |name: &str| name.split('/').filter(|part| !part.is_empty()).count() == 2;
    let owner = |name: &str| !name.is_empty() && !name.contains('/');
    let wanted = "`owner/name=4`, the number from 0 to 4096";
    let repositories = reader.list(section, "repositories", |text| limit(text, repository, wanted));
    let wanted = "`name=4`, the number from 0 to 4096";
    let owners = reader.list(section, "owners", |text| limit(text, owner, wanted));
    let named = |found: Option<Found<Vec<(String, u32)>>>| -> BTreeMap<String, u32> {
        found.map(|found| found.value).unwrap_or_default().into_iter().collect()
    };
    Limits {
        per_repository: per_repository.map(|found| found.value),
        per_owner: per_owner.map(|found| found.value),
        repositories: named(repositories),
        owners: named(owners),
    }
}

/// Names are compared without case, like GitHub's.
fn limit(text: &str, fits: impl Fn(&str) -> bool, wanted: &str) -> Result<(String, u32), String> {
    let parts = text.rsplit_once('=').map(|(name, count)| (name.trim(), count.trim()));
    let (name, count) = parts.filter(|(name, _)| fits(name)).ok_or_else(|| wanted.to_owned())?;
    let count = count.parse::<u32>().ok().filter(|count| u64::from(*count) <= MOST);
    Ok((name.to_ascii_lowercase(), count.ok_or_else(|| wanted.to_owned())?))
}
