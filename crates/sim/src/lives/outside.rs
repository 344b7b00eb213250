//! What is really so: GitHub's jobs and runners, the hosts' guests. The daemon only hears of it.

use super::rng::Rng;
use flint_core::ask::Question;
use flint_core::event::{Event, GuestEvent};
use flint_core::host::Host;
use flint_core::id::{HostId, JobKey, ProfileId, RunnerName, Slot, VmId};
use flint_core::job::JobRequest;
use flint_core::plan::Action;
use flint_core::profile::{Profile, Timeouts};
use flint_core::units::{MiB, Resources, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(super) const SECOND: u64 = 1_000;
pub(super) const MINUTE: u64 = 60 * SECOND;

/// What will happen, and is not an order's answer or a fact by itself.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    JobArrives,
    JobCancelled(u64),
    Assign,
    StepsEnd(u64),
    JobEnds(u64),
    RunnerLost(u64),
    IdleRemoved(String),
    /// A webhook arrives, or is redelivered.
    Webhook(Event),
    GuestReady(VmId),
    RunnerStarts(VmId),
    PowersOff(VmId),
    /// A guest's word arrives; the agent keeps it until the daemon has it.
    Said(VmId, GuestEvent),
    /// An order's answer, or a host's report, for the daemon's life that asked.
    Answer(u64, Event),
    LaunchStep(u64, Action, u8),
    Registers(u64, Action),
    Removes(u64, Action),
    Destroys(u64, Action),
    HostLists(u64, HostId, Timestamp),
    Asked(u64, Question, Timestamp),
    Wake,
    DaemonStarts,
    HostReturns(HostId),
    Undrain(HostId),
    Misfortune,
}

/// A job at GitHub.
#[derive(Clone, Debug)]
pub(super) struct Job {
    pub(super) request: JobRequest,
    pub(super) state: JobIs,
    /// How often a runner of ours was given it.
    pub(super) runs: u32,
    pub(super) hangs: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum JobIs {
    Queued,
    /// The runner's name, ours or not.
    Running(String),
    /// The last step is done; the runner has yet to say so.
    Ending(String),
    Completed,
}

/// A registered runner.
#[derive(Clone, Debug)]
pub(super) struct Runner {
    pub(super) vm: VmId,
    pub(super) labels: BTreeSet<String>,
    pub(super) online: bool,
    pub(super) job: Option<u64>,
}

/// A guest that runs.
#[derive(Clone, Debug)]
pub(super) struct Guest {
    pub(super) host: HostId,
    pub(super) slot: Slot,
    pub(super) shape: Resources,
    pub(super) ready: bool,
    /// The name of the registration whose secret it holds.
    pub(super) secret: Option<String>,
    pub(super) running: bool,
    /// Its words arrive in order: not before this.
    pub(super) said_until: u64,
    /// It, its host or the clock lied: what is done to its job is not the core's mistake.
    pub(super) excused: bool,
}

/// A host as it is.
#[derive(Clone, Debug, Default)]
pub(super) struct RealHost {
    pub(super) up: bool,
    /// Something of these is there, running or not.
    pub(super) present: BTreeSet<VmId>,
    /// Launches for these that come late are refused.
    pub(super) destroyed: BTreeSet<VmId>,
}

#[derive(Default)]
pub(super) struct Outside {
    pub(super) jobs: BTreeMap<u64, Job>,
    pub(super) runners: BTreeMap<String, Runner>,
    pub(super) guests: BTreeMap<VmId, Guest>,
    pub(super) hosts: BTreeMap<HostId, RealHost>,
}

impl Outside {
    pub(super) fn runner_of(&self, vm: VmId) -> Option<(&String, &Runner)> {
        let name = self.guests.get(&vm)?.secret.as_ref()?;
        self.runners.get_key_value(name)
    }

    pub(super) fn job_in(&self, vm: VmId) -> Option<u64> {
        self.runners.values().find(|runner| runner.vm == vm && runner.job.is_some())?.job
    }
}

pub(super) fn key(id: u64) -> JobKey {
    JobKey { id, attempt: 1 }
}

pub(super) fn told(name: &str) -> Option<RunnerName> {
    Some(RunnerName::told(name))
}

pub(super) fn request(id: u64, labels: Vec<String>) -> JobRequest {
    JobRequest {
        repository: "flint-demo/widgets".to_owned(),
        workflow: "CI".to_owned(),
        name: format!("job {id}"),
        labels,
        run_id: id,
        url: String::new(),
    }
}

pub(super) fn draw_profiles(rng: &mut Rng) -> BTreeMap<ProfileId, Profile> {
    let mut profiles = BTreeMap::new();
    for index in 0..rng.between(1, 3) {
        let id = ProfileId::new(&format!("p{index}")).expect("p and a digit are a right name");
        let vcpus = u32::try_from(rng.between(1, 4)).expect("at most four");
        let shape = Resources {
            vcpus,
            memory: MiB(1_024 * rng.between(1, 4)),
            disk: MiB(10_240 * rng.between(1, 2)),
        };
        let profile = Profile {
            labels: ["linux".to_owned(), format!("p{index}")].into(),
            shape,
            warm: u32::try_from(rng.below(3)).expect("at most two"),
            max: u32::try_from(rng.between(2, 6)).expect("at most six"),
            priority: 0,
            timeouts: Timeouts {
                boot: Duration::from_secs(120),
                register: Duration::from_secs(180),
                idle: Duration::from_secs(rng.between(30, 240)),
                job: Duration::from_secs(3_600),
            },
        };
        profiles.insert(id, profile);
    }
    profiles
}

pub(super) fn draw_hosts(rng: &mut Rng) -> BTreeMap<HostId, Host> {
    let mut hosts = BTreeMap::new();
    for id in 0..u32::try_from(rng.between(1, 2)).expect("at most two") {
        let vcpus = u32::try_from(rng.between(4, 12)).expect("at most twelve");
        let capacity = Resources {
            vcpus,
            memory: MiB(1_024 * rng.between(4, 16)),
            disk: MiB(10_240 * rng.between(2, 10)),
        };
        let slots = u16::try_from(rng.between(1, 6)).expect("at most six");
        let seen = Timestamp(0);
        let host = Host { capacity, slots, draining: false, seen, scan_at: seen };
        hosts.insert(HostId(id), host);
    }
    hosts
}
