//! How much of the hosts one repository or one organization may have at once.
//!
//! A limit is on what Flint starts. A runner is not bound to a job: GitHub may give one that was started for a
//! repository to a job of another, whose labels fit too. Then a repository can be above its limit for a while, and
//! nothing more is started for it until it is below again.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The limits, in microVMs. Names are compared without case, and stand here in lower case.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// For each repository that is not named below.
    #[serde(default)]
    pub per_repository: Option<u32>,
    /// For each organization or user that is not named below.
    #[serde(default)]
    pub per_owner: Option<u32>,
    /// For these repositories (`owner/name`).
    #[serde(default)]
    pub repositories: BTreeMap<String, u32>,
    /// For these organizations or users.
    #[serde(default)]
    pub owners: BTreeMap<String, u32>,
}

impl Limits {
    /// How many microVMs a repository may have.
    #[must_use]
    pub fn of_repository(&self, repository: &str) -> Option<u32> {
        let named = self.repositories.get(&repository.to_ascii_lowercase());
        named.copied().or(self.per_repository)
    }

    /// How many microVMs all repositories of an owner may have together.
    #[must_use]
    pub fn of_owner(&self, owner: &str) -> Option<u32> {
        self.owners.get(&owner.to_ascii_lowercase()).copied().or(self.per_owner)
    }
}

/// The organization or user of `owner/name`.
#[must_use]
pub fn owner_of(repository: &str) -> &str {
    repository.split_once('/').map_or(repository, |(owner, _)| owner)
}
