//! Shows by read-only calls that GitHub lets us do what we will have to do.

use super::GitHub;
use crate::forge::{Error, RunnerGroup, Scope};
use serde::Deserialize;

/// What each kind of call came to.
#[derive(Debug)]
pub struct Proofs {
    /// Listing runners: whoever may, may register and remove them too.
    pub runners: Result<(), Error>,
    /// The runner group, by its name at GitHub.
    pub group: Result<String, Error>,
    /// Reading the runs of a repository, which has the name; `None` where there is none to read.
    pub runs: Result<Option<String>, Error>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

impl GitHub {
    /// Asks all of it. For `flint doctor`.
    pub async fn prove(&self) -> Proofs {
        let (runners, group) = (self.check().await, self.group_name().await);
        Proofs { runners, group, runs: self.read_runs().await }
    }

    async fn group_name(&self) -> Result<String, Error> {
        let number = match (self.wanted_group(), &self.scope) {
            // It has GitHub's own and no other.
            (_, Scope::Repository { .. }) => return Ok("Default".to_owned()),
            (RunnerGroup::Name(name), _) => return self.group().await.map(|_| name.clone()),
            (RunnerGroup::Number(number), _) => number.to_string(),
        };
        let mut path = self.scope.home();
        path.extend(["actions", "runner-groups", &number]);
        self.read(&path, &[]).await?.json::<Named>().map(|group| group.name)
    }

    /// Of one repository: nothing else shows that the right is there.
    async fn read_runs(&self) -> Result<Option<String>, Error> {
        let name = match &self.scope {
            Scope::Repository { owner, name } => format!("{owner}/{name}"),
            Scope::Organization(login) => match self.any_repository(login).await? {
                Some(name) => name,
                None => return Ok(None),
            },
            // Its profiles have scale sets, which tell of their jobs themselves.
            Scope::Enterprise(_) => return Ok(None),
        };
        let mut path = vec!["repos"];
        path.extend(name.split('/'));
        path.extend(["actions", "runs"]);
        self.read(&path, &[("per_page", "1")]).await?;
        Ok(Some(name))
    }
}
