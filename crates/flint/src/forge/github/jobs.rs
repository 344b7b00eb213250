//! Asks which jobs of a repository are open. GitHub lists no jobs but those of a run, so its open runs come first.
//!
//! Source: GitHub's pages on workflow runs and jobs. A list of runs is a search: it ends after 1,000 results.

use super::GitHub;
use super::partial::{Cut, Partial, Repository, fact};
use super::run::Run;
use crate::forge::payload::{self, Listed};
use crate::forge::{Error, Told};
use flint_core::event::ForgeEvent;
use flint_core::id::JobKey;
use flint_core::policy::Origin;
use flint_core::units::Timestamp;
use futures_util::stream::{self, StreamExt as _};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const PAGE: usize = 100;
/// The search gives no more.
const MOST_PAGES: usize = 10;
/// GitHub takes 900 calls a minute (its page on secondary limits), and several repositories are asked about at once.
const MOST_RUNS: usize = 250;
/// A run that is going can hold queued jobs. Queued first: a run goes from the first list to the second, and must not
/// slip through between the two questions.
const STATUSES: [&str; 2] = ["queued", "in_progress"];
/// GitHub's advice is to call one after the other; a few at once are far from its limit of 100.
const AT_ONCE: usize = 4;

#[derive(Deserialize)]
struct Runs {
    workflow_runs: Vec<Run>,
}

#[derive(Deserialize)]
struct Jobs {
    jobs: Vec<Value>,
}

/// What is known of a run before its jobs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Attempt {
    number: u32,
    origin: Origin,
}

impl Attempt {
    fn of(run: &Run) -> Self {
        Attempt { number: run.run_attempt.unwrap_or(1), origin: run.origin() }
    }
}

/// What was found in a repository.
#[derive(Default)]
struct Open {
    told: Vec<Told>,
    queued: BTreeSet<JobKey>,
    cut: Option<Cut>,
}

impl GitHub {
    pub(super) async fn open_jobs(
        &self,
        repository: Repository<'_>,
        asked: Timestamp,
    ) -> Result<Partial, Error> {
        let mut open = Open::default();
        let mut runs: BTreeMap<u64, Attempt> = BTreeMap::new();
        for status in STATUSES {
            let listed = self.runs(repository, status, &mut runs).await;
            match listed {
                Ok(whole) => open.bound(whole, "it has more open runs than GitHub lists"),
                Err(error) if runs.is_empty() => return Err(error),
                Err(error) => open.stop(error.into()),
            }
        }
        let chosen = stretch(runs.into_iter().collect(), asked);
        open.bound(chosen.1, "it has more open runs than can be asked about at once");
        let ask = async |(run, attempt): (u64, Attempt)| {
            (self.run_jobs(repository, run, attempt.number).await, attempt)
        };
        let calls: Vec<_> = chosen.0.into_iter().map(ask).collect();
        let mut calls = stream::iter(calls).buffered(AT_ONCE);
        while let Some((listed, attempt)) = calls.next().await {
            match listed {
                Ok((jobs, whole)) => {
                    open.bound(whole, "a run of it has more than 1,000 jobs");
                    jobs.iter()
                        .for_each(|job| open.take(job, &attempt, (repository, &self.instance)));
                }
                // The run was deleted meanwhile.
                Err(Error::NotFound { .. }) => {}
                Err(error) => {
                    open.stop(error.into());
                    break;
                }
            }
        }
        let repository = repository.full.to_owned();
        let end = match open.cut {
            Some(cut) => Err(cut),
            None => Ok(ForgeEvent::JobsListed { repository, queued: open.queued, asked }),
        };
        Ok(Partial { told: open.told, end })
    }

