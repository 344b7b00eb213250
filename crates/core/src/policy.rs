//! Whose jobs a profile takes: where a job's workflow comes from, and what is let in.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Where a job comes from, as far as GitHub has told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Whether everybody can see its repository.
    #[serde(default)]
    pub public: Option<bool>,
    /// Whether its run belongs to another repository's commit: that of a fork, mostly by a pull request.
    #[serde(default)]
    pub fork: Option<bool>,
}

/// What a profile lets in beside the jobs of private repositories themselves. Nothing by default: whoever can open a
/// pull request in a public repository can otherwise run what they like on the host's microVMs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admits {
    /// Jobs of public repositories.
    pub public: bool,
    /// Jobs of runs that come from forks.
    pub forks: bool,
}

/// Which repositories a profile serves, in lower case: `owner/name`, or `owner/*` for all of an owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repositories {
    /// These alone; none given: all.
    #[serde(default)]
    pub only: BTreeSet<String>,
    /// Not these, whatever `only` says.
    #[serde(default)]
    pub except: BTreeSet<String>,
}

/// Whether a job is let in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Verdict {
    /// It is.
    #[default]
    Admitted,
    /// Not before GitHub has said where it comes from.
    Undecided,
    /// Its repository is public.
    Public,
    /// Its run comes from a fork.
    Fork,
    /// Its repository is not one that its profile serves.
    Unlisted,
}

impl Origin {
    /// A private repository's own.
    pub const PRIVATE: Origin = Origin { public: Some(false), fork: Some(false) };

    /// Takes over what the other one knows and this one does not.
    pub fn fill(&mut self, other: Origin) {
        self.public = self.public.or(other.public);
        self.fork = self.fork.or(other.fork);
    }
}

impl Repositories {
    /// Whether jobs of a repository (`owner/name`) are served. GitHub's names ignore case.
    #[must_use]
    pub fn has(&self, repository: &str) -> bool {
        let name = repository.to_ascii_lowercase();
        let owner = name.split_once('/').map_or(name.as_str(), |(owner, _)| owner);
        let all = format!("{owner}/*");
        let listed = |list: &BTreeSet<String>| list.contains(&name) || list.contains(&all);
        (self.only.is_empty() || listed(&self.only)) && !listed(&self.except)
    }
}

impl Admits {
    /// Whether a job of this origin is let in.
    #[must_use]
    pub fn judge(self, origin: Origin) -> Verdict {
        let known = [(self.public, origin.public), (self.forks, origin.fork)];
        match known.map(|(admitted, is)| if admitted { Some(false) } else { is }) {
            [Some(true), _] => Verdict::Public,
            [_, Some(true)] => Verdict::Fork,
            [Some(false), Some(false)] => Verdict::Admitted,
            [None, _] | [_, None] => Verdict::Undecided,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_known_is_let_in_only_where_it_does_not_matter() {
        let all = [None, Some(false), Some(true)];
        let origins =
            all.iter().flat_map(|public| all.map(|fork| Origin { public: *public, fork }));
        let origins: Vec<Origin> = origins.collect();
        let judged = |public, forks| {
            let admits = Admits { public, forks };
            let words = origins.iter().map(|origin| match admits.judge(*origin) {
                Verdict::Admitted => 'a',
                Verdict::Undecided => '?',
                Verdict::Public => 'p',
                Verdict::Fork => 'f',
                Verdict::Unlisted => 'u',
            });
            words.collect::<String>()
        };
        // Public unknown, no, yes; in each the fork unknown, no, yes.
        assert_eq!(judged(false, false), "??f?afppp");
        assert_eq!(judged(true, false), "?af?af?af");
        assert_eq!(judged(false, true), "???aaappp");
        assert_eq!(judged(true, true), "aaaaaaaaa");
    }

    #[test]
    fn a_repository_is_served_if_it_is_listed_and_not_excepted() {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let all = Repositories::default();
        let some =
            Repositories { only: list(&["acme/*", "beta/app"]), except: list(&["acme/old"]) };
        let none_of = Repositories { except: list(&["acme/*"]), ..Repositories::default() };
        for (name, wanted) in [
            ("acme/web", [true, true, false]),
            ("Acme/Web", [true, true, false]),
            ("acme/old", [true, false, false]),
            ("beta/app", [true, true, true]),
            ("beta/site", [true, false, true]),
            ("acmes/web", [true, false, true]),
            ("acme", [true, true, false]),
        ] {
            assert_eq!([all.has(name), some.has(name), none_of.has(name)], wanted, "{name}");
        }
    }

    #[test]
    fn what_was_told_first_stays() {
        let mut origin = Origin { public: Some(true), fork: None };
        origin.fill(Origin::PRIVATE);
        assert_eq!(origin, Origin { public: Some(true), fork: Some(false) });
    }
}
