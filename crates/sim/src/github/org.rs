//! What belongs to the organization besides jobs and runners: repositories, runs, and runner groups.

use super::state::{Job, Millis, Stage, State};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A repository as a job or a run holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Repo {
    pub(super) id: u64,
    /// Without its owner.
    pub(super) name: Arc<str>,
    pub(super) kind: Kind,
}

/// Who sees a repository, and who copied it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    #[default]
    Private,
    /// Private, with a fork.
    Forked,
    /// Public, with a fork.
    Public,
}

/// A repository.
pub(super) struct Repository {
    pub(super) repo: Repo,
    pub(super) pushed: Millis,
    pub(super) runs: BTreeSet<u64>,
}

/// A run of a workflow, with the jobs of each attempt.
pub(super) struct Run {
    pub(super) id: u64,
    pub(super) repo: Repo,
    pub(super) workflow: String,
    pub(super) created: Millis,
    pub(super) attempts: Vec<Vec<u64>>,
    /// Its commit is that of a fork.
    pub(super) from_fork: bool,
}

/// A runner group.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub(super) id: u64,
    pub(super) name: String,
    /// The ids of the repositories that it admits; none given: all.
    pub(super) admits: Option<BTreeSet<u64>>,
    /// It takes the jobs of some workflows only. Which is not modelled: none of this server's.
    pub(super) restricted: bool,
}

/// All of it. Names of repositories are looked up in lower case.
pub(super) struct Organization {
    pub(super) repositories: BTreeMap<String, Repository>,
    pub(super) groups: BTreeMap<u64, Group>,
    pub(super) runs: BTreeMap<u64, Run>,
}

impl Default for Organization {
    fn default() -> Self {
        let default = Group { id: 1, name: "Default".to_owned(), admits: None, restricted: false };
        Organization {
            repositories: BTreeMap::new(),
            groups: [(1, default)].into(),
            runs: BTreeMap::new(),
        }
    }
}

impl Organization {
    pub(super) fn repository(&self, name: &str) -> Option<&Repository> {
        self.repositories.get(&name.to_ascii_lowercase())
    }

    /// Adds one, unless it is there.
    pub(super) fn add_repository(&mut self, name: &str, kind: Kind, now: Millis) {
        // GitHub's are in the hundreds of millions; a test that mixes them up with jobs' should notice.
        let id = 800_000_001 + self.repositories.len() as u64;
        let repo = Repo { id, name: name.into(), kind };
        let new = Repository { repo, pushed: now, runs: BTreeSet::new() };
        self.repositories.entry(name.to_ascii_lowercase()).or_insert(new);
    }

    /// The ids of the repositories under these names; unknown names have none.
    fn ids(&self, names: &[&str]) -> BTreeSet<u64> {
        names.iter().filter_map(|name| self.repository(name)).map(|found| found.repo.id).collect()
    }

    /// Adds a group that admits only these repositories. Gives its id.
    pub(super) fn add_group(&mut self, name: &str, repositories: &[&str]) -> u64 {
        let id = self.groups.keys().next_back().map_or(1, |last| last + 1);
        let admits = Some(self.ids(repositories));
        self.groups.insert(id, Group { id, name: name.to_owned(), admits, restricted: false });
        id
    }

    /// Changes whom a group admits. False: there is no such group.
    pub(super) fn admit(&mut self, group: u64, repositories: Option<&[&str]>) -> bool {
        let admits = repositories.map(|names| self.ids(names));
        let group = self.groups.get_mut(&group);
        group.map(|group| group.admits = admits).is_some()
    }

    /// Restricts a group to some workflows, or no longer. False: there is no such group.
    pub(super) fn restrict(&mut self, group: u64, restricted: bool) -> bool {
        self.groups.get_mut(&group).map(|group| group.restricted = restricted).is_some()
    }

    /// Whether the jobs of a repository reach the runners of a group.
    pub(super) fn admits(&self, group: u64, repository: u64) -> bool {
        let reach = |group: &Group| group.admits(repository) && !group.restricted;
        self.groups.get(&group).is_some_and(reach)
    }
}

impl Group {
    pub(super) fn admits(&self, repository: u64) -> bool {
        self.admits.as_ref().is_none_or(|some| some.contains(&repository))
    }
}

impl Run {
    /// The number of its last attempt, from 1.
    pub(super) fn attempt(&self) -> usize {
        self.attempts.len()
    }

    /// `status` and `conclusion`, as its last attempt's jobs make them.
    pub(super) fn status(&self, state: &State) -> (&'static str, Option<&'static str>) {
        let jobs: Vec<&Job> = self.jobs().filter_map(|id| state.jobs.get(&id)).collect();
        let all = |stage: fn(&Stage) -> bool| jobs.iter().all(|job| stage(&job.stage));
        if all(|stage| *stage == Stage::Completed) {
            let any = |end: &str| jobs.iter().any(|job| job.conclusion.as_deref() == Some(end));
            let ends = ["cancelled", "failure"].into_iter().find(|end| any(end));
            return ("completed", Some(ends.unwrap_or("success")));
        }
        if all(|stage| *stage == Stage::Waiting) {
            return ("waiting", None);
        }
        let still =
            |stage: &Stage| matches!(stage, Stage::Queued | Stage::Offered { .. } | Stage::Waiting);
        // As on GitHub: a run in which anything has begun is in progress, though some of its jobs are queued.
        if all(still) { ("queued", None) } else { ("in_progress", None) }
    }

    fn jobs(&self) -> impl Iterator<Item = u64> + '_ {
        self.attempts.last().into_iter().flatten().copied()
    }
}
