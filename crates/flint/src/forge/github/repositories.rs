//! Asks in which repositories something was pushed lately: one of them may have jobs of which nothing was heard.

use super::partial::Partial;
use super::{GitHub, Scope};
use crate::forge::Error;
use crate::text;
use flint_core::event::ForgeEvent;
use flint_core::units::Timestamp;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::time::Duration;

/// A week: a nightly job of a repository that nobody pushed to today queues, too.
const LATELY: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Each entry has 6 kB.
const PAGE: usize = 100;
/// 5,000 repositories; pages that did not change cost nothing.
const MOST_PAGES: usize = 50;

/// The repositories that the App was given.
#[derive(Deserialize)]
struct Installed {
    repositories: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    full_name: String,
    #[serde(default)]
    pushed_at: Option<jiff::Timestamp>,
}

#[derive(Deserialize)]
struct Runs {
    workflow_runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Run {
    repository: Named,
}

#[derive(Deserialize)]
struct Named {
    full_name: String,
}

impl GitHub {
    pub(super) async fn active_repositories(&self, asked: Timestamp) -> Result<Partial, Error> {
        let mut active = BTreeSet::new();
        match &self.scope {
            Scope::Repository { owner, name } => active.extend(self.own_name(owner, name).await?),
            Scope::Organization(login) => self.read_active(login, asked, &mut active).await?,
            // Its profiles have scale sets, which tell of their jobs themselves.
            Scope::Enterprise(_) => {}
        }
        Ok(Partial::whole(ForgeEvent::RepositoriesListed { scope: self.scope.id(), active, asked }))
    }

    /// The repository's name as GitHub writes it: webhooks name it so, and under another spelling its jobs would be those
    /// of two repositories. One that never had a run has no jobs to ask for.
    async fn own_name(&self, owner: &str, name: &str) -> Result<Option<String>, Error> {
        let path = ["repos", owner, name, "actions", "runs"];
        let Runs { workflow_runs } = self.read(&path, &[("per_page", "1")]).await?.json()?;
        let told = workflow_runs.into_iter().next().map(|run| run.repository.full_name);
        Ok(told.filter(|told| self.scope.covers(told)))
    }

    async fn read_active(
        &self,
        login: &str,
        asked: Timestamp,
        active: &mut BTreeSet<String>,
    ) -> Result<(), Error> {
        let by_push = !self.caller.is_app();
        for page in 1..=MOST_PAGES {
            let repositories = self.page_of_repositories(login, &page.to_string()).await?;
            let mut last = repositories.len() < PAGE;
            let fresh = repositories.into_iter().filter_map(|entry| pushed(entry, asked));
            let fresh: Vec<String> = fresh.collect();
            // After a page without any, no later one has any.
            last |= by_push && fresh.is_empty();
            // What is no name of ours cannot be asked about.
            active.extend(fresh.into_iter().filter(|name| self.scope.covers(name)));
            if last {
                break;
            }
        }
        Ok(())
    }

    /// The name of one that may be read, if there is any.
    pub(super) async fn any_repository(&self, login: &str) -> Result<Option<String>, Error> {
        let first = self.page_of_repositories(login, "1").await?.into_iter();
        Ok(first.map(|entry| entry.full_name).find(|name| self.scope.covers(name)))
    }

    /// GitHub answers only an App's installation what it was given. A person reads the organization's list, which has
    /// public repositories besides; the ones pushed to last come first.
    async fn page_of_repositories(&self, login: &str, page: &str) -> Result<Vec<Entry>, Error> {
        let size = PAGE.to_string();
        let query = [("per_page", size.as_str()), ("page", page), ("sort", "pushed")];
        if self.caller.is_app() {
            let read = self.read(&["installation", "repositories"], &query[..2]).await?;
            return Ok(read.json::<Installed>()?.repositories);
        }
        self.read(&["orgs", login, "repos"], &query).await?.json()
    }
}

/// Its name, if it was pushed to lately.
fn pushed(entry: Entry, asked: Timestamp) -> Option<String> {
    let at = u64::try_from(entry.pushed_at?.as_millisecond()).ok()?;
    let lately = asked.before(LATELY) <= Timestamp(at);
    let clean = text::line(&entry.full_name) == entry.full_name;
    (lately && clean).then_some(entry.full_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Timestamp = Timestamp(1_795_446_245_000);

    fn read(name: &str, pushed_at: &str) -> Option<String> {
        let body = serde_json::json!({ "full_name": name, "pushed_at": pushed_at, "id": 1 });
        pushed(serde_json::from_value(body).expect("it has GitHub's shape"), ASKED)
    }

    #[test]
    fn what_was_pushed_to_in_the_last_week_is_active() {
        assert_eq!(read("o/r", "2026-11-16T15:04:05Z").as_deref(), Some("o/r"));
        assert_eq!(read("o/r", "2026-11-16T15:04:04Z"), None);
        assert_eq!(read("o/r", "2099-01-01T00:00:00Z").as_deref(), Some("o/r"), "a clock is ahead");
        assert_eq!(read("o/r\u{1b}[31m", "2026-11-23T15:04:04Z"), None);
        let empty = serde_json::json!({ "full_name": "o/new", "pushed_at": null });
        assert_eq!(pushed(serde_json::from_value(empty).expect("GitHub says so"), ASKED), None);
    }
}
