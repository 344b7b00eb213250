//! Rows that have ended leave the world: after every fact, whatever it was.

use crate::id::{HostId, JobKey, ProfileId, VmId};
use crate::job::{Conclusion, Job, JobState};
use crate::record::{JobRecord, Record, VmRecord};
use crate::units::Timestamp;
use crate::vm::{Phase, Reason, Vm};
use crate::world::World;
use std::collections::BTreeSet;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

/// GitHub keeps deliveries for 3 days: nothing older than this can be told again.
const FINISHED_KEPT: Duration = HOUR.saturating_mul(4 * 24);

/// GitHub fails a job that nobody took after 24 h, GitHub Enterprise Server after 48 h.
const QUEUED_MAX: Duration = HOUR.saturating_mul(49);

/// GitHub ends a job after 5 days; 2 in the queue come before that.
const KNOWN_MAX: Duration = HOUR.saturating_mul(7 * 24 + 1);

/// GitHub itself removes a one-job runner that has been offline for a day.
const FORGE_CLEAN_AFTER: Duration = HOUR.saturating_mul(25);

pub(super) fn sweep(world: &mut World, now: Timestamp, records: &mut Vec<Record>) {
    records.extend(vms(world, now));
    records.extend(jobs(world, now));
    world.finished.retain(|_, at| now < at.after(FINISHED_KEPT));
    configuration(world);
}

/// When a job's row goes although GitHub never said that it completed.
pub(crate) fn job_expires(job: &Job) -> Timestamp {
    job.received.after(match job.state {
        JobState::Queued => QUEUED_MAX,
        JobState::Running(_) | JobState::Elsewhere => KNOWN_MAX,
    })
}

/// When a microVM's row goes although GitHub never said that its registration is gone. The host's side has
/// no such end: a row that is forgotten while its guest runs would leave it to nobody.
pub(crate) fn row_expires(vm: &Vm) -> Option<Timestamp> {
    let host_clean = matches!(vm.phase, Phase::Stopping { host_clean: true, .. });
    host_clean.then(|| vm.since.after(FORGE_CLEAN_AFTER))
}

fn vms(world: &mut World, now: Timestamp) -> Vec<Record> {
    let gone = |(id, vm): (&VmId, &Vm)| match vm.phase {
        Phase::Stopping { reason, host_clean: true, forge_clean } => {
            let over = forge_clean || row_expires(vm).is_some_and(|at| at <= now);
            over.then_some((*id, reason))
        }
        Phase::Launching
        | Phase::Warm
        | Phase::Registering
        | Phase::Listening
        | Phase::Busy(_)
        | Phase::Retiring(_)
        | Phase::Stopping { host_clean: false, .. } => None,
    };
    let gone: Vec<(VmId, Reason)> = world.vms.iter().filter_map(gone).collect();
    let mut records = Vec::new();
    for (id, reason) in gone {
        if let Some(vm) = world.vms.remove(&id) {
            let job = vm.job;
            records.push(Record::Vm(VmRecord { id, vm, reason, job, gone: now }));
        }
    }
    records
}

fn jobs(world: &mut World, now: Timestamp) -> Vec<Record> {
    let over = |(key, job): (&JobKey, &Job)| (job_expires(job) <= now).then_some(*key);
    let over: Vec<JobKey> = world.jobs.iter().filter_map(over).collect();
    let mut records = Vec::new();
    for key in over {
        world.finished.insert(key, now);
        let Some(job) = world.jobs.remove(&key).filter(|job| job.profile.is_some()) else {
            continue;
        };
        let vm = match job.state {
            JobState::Running(vm) => Some(vm),
            JobState::Queued | JobState::Elsewhere => None,
        };
        let conclusion = Conclusion("unknown".to_owned());
        let record = JobRecord { key, job, vm, runner: None, conclusion, completed: now };
        records.push(Record::Job(record));
    }
    records
}

/// Profiles and hosts that left the configuration go with their last microVM.
fn configuration(world: &mut World) {
    let profiles: BTreeSet<ProfileId> = world.vms.values().map(|vm| vm.profile.clone()).collect();
    let hosts: BTreeSet<HostId> = world.vms.values().map(|vm| vm.host).collect();
    world.profiles.retain(|id, profile| !profile.labels.is_empty() || profiles.contains(id));
    world.hosts.retain(|id, host| host.slots > 0 || hosts.contains(id));
    world.breakers.retain(|id, _| world.profiles.contains_key(id));
}
