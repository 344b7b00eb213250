//! Asks how one job is.

use super::partial::{Partial, Repository, fact};
use super::{Admits, GitHub, Scope};
use crate::forge::Error;
use crate::forge::payload::{self, Listed};
use flint_core::ask::Found;
use flint_core::event::ForgeEvent;
use flint_core::id::JobKey;
use flint_core::units::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use std::sync::{MutexGuard, PoisonError};

/// An organization has at most some hundred groups.
const MOST_PAGES: usize = 10;
const PAGE: usize = 100;

#[derive(Deserialize)]
struct Groups {
    runner_groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    id: u64,
    /// It takes only the jobs of some workflows, and does not say here of which repository they are.
    #[serde(default)]
    restricted_to_workflows: bool,
}

impl GitHub {
    pub(super) async fn one_job(
        &self,
        job: JobKey,
        repository: Repository<'_>,
        asked: Timestamp,
    ) -> Result<Partial, Error> {
        let answered = |found| ForgeEvent::JobAsked { job, found, asked };
        let id = job.id.to_string();
        let reply = match self.read(&repository.path(&["actions", "jobs", &id]), &[]).await {
            Ok(reply) => reply,
            // GitHub says the same of a job that is gone and of a repository that the App may no longer see. Whoever
            // sees the repository's runs sees its jobs, so only then is the job gone; else the error of this call says
            // that nothing is known.
            Err(Error::NotFound { .. }) => {
                self.read(&repository.path(&["actions", "runs"]), &[("per_page", "1")]).await?;
                return Ok(Partial::whole(answered(Found::Gone)));
            }
            Err(error) => return Err(error),
        };
        let body: Value = reply.json()?;
        if body["id"].as_u64() != Some(job.id) {
            return Err(reply.garbage("it is about another job".to_owned()));
        }
        let listed = payload::listed_job(&body, job, repository.full);
        Ok(match listed.map_err(|malformed| reply.garbage(malformed.to_string()))? {
            Listed::Held => Partial::whole(answered(Found::Held)),
            Listed::Fact(event) if matches!(*event, ForgeEvent::JobQueued { .. }) => {
                let admitted = self.admits(repository, asked).await;
                Partial::whole(answered(Found::Queued { admitted }))
            }
            Listed::Fact(event) => {
                Partial { told: vec![fact(*event)], end: Ok(answered(Found::Told)) }
            }
        })
    }

    /// Whether jobs of this repository can reach our runner group; `None` when GitHub does not say.
    async fn admits(&self, repository: Repository<'_>, asked: Timestamp) -> Option<bool> {
        // A runner of a repository has no group to choose.
        let Scope::Organization(login) = &self.scope else { return Some(true) };
        if let Some(known) = self.known_admits().get(repository.full, asked) {
            return known;
        }
        let admitted = match self.in_group(login, repository.name).await {
            Ok(admitted) => admitted,
            Err(error) => {
                tracing::debug!(%error, repository = repository.full, "GitHub does not say which groups admit it");
                None
            }
        };
        self.known_admits().put(repository.full, asked, admitted);
        admitted
    }

    async fn in_group(&self, login: &str, name: &str) -> Result<Option<bool>, Error> {
        let ours = self.group().await?;
        for page in 1..=MOST_PAGES {
            let page = page.to_string();
            let query = [("visible_to_repository", name), ("per_page", "100"), ("page", &page)];
            let reply = self.read(&["orgs", login, "actions", "runner-groups"], &query).await?;
            let Groups { runner_groups } = reply.json()?;
            if let Some(ours) = runner_groups.iter().find(|group| group.id == ours) {
                return Ok((!ours.restricted_to_workflows).then_some(true));
            }
            if runner_groups.len() < PAGE {
                break;
            }
        }
        Ok(Some(false))
    }

    fn known_admits(&self) -> MutexGuard<'_, Admits> {
        // A panic while it was held leaves at worst an answer that is asked for again.
        self.admits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
