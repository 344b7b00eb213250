//! Answers to what GitHub was asked. A list ends nothing by itself: it says whom to ask about singly.

use super::job;
use crate::ask::{AskFailure, Found, Question, Quota};
use crate::forge::{Installation, forget, hear};
use crate::id::{InstallationId, JobKey, ScopeId, VmId};
use crate::job::{Asked, Job, JobState};
use crate::planted::{Fault, is};
use crate::policy::Origin;
use crate::record::Record;
use crate::runner_version::{Releases, Rule};
use crate::units::Timestamp;
use crate::vm::{Phase, Registration, Vm};
use crate::world::World;
use std::collections::BTreeSet;
use std::time::Duration;

/// A job waits for GitHub's word about its run, so it is asked for again sooner than others.
const RUN_AGAIN: Duration = Duration::from_secs(30);

/// How long it is from an answer to the next question like it.
pub(super) fn every(world: &World, now: Timestamp, question: &Question) -> Duration {
    let asked = world.asked_of(question).and_then(|id| world.installations.get(id));
    let alike = match question {
        Question::Jobs { .. } | Question::Job { .. } | Question::Run { .. } => {
            world.repositories.len()
        }
        Question::Runners { .. } | Question::Repositories { .. } => {
            let of = world.asked_of(question);
            world.scopes.values().filter(|scope| Some(&scope.installation) == of).count()
        }
        Question::Deliveries { .. } | Question::RunnerReleases { .. } => 0,
    };
    let unknown = Installation::default();
    asked.unwrap_or(&unknown).every(now, question, alike)
}

pub(super) fn repositories_listed(
    world: &mut World,
    now: Timestamp,
    scope: &ScopeId,
    active: &BTreeSet<String>,
) {
    let every = every(world, now, &Question::Repositories { scope: scope.clone() });
    let Some(known) = world.scopes.get_mut(scope) else { return };
    known.repositories.answered(now, every);
    for name in active {
        hear(&mut world.repositories, now, name);
    }
    forget(&mut world.repositories, now);
}

/// A version of which nobody says since when it is there, is there since it was seen.
pub(super) fn runner_releases(
    world: &mut World,
    now: Timestamp,
    id: &InstallationId,
    (releases, rule): (&Releases, Rule),
) {
    let every = every(world, now, &Question::RunnerReleases { installation: id.clone() });
    let Some(installation) = world.installations.get_mut(id) else { return };
    installation.releases_due.answered(now, every);
    installation.releases.learn_all(releases, now);
    installation.rule = Some(rule);
}

/// Open jobs of the repository that GitHub neither listed nor told of since the question are asked about singly:
/// the list may be older than they are, or cut off.
pub(super) fn jobs_listed(
    world: &mut World,
    now: Timestamp,
    repository: &str,
    queued: &BTreeSet<JobKey>,
    asked: Timestamp,
) {
    let question = Question::Jobs { repository: repository.to_owned() };
    let every = every(world, now, &question);
    if let Some(followed) = world.repositories.get_mut(repository) {
        followed.jobs.answered(now, every);
    }
    let open: Vec<JobKey> = world.jobs.of_repository(repository).collect();
    for key in open {
        if is(Fault::JobsListEnds) && !queued.contains(&key) && world.jobs[&key].received < asked {
            let _ = job::forgotten(world, now, key);
        }
        world.jobs.update(key, |job| {
            if job.is_undecided() {
                return;
            }
            let holds = job.word_holds();
            let heard_since = job.ask_at >= asked.after(holds);
            let young = job.received >= asked && !is(Fault::JobsAgeIgnored);
            if queued.contains(&key) {
                job.ask_at = now.after(holds);
            } else if !young && !heard_since {
                job.ask_at = job.ask_at.min(now);
            }
        });
    }
}

pub(super) fn job_asked(
    world: &mut World,
    now: Timestamp,
    key: JobKey,
    found: Found,
    asked: Timestamp,
) -> Option<Record> {
    match found {
        Found::Queued { .. } | Found::Told => world.jobs.update(key, |job| {
            job.asked = Some(Asked { at: asked, found });
            if !job.is_undecided() {
                job.ask_at = now.after(job.word_holds());
            }
        }),
        // GitHub tells anew when it is queued.
        Found::Held => {
            let queued = |job: &Job| job.state == JobState::Queued;
            if world.jobs.get(&key).is_some_and(queued) {
                world.jobs.remove(&key);
            }
        }
        Found::Gone => return job::forgotten(world, now, key),
    }
    None
}

/// GitHub says where a run comes from, and so all its jobs; or that it knows of no such run.
pub(super) fn run_asked(
    world: &mut World,
    now: Timestamp,
    (run, repository): (u64, &str),
    (origin, over): (Option<Origin>, bool),
) -> Vec<Record> {
    let jobs = world.jobs.of_repository(repository);
    let jobs: Vec<JobKey> = jobs.filter(|key| world.jobs[key].request.run_id == run).collect();
    match origin {
        Some(origin) => {
            for key in jobs {
                job::comes_from(world, now, key, origin);
                // It did not say what was asked: again, but not at once.
                world.jobs.update(key, |job| {
                    if job.asks_for_run() {
                        job.ask_at = now.after(job.word_holds());
                    }
                });
            }
            ended_unheard(world, now, (run, repository), over)
        }
        None => {
            let asked = jobs.into_iter().filter(|key| world.jobs[key].asks_for_run());
            let gone: Vec<JobKey> = asked.collect();
            gone.into_iter().filter_map(|key| job::forgotten(world, now, key)).collect()
        }
    }
}

