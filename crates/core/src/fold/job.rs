//! Facts about jobs. A job only goes forward: queued, running, completed.

use super::{registration, size};
use crate::forge::hear;
use crate::id::{JobKey, RunnerName, VmId};
use crate::job::{Conclusion, Job, JobRequest, JobState};
use crate::planted::{Fault, is};
use crate::policy::Origin;
use crate::record::{JobRecord, Record};
use crate::units::Timestamp;
use crate::vm::{Phase, Reason};
use crate::world::World;

pub(super) fn queued(world: &mut World, now: Timestamp, key: JobKey, request: JobRequest) {
    if !world.finished.contains_key(&key) || is(Fault::LateQueuedRevives) {
        known(world, now, key, request);
    }
}

/// Makes the row of a job, if this is the first fact about it; else adds what is new about where it comes from.
fn known(world: &mut World, now: Timestamp, key: JobKey, request: JobRequest) {
    if world.jobs.contains_key(&key) {
        comes_from(world, now, key, request.origin);
        return;
    }
    let profile = size::profile_for(world, now, &request);
    size::wanted(world, now, profile.as_ref());
    if profile.is_some() && request.scale_set.is_none() {
        hear(&mut world.repositories, now, &request.repository);
    }
    let verdict = world.verdict(profile.as_ref(), &request.repository, request.origin);
    let mut job = Job::queued(request, profile, now);
    job.judged(verdict, now);
    world.jobs.insert(key, job);
}

/// GitHub has told where a job comes from.
pub(super) fn comes_from(world: &mut World, now: Timestamp, key: JobKey, origin: Origin) {
    let Some(row) = world.jobs.get(&key) else { return };
    let mut known = row.request.origin;
    known.fill(origin);
    let verdict = world.verdict(row.profile.as_ref(), &row.request.repository, known);
    world.jobs.update(key, |job| {
        job.request.origin = known;
        job.judged(verdict, now);
    });
}

pub(super) fn started(
    world: &mut World,
    now: Timestamp,
    (key, request): (JobKey, JobRequest),
    runner: Option<&RunnerName>,
) {
    if world.finished.contains_key(&key) || is_anothers(world, &request, runner) {
        return;
    }
    let vm = runner.and_then(|name| name.vm(&world.instance));
    let offered = || matches!(world.size_for(&request.labels), Some(Ok(_)));
    let told = request.scale_set.is_some();
    let served = || {
        told || vm.is_some()
            || world.profile_for(&request.labels, &request.repository).is_some()
            || offered()
    };
    if !world.jobs.contains_key(&key) && !served() {
        // Neither our labels nor our runner: GitHub lists those of all runners, and may never tell of their end.
        return;
    }
    known(world, now, key, request);
    let before = world.jobs[&key].state.clone();
    // Its microVM may be gone before this word came.
    let gone = vm.is_some_and(|vm| !world.vms.contains_key(&vm));
    world.jobs.update(key, |job| {
        match (&job.state, vm) {
            // The first runner named stays: a job runs once, and facts come in any order.
            (JobState::Running(_), _) | (JobState::Elsewhere, None) => {}
            (JobState::Queued, None) => job.state = JobState::Elsewhere,
            (JobState::Queued | JobState::Elsewhere, Some(vm)) => job.state = JobState::Running(vm),
        }
        job.ask_at = now.after(job.word_holds());
        if gone {
            job.left.get_or_insert(now);
        }
    });
    let is_new = !matches!(before, JobState::Running(_));
    if let Some(vm) = vm.filter(|_| is_new) {
        bind(world, now, vm, key);
    }
}

