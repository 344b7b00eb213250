//! The number of our runner group: registrations need it, people know its name.

use super::GitHub;
use crate::forge::{Error, RunnerGroup, Scope};
use serde::Deserialize;
use tokio::sync::OnceCell;

/// An organization has at most some hundred groups.
const MOST_PAGES: usize = 10;
const PAGE: usize = 100;

/// The group, and its number once that is known.
pub(super) struct Group {
    wanted: RunnerGroup,
    number: OnceCell<u64>,
}

#[derive(Deserialize)]
struct Page {
    runner_groups: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    id: u64,
    name: String,
}

impl Group {
    pub(super) fn new(wanted: &RunnerGroup) -> Self {
        Group { wanted: wanted.clone(), number: OnceCell::new() }
    }
}

impl GitHub {
    /// Asks GitHub the first time. A group that is made anew under the old name is found at the next start.
    pub(super) async fn group(&self) -> Result<u64, Error> {
        match (&self.group.wanted, &self.scope) {
            (RunnerGroup::Number(number), _) => Ok(*number),
            // A repository has GitHub's own group and no other.
            (RunnerGroup::Name(_), Scope::Repository { .. }) => Ok(1),
            (RunnerGroup::Name(name), Scope::Organization(_) | Scope::Enterprise(_)) => {
                self.group.number.get_or_try_init(|| self.named_group(name)).await.copied()
            }
        }
    }

    async fn named_group(&self, name: &str) -> Result<u64, Error> {
        let mut path = self.scope.home();
        path.extend(["actions", "runner-groups"]);
        for page in 1..=MOST_PAGES {
            let page = page.to_string();
            let query = [("per_page", "100"), ("page", page.as_str())];
            let Page { runner_groups } = self.read(&path, &query).await?.json()?;
            let found = runner_groups.iter().find(|group| group.name.eq_ignore_ascii_case(name));
            if let Some(group) = found {
                return Ok(group.id);
            }
            if runner_groups.len() < PAGE {
                break;
            }
        }
        let call = format!("find the runner group `{}`", crate::text::line(name));
        Err(Error::NotFound {
            call,
            said: "no group there has that name".to_owned(),
            pathless: None,
        })
    }
}