/// A run has ended, and with it what a scale set told of its jobs and never told the end of.
fn ended_unheard(
    world: &mut World,
    now: Timestamp,
    (run, repository): (u64, &str),
    over: bool,
) -> Vec<Record> {
    let jobs = world.jobs.of_repository(repository).filter(|_| over);
    let waits = |key: &JobKey| {
        let job = &world.jobs[key];
        job.request.run_id == run
            && job.request.scale_set.is_some()
            && job.state == JobState::Queued
    };
    let unheard: Vec<JobKey> = jobs.filter(waits).collect();
    unheard.into_iter().filter_map(|key| job::withdrawn(world, now, key, "unknown")).collect()
}

pub(super) fn failed(
    world: &mut World,
    now: Timestamp,
    question: &Question,
    failure: AskFailure,
    why: String,
) {
    if let AskFailure::Limited { until } = failure
        && let Some(installation) = world.asked_of(question).cloned()
    {
        installation_limited(world, &installation, until);
    }
    let every = every(world, now, question);
    match question {
        Question::Deliveries { installation, .. } => {
            let Some(installation) = world.installations.get_mut(installation) else { return };
            if is(Fault::CheckpointPastFailure) {
                installation.deliveries_read(now, now);
            }
            if let Some(deliveries) = &mut installation.deliveries {
                deliveries.due.failed(now, every, failure, why);
            }
        }
        Question::RunnerReleases { installation } => {
            if let Some(installation) = world.installations.get_mut(installation) {
                installation.releases_due.failed(now, every, failure, why);
            }
        }
        Question::Runners { scope } => {
            if let Some(scope) = world.scopes.get_mut(scope) {
                scope.runners.failed(now, every, failure, why);
            }
        }
        Question::Repositories { scope } => {
            if let Some(scope) = world.scopes.get_mut(scope) {
                scope.repositories.failed(now, every, failure, why);
            }
        }
        Question::Jobs { repository } => {
            if let Some(followed) = world.repositories.get_mut(repository) {
                followed.jobs.failed(now, every, failure, why);
            }
        }
        Question::Job { job, .. } => put_off(world, *job, (now, every), failure),
        Question::Run { run, repository } => {
            let jobs = world.jobs.of_repository(repository);
            let of_run = jobs.filter(|key| world.jobs[key].request.run_id == *run);
            let asked = of_run.filter(|key| world.jobs[key].asks_for_run());
            for key in asked.collect::<Vec<_>>() {
                // Somebody waits for this answer.
                put_off(world, key, (now, every.min(RUN_AGAIN)), failure);
            }
        }
    }
}

fn put_off(
    world: &mut World,
    key: JobKey,
    (now, every): (Timestamp, Duration),
    failure: AskFailure,
) {
    world.jobs.update(key, |job| {
        let again = now.after(every.min(job.word_holds()));
        job.ask_at = match failure {
            AskFailure::Limited { until } => again.max(until),
            AskFailure::Transient | AskFailure::Refused => again,
        };
    });
}

/// Of two answers on one budget the one with less left is the newer, until the budget is full again.
pub(super) fn quota_left(world: &mut World, installation: &InstallationId, quota: Quota) {
    let Some(installation) = world.installations.get_mut(installation) else { return };
    let known = installation.quotas.entry(quota.budget).or_insert(quota);
    if quota.resets != known.resets || quota.remaining < known.remaining {
        *known = quota;
    }
}

/// GitHub takes no calls about this scope before this.
pub(super) fn limited(world: &mut World, scope: &ScopeId, until: Timestamp) {
    let installation = world.scopes.get(scope).map(|scope| scope.installation.clone());
    if let Some(installation) = installation {
        installation_limited(world, &installation, until);
    }
}

/// Whoever waits for a registration lines up anew behind it: otherwise all whose turn passes meanwhile would go out at
/// once.
fn installation_limited(world: &mut World, id: &InstallationId, until: Timestamp) {
    let Some(installation) = world.installations.get_mut(id) else { return };
    if until <= installation.limited_until {
        return;
    }
    installation.limit(until);
    let scopes = &world.scopes;
    let reached = |scope: &ScopeId| scopes.get(scope).is_some_and(|s| s.installation == *id);
    let waits = |vm: &Vm| {
        matches!(vm.phase, Phase::Launching | Phase::Registering)
            && matches!(vm.registration, Registration::Asked { .. })
            && vm.scope.as_ref().is_some_and(reached)
    };
    let line = world.vms.iter().filter(|(_, vm)| waits(vm)).map(|(id, vm)| (vm.retry_at, *id));
    let line: BTreeSet<(Timestamp, VmId)> = line.collect();
    for (_, vm) in line {
        let turn = installation.next_registration(until);
        if let Some(vm) = world.vms.get_mut(&vm) {
            vm.retry_at = turn;
        }
    }
    if is(Fault::LimitSpreads) {
        world.installations.values_mut().for_each(|other| other.limit(until));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ask::Budget;

    #[test]
    fn the_lower_figure_of_one_hour_is_the_newer() {
        let id = InstallationId::new("o");
        let installations = [(id.clone(), Installation::default())].into();
        let mut world = World { installations, ..World::default() };
        let quota = |remaining, resets| Quota {
            budget: Budget::Installation,
            limit: 5_000,
            remaining,
            resets: Timestamp(resets),
        };
        for (told, kept) in [((90, 7), 90), ((95, 7), 90), ((80, 7), 80), ((5_000, 8), 5_000)] {
            quota_left(&mut world, &id, quota(told.0, told.1));
            let known = world.installations[&id].quotas[&Budget::Installation];
            assert_eq!(known.remaining, kept, "after {told:?}");
        }
    }
}
