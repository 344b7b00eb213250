//! The daemon's view and the store's history as rows for the API.

use super::door::View;
use super::metrics::{because_word, budget_word, phase_word};
use crate::api::{
    BreakerRow, GithubRow, JobRow, LimitedRow, ProfileRow, QuotaRow, RefusesRow, RunnerRow,
    ScaleSetRow, UnansweredRow, VmRow, WhyAnswer,
};
use crate::store::History;
use flint_core::id::{InstallationId, JobKey, ProfileId, VmId};
use flint_core::job::{Job, JobState};
use flint_core::plan::why;
use flint_core::record::{JobRecord, VmRecord};
use flint_core::runner_version::{Last, Verdict};
use flint_core::units::{Resources, Timestamp};
use flint_core::vm::{Phase, Vm};
use flint_core::world::World;

/// The microVMs, by id.
#[must_use]
pub fn vms(world: &World) -> Vec<VmRow> {
    world.vms.iter().map(|(id, vm)| vm_row(*id, vm)).collect()
}

fn vm_row(id: VmId, vm: &Vm) -> VmRow {
    let job = match &vm.phase {
        Phase::Busy(job) => job.map(|job| job.id),
        Phase::Launching
        | Phase::Warm
        | Phase::Registering
        | Phase::Listening
        | Phase::Retiring(_)
        | Phase::Stopping { .. } => None,
    };
    VmRow {
        id: id.to_string(),
        profile: vm.profile.to_string(),
        phase: phase_word(&vm.phase).to_owned(),
        job,
        since: vm.since,
        slot: vm.slot.0,
        shape: vm.shape,
        times: vm.times.clone(),
        trouble: vm.trouble.clone(),
    }
}

/// Jobs that have not completed, oldest first.
#[must_use]
pub fn open_jobs(world: &World) -> Vec<JobRow> {
    let mut rows: Vec<JobRow> =
        world.jobs.iter().map(|(key, job)| open_job(world, *key, job)).collect();
    rows.sort_by_key(|row| (row.received, row.id));
    rows
}

fn open_job(world: &World, key: JobKey, job: &Job) -> JobRow {
    let (state, vm) = match job.state {
        JobState::Queued => ("queued", None),
        JobState::Running(vm) => ("running", Some(vm)),
        JobState::Elsewhere => ("elsewhere", None),
    };
    let times = vm.and_then(|vm| world.vms.get(&vm)).map(|vm| vm.times.clone());
    JobRow { state: state.to_owned(), vm: vm.map(|vm| vm.to_string()), times, ..base(key, job) }
}

/// Completed jobs, each with the waterfall of its microVM when that is gone too.
#[must_use]
pub fn done_jobs(history: &History, world: &World) -> Vec<JobRow> {
    history.jobs.iter().map(|record| done_job(record, &history.vms, world)).collect()
}

fn done_job(record: &JobRecord, gone: &[VmRecord], world: &World) -> JobRow {
    let gone = gone.iter().find(|vm| Some(vm.id) == record.vm).map(|vm| &vm.vm);
    let there = record.vm.and_then(|vm| world.vms.get(&vm));
    JobRow {
        state: record.conclusion.0.clone(),
        vm: record.vm.map(|vm| vm.to_string()),
        completed: Some(record.completed),
        times: gone.or(there).map(|vm| vm.times.clone()),
        ..base(record.key, &record.job)
    }
}

fn base(key: JobKey, job: &Job) -> JobRow {
    JobRow {
        id: key.id,
        attempt: key.attempt,
        run: job.request.run_id,
        repository: job.request.repository.clone(),
        workflow: job.request.workflow.clone(),
        name: job.request.name.clone(),
        labels: job.request.labels.clone(),
        profile: job.profile.as_ref().map(ToString::to_string),
        state: String::new(),
        vm: None,
        received: job.received,
        completed: None,
        times: None,
        url: job.request.url.clone(),
    }
}

/// The open job of this number; or one of the run of this number, a waiting one first. Scale sets do not tell the number
/// of a job that GitHub's pages show, only that of its run.
#[must_use]
pub fn open_named(world: &World, number: u64) -> Option<JobKey> {
    let by_job = world.jobs.iter().rfind(|(key, _)| key.id == number).map(|(key, _)| *key);
    let of_run = || world.jobs.iter().filter(|(_, job)| job.request.run_id == number);
    by_job.or_else(|| {
        let waits = |(_, job): &(&JobKey, &Job)| job.state == JobState::Queued;
        of_run().find(waits).or_else(|| of_run().next()).map(|(key, _)| *key)
    })
}

/// Why an open job stands where it stands; `None`: nobody knows it as open.
#[must_use]
pub fn why_open(view: &View, key: JobKey) -> Option<WhyAnswer> {
    let (id, key, job) = (key.id, &key, view.world.jobs.get(&key)?);
    let because = view.waits.because(&view.world, *key);
    let because = because.map(|because| because_word(&because).replace('_', "-"));
    let state = match job.state {
        JobState::Queued => "queued",
        JobState::Running(_) => "running",
        JobState::Elsewhere => "elsewhere",
    };
    let sentence = why(&view.world, &view.waits, *key);
    Some(WhyAnswer { job: id, state: state.to_owned(), because, sentence, egress: Vec::new() })
}

/// The same for a completed one.
#[must_use]
pub fn why_done(record: &JobRecord) -> WhyAnswer {
    let conclusion = &record.conclusion.0;
    let sentence = match (record.vm, &record.runner) {
        (Some(vm), _) => format!("it ran in {vm} and ended with `{conclusion}`"),
        (None, Some(runner)) => format!("it ran on `{runner}` and ended with `{conclusion}`"),
        (None, None) => format!("it ended with `{conclusion}` before a runner took it"),
    };
    let (job, state) = (record.key.id, conclusion.clone());
    WhyAnswer { job, state, because: None, sentence, egress: Vec::new() }
}

