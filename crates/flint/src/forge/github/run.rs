//! Asks where a run comes from.
//!
//! Source: GitHub's REST pages on workflow runs. `head_repository` is the repository of the commit that runs, null when it
//! was deleted. Whatever the event: a run whose commit is not the repository's own counts as a fork's, also the events
//! that run the repository's own workflow for a stranger's change (`pull_request_target`, `workflow_run`), because those
//! are the ones that often check the change out.

use super::GitHub;
use super::partial::{Partial, Repository};
use crate::forge::Error;
use flint_core::event::ForgeEvent;
use flint_core::policy::Origin;
use flint_core::units::Timestamp;
use serde::Deserialize;

/// A run, as far as it is looked at.
#[derive(Deserialize)]
pub(super) struct Run {
    pub(super) id: u64,
    #[serde(default)]
    pub(super) run_attempt: Option<u32>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    repository: Option<Place>,
    #[serde(default)]
    head_repository: Option<Place>,
}

#[derive(Deserialize)]
struct Place {
    id: u64,
    #[serde(default)]
    private: Option<bool>,
}

impl Run {
    pub(super) fn origin(&self) -> Origin {
        let Some(own) = &self.repository else { return Origin::default() };
        let head = self.head_repository.as_ref();
        Origin {
            public: own.private.map(|private| !private),
            fork: Some(head.is_none_or(|head| head.id != own.id)),
        }
    }
}

impl GitHub {
    pub(super) async fn one_run(
        &self,
        run: u64,
        repository: Repository<'_>,
        asked: Timestamp,
    ) -> Result<Partial, Error> {
        let id = run.to_string();
        let answered = |origin, over| ForgeEvent::RunAsked {
            run,
            repository: repository.full.to_owned(),
            origin,
            over,
            asked,
        };
        let reply = match self.read(&repository.path(&["actions", "runs", &id]), &[]).await {
            Ok(reply) => reply,
            // The same as for a job: only whoever sees the repository's runs knows that this one is gone.
            Err(Error::NotFound { .. }) => {
                self.read(&repository.path(&["actions", "runs"]), &[("per_page", "1")]).await?;
                return Ok(Partial::whole(answered(None, true)));
            }
            Err(error) => return Err(error),
        };
        let found: Run = reply.json()?;
        if found.id != run {
            return Err(reply.garbage("it is about another run".to_owned()));
        }
        let over = found.status.as_deref() == Some("completed");
        Ok(Partial::whole(answered(Some(found.origin()), over)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_run_is_a_forks_unless_its_commit_is_the_repositorys_own() {
        let origin = |own: serde_json::Value, head: serde_json::Value| {
            let run = json!({ "id": 7, "repository": own, "head_repository": head });
            let run: Run = serde_json::from_value(run).unwrap();
            (run.origin().public, run.origin().fork)
        };
        let private = json!({ "id": 1, "private": true });
        assert_eq!(origin(private.clone(), private.clone()), (Some(false), Some(false)));
        assert_eq!(origin(private.clone(), json!({ "id": 2 })), (Some(false), Some(true)));
        assert_eq!(origin(private, json!(null)), (Some(false), Some(true)));
        let public = json!({ "id": 1, "private": false });
        assert_eq!(origin(public.clone(), public), (Some(true), Some(false)));
        assert_eq!(origin(json!({ "id": 1 }), json!({ "id": 1 })), (None, Some(false)));
        assert_eq!(origin(json!(null), json!({ "id": 1 })), (None, None));
    }
}
