//! What is really so: GitHub's jobs and runners, the hosts' guests. The daemon only hears of it.

use super::sets::Queue;
use flint_core::ask::{Budget, Question};
use flint_core::event::{Event, GuestEvent};
use flint_core::id::{HostId, InstallationId, JobKey, ProfileId, RunnerName, ScopeId, Slot, VmId};
use flint_core::job::{Conclusion, JobRequest};
use flint_core::plan::Action;
use flint_core::policy::Origin;
use flint_core::units::{Resources, Timestamp};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub(super) const SECOND: u64 = 1_000;
pub(super) const MINUTE: u64 = 60 * SECOND;

/// What will happen, and is not an order's answer or a fact by itself.
#[derive(Clone, Debug)]
pub(super) enum Happening {
    JobArrives,
    JobCancelled(u64),
    JobHeld(u64),
    Assign,
    StepsEnd(u64),
    JobEnds(u64),
    RunnerLost(u64),
    IdleRemoved(String),
    /// A webhook arrives.
    Webhook(Event),
    /// A scale set's listener hears what is new.
    SetSpeaks(ProfileId),
    /// It asks how things stand.
    SetIsCounted(ProfileId),
    /// A job that was held is queued again.
    Released(u64),
    /// An operator's command arrives.
    Command(Event),
    GuestReady(VmId),
    RunnerStarts(VmId),
    PowersOff(VmId),
    /// A guest's word arrives; the agent keeps it until the daemon has it.
    Said(VmId, GuestEvent),
    /// An order's answer, or a host's report, for the daemon's life that asked.
    Answer(u64, Event),
    /// Several, one after the other.
    Answers(u64, VecDeque<Event>),
    LaunchStep(u64, Action, u8),
    Registers(u64, Action),
    Removes(u64, Action),
    Destroys(u64, Action),
    HostLists(u64, HostId, Timestamp),
    Asked(u64, Question, Timestamp),
    Wake(Timestamp),
    DaemonStarts,
    HostReturns(HostId),
    Undrain(HostId),
    Misfortune,
}

/// A job at GitHub.
#[derive(Clone, Debug)]
pub(super) struct Job {
    /// As its webhooks tell it.
    pub(super) request: JobRequest,
    /// Where it comes from.
    pub(super) origin: Origin,
    pub(super) state: JobIs,
    /// How often a runner of ours was given it.
    pub(super) runs: u32,
    pub(super) hangs: bool,
    /// Its run was deleted: GitHub does not know it any more.
    pub(super) deleted: bool,
    /// GitHub's last word on how it ended, and on whose runner.
    pub(super) ended: Option<(Conclusion, Option<RunnerName>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum JobIs {
    Queued,
    /// It waits for an approval.
    Held,
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
    /// Where it is registered; it gets jobs from there and no others.
    pub(super) scope: ScopeId,
    pub(super) labels: BTreeSet<String>,
    /// The scale set that it is of; it gets that one's jobs and no others.
    pub(super) set: Option<ProfileId>,
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
    /// A list of runners lacked its runner.
    pub(super) overlooked: bool,
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

/// A webhook that GitHub could not deliver.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    /// When it was tried.
    pub(super) at: u64,
    /// From when on the list shows it.
    pub(super) listed: u64,
    pub(super) event: Event,
}

/// How many calls GitHub still takes, of one budget of an installation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Calls {
    pub(super) left: u32,
    pub(super) resets: u64,
}

#[derive(Default)]
pub(super) struct Outside {
    /// Failed deliveries, as GitHub keeps them.
    pub(super) failed: Vec<Delivery>,
    pub(super) calls: BTreeMap<(InstallationId, Budget), Calls>,
    /// GitHub takes no call of an installation before this.
    pub(super) limited_until: BTreeMap<InstallationId, u64>,
    /// A scope takes no runner of ours before this.
    pub(super) refuses_until: BTreeMap<ScopeId, u64>,
    pub(super) jobs: BTreeMap<u64, Job>,
    /// Scale sets, by their profiles.
    pub(super) sets: BTreeMap<ProfileId, Queue>,
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

pub(super) fn request(id: u64, labels: Vec<String>, repository: String) -> JobRequest {
    JobRequest {
        repository,
        workflow: "CI".to_owned(),
        name: format!("job {id}"),
        labels,
        run_id: id,
        url: String::new(),
        scale_set: None,
        origin: Origin::PRIVATE,
    }
}