/// GitHub gave this job to that runner. It may say so before the guest's own "ready" has arrived.
fn bind(world: &mut World, now: Timestamp, id: VmId, key: JobKey) {
    if world.vms.get(&id).is_none_or(|vm| vm.job.is_some()) {
        return;
    }
    let Some(vm) = world.vms.get_mut(&id) else { return };
    match &mut vm.phase {
        Phase::Launching
        | Phase::Warm
        | Phase::Registering
        | Phase::Listening
        | Phase::Retiring(_) => vm.enter(now, Phase::Busy(Some(key))),
        Phase::Busy(job) => *job = Some(key),
        Phase::Stopping { .. } => {}
    }
    vm.job = Some(key);
    vm.times.started.get_or_insert(now);
    let profile = vm.profile.clone();
    world.breakers.remove(&profile);
}

pub(super) fn completed(
    world: &mut World,
    now: Timestamp,
    (key, request): (JobKey, JobRequest),
    runner: Option<RunnerName>,
    conclusion: Conclusion,
) -> Option<Record> {
    if world.finished.contains_key(&key) || is_anothers(world, &request, runner.as_ref()) {
        return None;
    }
    world.finished.insert(key, now);
    known(world, now, key, request);
    let job = world.jobs.remove(&key)?;
    world.counted_one_less(job.profile.as_ref());
    size::wanted(world, now, job.profile.as_ref());
    let running_in = match job.state {
        JobState::Running(vm) => Some(vm),
        JobState::Queued | JobState::Elsewhere => None,
    };
    let vm = running_in.or_else(|| runner.as_ref().and_then(|name| name.vm(&world.instance)));
    if let Some(vm) = vm {
        done(world, now, vm, key);
        registration::spent(world, vm);
    }
    // What neither our labels nor our runners have to do with leaves no history.
    let ours = job.profile.is_some() || vm.is_some();
    ours.then_some(Record::Job(JobRecord { key, job, vm, runner, conclusion, completed: now }))
}

/// GitHub does not know the job any more: its run was deleted, or it ended and nobody told.
pub(super) fn forgotten(world: &mut World, now: Timestamp, key: JobKey) -> Option<Record> {
    world.finished.insert(key, now);
    let job = world.jobs.remove(&key).filter(|job| job.profile.is_some())?;
    world.counted_one_less(job.profile.as_ref());
    let vm = match job.state {
        JobState::Running(vm) => Some(vm),
        JobState::Queued | JobState::Elsewhere => None,
    };
    let conclusion = Conclusion("unknown".to_owned());
    Some(Record::Job(JobRecord { key, job, vm, runner: None, conclusion, completed: now }))
}

/// A scale set does not have the job any more, or GitHub does not count it. It is no completed job: GitHub may give it
/// again, and may yet say what became of it.
pub(super) fn withdrawn(
    world: &mut World,
    now: Timestamp,
    key: JobKey,
    conclusion: &str,
) -> Option<Record> {
    let running = |job: &Job| matches!(job.state, JobState::Running(_)) && job.left.is_none();
    // A runner has it after all.
    if world.jobs.get(&key).is_none_or(running) {
        return None;
    }
    let record = forgotten(world, now, key);
    if !is(Fault::WithdrawnForGood) {
        world.finished.remove(&key);
    }
    let Some(Record::Job(record)) = record else { return None };
    Some(Record::Job(JobRecord { conclusion: Conclusion(conclusion.to_owned()), ..record }))
}

/// Whether a webhook or a list tells of a job that a scale set tells of too, under another key.
fn is_anothers(world: &World, request: &JobRequest, runner: Option<&RunnerName>) -> bool {
    let profile = runner.and_then(|name| name.profile(&world.instance));
    request.scale_set.is_none() && profile.is_some_and(|profile| world.is_scale_set(&profile))
}

/// The microVM had its one job. Its guest gets a moment for the last lines of its log; one that was never seen at
/// work has none to say.
fn done(world: &mut World, now: Timestamp, id: VmId, key: JobKey) {
    let Some(vm) = world.vms.get_mut(&id) else { return };
    if *vm.job.get_or_insert(key) == key {
        vm.times.done.get_or_insert(now);
        if !matches!(vm.phase, Phase::Busy(_)) {
            vm.stop(now, Reason::JobDone);
        }
        let profile = vm.profile.clone();
        world.breakers.remove(&profile);
    }
}
