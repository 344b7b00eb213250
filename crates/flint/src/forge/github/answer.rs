//! Which question is answered by what, and on whose budget.

use super::GitHub;
use super::partial::{Partial, Repository};
use crate::forge::{Answer, Error};
use flint_core::ask::{Budget, Question};
use flint_core::event::ForgeEvent;
use flint_core::units::Timestamp;

impl GitHub {
    pub(super) async fn answer(
        &self,
        question: Question,
        asked: Timestamp,
    ) -> Result<Answer, Error> {
        let budget = match question {
            Question::Deliveries { .. } => Budget::App,
            Question::Runners { .. }
            | Question::RunnerReleases { .. }
            | Question::Repositories { .. }
            | Question::Jobs { .. }
            | Question::Job { .. }
            | Question::Run { .. } => Budget::Installation,
        };
        let partial = match &question {
            Question::Runners { scope } => {
                let registered = self.list_ours().await?;
                Partial::whole(ForgeEvent::Runners { scope: scope.clone(), registered, asked })
            }
            Question::Deliveries { installation, since } => {
                self.app.failed_deliveries((installation, *since), asked).await?
            }
            Question::RunnerReleases { installation } => {
                let (releases, rule) = (self.runner_releases().await?, self.runner_rule());
                let installation = installation.clone();
                Partial::whole(ForgeEvent::RunnerReleases { installation, releases, rule })
            }
            Question::Repositories { .. } => self.active_repositories(asked).await?,
            Question::Jobs { repository } => match Repository::parse(repository, &self.scope) {
                Ok(repository) => self.open_jobs(repository, asked).await?,
                Err(refused) => Partial::cut(refused),
            },
            Question::Job { job, repository } => match Repository::parse(repository, &self.scope) {
                Ok(repository) => self.one_job(*job, repository, asked).await?,
                Err(refused) => Partial::cut(refused),
            },
            Question::Run { run, repository } => match Repository::parse(repository, &self.scope) {
                Ok(repository) => self.one_run(*run, repository, asked).await?,
                Err(refused) => Partial::cut(refused),
            },
        };
        let quota = self.caller.rest.quota(budget);
        let quota = quota.map(|quota| (self.caller.installation.clone(), quota));
        Ok(Answer { told: partial.closed(question), quota })
    }
}
