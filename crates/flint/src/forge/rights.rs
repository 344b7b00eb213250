//! What the App must be allowed to do and to hear: one table, for the manifest that asks for it and the check that
//! looks for it.

use super::Scope;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The event that tells of jobs.
pub const EVENT: &str = "workflow_job";

/// A permission that Flint needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// GitHub's name of it, in manifests and answers.
    pub name: &'static str,
    /// GitHub's name of it on its pages.
    pub title: &'static str,
    /// The least that will do: `read` or `write`.
    pub level: &'static str,
    /// What it is for, after "to".
    pub purpose: &'static str,
}

/// Always there.
const METADATA: Need = Need {
    name: "metadata",
    title: "Repository → Metadata",
    level: "read",
    purpose: "see the repositories",
};

const ACTIONS: Need = Need {
    name: "actions",
    title: "Repository → Actions",
    level: "read",
    purpose: "hear of jobs, and ask about those of which no webhook told",
};

const ORGANIZATION_RUNNERS: Need = Need {
    name: "organization_self_hosted_runners",
    title: "Organization → Self-hosted runners",
    level: "write",
    purpose: "register and remove runners",
};

/// A broad right: GitHub has no narrower one for a repository's runners.
const ADMINISTRATION: Need = Need {
    name: "administration",
    title: "Repository → Administration",
    level: "write",
    purpose: "register and remove runners",
};

/// All that Flint needs there, and nothing else. For an enterprise's runners there is no permission.
#[must_use]
pub fn needs(scope: &Scope) -> &'static [Need] {
    match scope {
        Scope::Organization(_) => &[METADATA, ACTIONS, ORGANIZATION_RUNNERS],
        Scope::Repository { .. } => &[METADATA, ACTIONS, ADMINISTRATION],
        Scope::Enterprise(_) => &[],
    }
}

/// What an App asks for, or what its installation has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Rights {
    /// Level by name. GitHub also sends levels that Flint has no word for.
    #[serde(default)]
    permissions: BTreeMap<String, Value>,
    #[serde(default)]
    events: BTreeSet<String>,
}

impl Rights {
    /// The level of a permission; `None`: it has none.
    #[must_use]
    pub fn level(&self, need: &Need) -> Option<&str> {
        self.permissions.get(need.name)?.as_str()
    }

    /// Whether it is enough.
    #[must_use]
    pub fn allow(&self, need: &Need) -> bool {
        match self.level(need) {
            Some("write" | "admin") => true,
            Some("read") => need.level == "read",
            _ => false,
        }
    }

    /// Whether jobs are told.
    #[must_use]
    pub fn hear(&self) -> bool {
        self.events.contains(EVENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(level: &str) -> Rights {
        serde_json::from_value(serde_json::json!({ "permissions": { "actions": level } })).unwrap()
    }

    #[test]
    fn more_than_is_needed_is_enough_and_less_is_not() {
        let write = Need { level: "write", ..ACTIONS };
        for (level, reads, writes) in [
            ("read", true, false),
            ("write", true, true),
            ("admin", true, true),
            ("x", false, false),
        ] {
            assert_eq!(rights(level).allow(&ACTIONS), reads, "{level}");
            assert_eq!(rights(level).allow(&write), writes, "{level}");
        }
        assert!(!Rights::default().allow(&METADATA) && !Rights::default().hear());
    }

    #[test]
    fn a_repository_needs_the_broad_right_and_an_organization_does_not() {
        let names = |scope: &Scope| needs(scope).iter().map(|need| need.name).collect::<Vec<_>>();
        let repository = Scope::Repository { owner: "ana".to_owned(), name: "x".to_owned() };
        assert!(names(&repository).contains(&"administration"));
        let organization = names(&Scope::Organization("acme".to_owned()));
        assert!(!organization.contains(&"administration"));
        assert!(organization.contains(&"organization_self_hosted_runners"));
    }
}