    /// Adds the runs of this status with their attempts. Says whether these are all.
    async fn runs(
        &self,
        repository: Repository<'_>,
        status: &str,
        runs: &mut BTreeMap<u64, Attempt>,
    ) -> Result<bool, Error> {
        let path = repository.path(&["actions", "runs"]);
        for page in 1..=MOST_PAGES {
            let page = page.to_string();
            let query = [("status", status), ("per_page", "100"), ("page", page.as_str())];
            let Runs { workflow_runs } = self.read(&path, &query).await?.json()?;
            let last = workflow_runs.len() < PAGE;
            runs.extend(workflow_runs.iter().map(|run| (run.id, Attempt::of(run))));
            if last {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The jobs of a run's attempt, and whether these are all.
    async fn run_jobs(
        &self,
        repository: Repository<'_>,
        run: u64,
        attempt: u32,
    ) -> Result<(Vec<Value>, bool), Error> {
        let (run, attempt) = (run.to_string(), attempt.to_string());
        let path = repository.path(&["actions", "runs", &run, "attempts", &attempt, "jobs"]);
        let mut all = Vec::new();
        for page in 1..=MOST_PAGES {
            let page = page.to_string();
            let query = [("per_page", "100"), ("page", page.as_str())];
            let Jobs { jobs } = self.read(&path, &query).await?.json()?;
            let last = jobs.len() < PAGE;
            all.extend(jobs);
            if last {
                return Ok((all, true));
            }
        }
        Ok((all, false))
    }
}

impl Open {
    /// A bound that was reached is told once.
    fn bound(&mut self, whole: bool, why: &str) {
        if !whole {
            self.stop(Cut::transient(format!("not all jobs of the repository were listed: {why}")));
        }
    }

    fn stop(&mut self, cut: Cut) {
        self.cut.get_or_insert(cut);
    }

    /// Tells of a job what is new by it. One that cannot be read does not stop the others.
    fn take(
        &mut self,
        job: &Value,
        attempt: &Attempt,
        (repository, instance): (Repository<'_>, &str),
    ) {
        let key = payload::listed_key(job, attempt.number);
        let read = key.and_then(|key| {
            payload::listed_job(job, key, repository.full).map(|listed| (key, listed))
        });
        match read {
            Err(malformed) => {
                let (id, repository) = (job["id"].as_u64(), repository.full);
                tracing::warn!(job = id, repository, %malformed, "a listed job cannot be read");
            }
            Ok((_, Listed::Held)) => {}
            Ok((key, Listed::Fact(mut event))) => {
                if let Some(request) = payload::request_of(&mut event) {
                    request.origin = attempt.origin;
                }
                let telling = match &*event {
                    // Old news, unless it is the last word about one of our microVMs.
                    ForgeEvent::JobCompleted { runner, .. } => {
                        runner.as_ref().is_some_and(|name| name.vm(instance).is_some())
                    }
                    _ => true,
                };
                if matches!(*event, ForgeEvent::JobQueued { .. }) {
                    self.queued.insert(key);
                }
                self.told.extend(telling.then(|| fact(*event)));
            }
        }
    }
}

/// As many runs as can be asked about, and whether these are all. Each question begins at another place, so that
/// every run has its turn.
fn stretch<T>(mut runs: Vec<(u64, T)>, asked: Timestamp) -> (Vec<(u64, T)>, bool) {
    if runs.len() <= MOST_RUNS {
        return (runs, true);
    }
    // Scattered: questions come in even steps, which could hit the same places for ever.
    let scattered = (asked.0 / 1_000).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let begin = usize::try_from(scattered).unwrap_or_default() % runs.len();
    runs.rotate_left(begin);
    runs.truncate(MOST_RUNS);
    (runs, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flint_core::ask::AskFailure;
    use serde_json::json;

    const REPOSITORY: Repository<'_> = Repository { full: "o/r", owner: "o", name: "r" };

    fn job(id: u64, status: &str, runner: &str) -> Value {
        json!({ "id": id, "run_id": 1, "status": status, "conclusion": "success", "runner_name": runner,
            "labels": ["flint"], "name": "t" })
    }

    fn open(jobs: &[Value]) -> Open {
        let mut open = Open::default();
        let attempt = Attempt { number: 2, origin: Origin::PRIVATE };
        jobs.iter().for_each(|job| open.take(job, &attempt, (REPOSITORY, "k3x9q2")));
        open
    }

    #[test]
    fn of_completed_jobs_only_ours_are_told() {
        let found = open(&[
            job(1, "queued", ""),
            job(2, "in_progress", "somebody"),
            job(3, "completed", "vm-7-small-k3x9q2"),
            job(4, "completed", "vm-7-small-zzzzzz"),
            job(5, "completed", ""),
            job(6, "waiting", ""),
            json!({ "id": "x" }),
            json!(null),
            job(7, "queued", ""),
        ]);
        let keys = found.told.iter().map(|told| match &told.event {
            ForgeEvent::JobQueued { job, .. } => ("queued", job.id),
            ForgeEvent::JobStarted { job, .. } => ("started", job.id),
            ForgeEvent::JobCompleted { job, .. } => ("completed", job.id),
            other => panic!("no such fact was listed: {other:?}"),
        });
        let wanted = [("queued", 1), ("started", 2), ("completed", 3), ("queued", 7)];
        assert_eq!(keys.collect::<Vec<_>>(), wanted);
        let queued = [1, 7].map(|id| JobKey { id, attempt: 2 });
        assert_eq!(found.queued, queued.into());
    }

    #[test]
    fn too_many_runs_are_asked_about_in_turns() {
        let runs = |count: u64| (0..count).map(|id| (id, 1)).collect::<Vec<_>>();
        assert_eq!(stretch(runs(250), Timestamp(7)), (runs(250), true));
        let mut seen = BTreeSet::new();
        for turn in 0..20 {
            let (part, whole) = stretch(runs(600), Timestamp(turn * 300_000));
            assert!(!whole && part.len() == MOST_RUNS);
            seen.extend(part);
        }
        assert_eq!(seen.len(), 600, "every run had its turn");
    }

    #[test]
    fn the_first_reason_for_a_cut_is_the_one_that_is_told() {
        let mut open = Open::default();
        open.bound(true, "nothing");
        assert_eq!(open.cut, None);
        open.bound(false, "first");
        open.bound(false, "second");
        let cut = open.cut.expect("it is cut");
        assert_eq!(cut.failure, AskFailure::Transient);
        assert_eq!(cut.why, "not all jobs of the repository were listed: first");
    }
}