/// The microVM that runs an open job.
#[must_use]
pub fn runs_in(world: &World, key: JobKey) -> Option<VmId> {
    match world.jobs.get(&key)?.state {
        JobState::Running(vm) => Some(vm),
        JobState::Queued | JobState::Elsewhere => None,
    }
}

/// The profiles, each with what it has and what waits for it.
#[must_use]
pub fn profiles(world: &World, now: Timestamp) -> Vec<ProfileRow> {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let row = |(name, profile): (&ProfileId, &flint_core::profile::Profile)| {
        let vms = world.vms.values().filter(|vm| vm.profile == *name).count();
        let mine = |job: &&Job| {
            job.profile.as_ref() == Some(name) && matches!(job.state, JobState::Queued)
        };
        ProfileRow {
            name: name.to_string(),
            labels: profile.labels.iter().cloned().collect(),
            shape: profile.shape,
            warm: profile.warm,
            max: profile.max,
            vms: count(vms),
            queued: count(world.jobs.values().filter(mine).count()),
            scale_set: world.is_scale_set(name).then(|| scale_set(world, name)),
            runner: runner(world, name, now),
        }
    };
    world.profiles.iter().map(row).collect()
}

/// The runner in a profile's image.
#[must_use]
pub fn runner(world: &World, profile: &ProfileId, now: Timestamp) -> Option<RunnerRow> {
    let (version, verdict) = world.runner_verdict(profile, now)?;
    let newest = world.newest_runner();
    let fix = "`flint image update-runner` puts a newer one into the image";
    let by = |last: Last| if last.told { "" } else { " at the latest" };
    let warning = match verdict {
        Verdict::Unknown | Verdict::Newest | Verdict::Behind { .. } => None,
        Verdict::Ending { last } => {
            let (at, by) = (last.at, by(last));
            Some(format!("GitHub gives no jobs to runner {version} from {at} on{by}: {fix}"))
        }
        Verdict::Over { last } => {
            let (at, by) = (last.at, by(last));
            Some(format!("GitHub gives no jobs to runner {version} since {at}{by}: {fix}"))
        }
        Verdict::Refused => {
            Some(format!("GitHub registers no runner {version}, it is too old: {fix}"))
        }
    };
    let (version, newest) = (version.to_string(), newest.map(|newest| newest.to_string()));
    Some(RunnerRow { version, newest, last: verdict.last().map(|last| last.at), warning })
}

fn scale_set(world: &World, profile: &ProfileId) -> ScaleSetRow {
    let known = world.scale_sets.get(profile).cloned().unwrap_or_default();
    let flint_core::scale_set::ScaleSet { assigned, trouble, passed_over, .. } = known;
    ScaleSetRow { assigned, trouble, passed_over }
}

/// Profiles with failures.
#[must_use]
pub fn breakers(world: &World) -> Vec<BreakerRow> {
    let failing = world.breakers.iter().filter(|(_, breaker)| breaker.failures > 0);
    let row = |(profile, breaker): (&ProfileId, &flint_core::breaker::Breaker)| BreakerRow {
        profile: profile.to_string(),
        failures: breaker.failures,
        open: breaker.open,
        until: breaker.closed_until,
        why: breaker.why.clone(),
    };
    failing.map(row).collect()
}

/// How GitHub treats us, by what it said last.
#[must_use]
pub fn github(world: &World) -> GithubRow {
    let quota = |id: &InstallationId, quota: &flint_core::ask::Quota| QuotaRow {
        installation: id.to_string(),
        budget: budget_word(quota.budget).to_owned(),
        remaining: quota.remaining,
        limit: quota.limit,
        resets: quota.resets,
    };
    let installations = || world.installations.iter();
    let quotas = installations().flat_map(|(id, i)| i.quotas.values().map(|q| quota(id, q)));
    let limited = installations().filter(|(_, i)| i.limited_until.0 > 0);
    let limited =
        limited.map(|(id, i)| LimitedRow { installation: id.to_string(), until: i.limited_until });
    let refuses = world.scopes.iter().filter(|(_, scope)| scope.breaker.open);
    let refuses = refuses
        .map(|(id, scope)| RefusesRow { scope: id.to_string(), why: scope.breaker.why.clone() });
    let deliveries = installations().filter_map(|(id, i)| {
        let due = &i.deliveries.as_ref()?.due;
        Some((format!("deliveries of {id}"), due))
    });
    let lists = world.scopes.iter().flat_map(|(id, scope)| {
        let repositories = (format!("repositories of {id}"), &scope.repositories);
        [(format!("runners of {id}"), &scope.runners), repositories]
    });
    let jobs = world.repositories.iter().map(|(name, r)| (format!("jobs of {name}"), &r.jobs));
    let unanswered = deliveries.chain(lists).chain(jobs).filter(|(_, due)| due.failures > 0);
    let unanswered = unanswered.map(|(question, due)| UnansweredRow {
        question,
        failures: due.failures,
        why: due.why.clone().unwrap_or_default(),
        again: due.at,
    });
    GithubRow {
        quotas: quotas.collect(),
        limited: limited.collect(),
        refuses: refuses.collect(),
        unanswered: unanswered.collect(),
        skew: None,
    }
}

/// What all microVMs take together.
#[must_use]
pub fn used(world: &World) -> Resources {
    world.vms.values().fold(Resources::default(), |sum, vm| sum + vm.shape)
}
