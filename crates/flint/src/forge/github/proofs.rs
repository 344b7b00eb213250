//! Shows by read-only calls that GitHub lets us do what we will have to do.

use super::GitHub;
use crate::forge::{Error, Scope};
use serde::Deserialize;

/// What each kind of call came to.
#[derive(Debug)]
pub struct Proofs {
    /// Listing runners: whoever may, may register and remove them too.
    pub runners: Result<(), Error>,
    /// The runner group, as GitHub has it.
    pub group: Result<GroupView, Error>,
    /// Reading the runs of a repository, which has the name; `None` where there is none to read.
    pub runs: Result<Option<String>, Error>,
}

/// A runner group.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct GroupView {
    /// Its name.
    pub name: String,
    /// Whose jobs it admits: those of `all` repositories, or organizations of an enterprise, or of `selected` or `private`
    /// ones.
    #[serde(default)]
    pub visibility: Option<String>,
}

impl GitHub {
    /// Asks all of it. For `flint doctor`.
    pub async fn prove(&self) -> Proofs {
        let (runners, group) = (self.check().await, self.group_view().await);
        Proofs { runners, group, runs: self.read_runs().await }
    }

    async fn group_view(&self) -> Result<GroupView, Error> {
        if let Scope::Repository { .. } = self.scope {
            // It has GitHub's own and no other.
            return Ok(GroupView { name: "Default".to_owned(), visibility: None });
        }
        let number = self.group().await?.to_string();
        let mut path = self.scope.home();
        path.extend(["actions", "runner-groups", &number]);
        self.read(&path, &[]).await?.json()
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
