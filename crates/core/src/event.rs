//! Every fact the outside can tell, as one enum. Facts may be late, repeated, reordered or lost.

use crate::ask::{AskFailure, Found, Question, Quota};
use crate::host::Host;
use crate::id::{HostId, InstallationId, JobKey, ProfileId, RunnerId, RunnerName, ScopeId, VmId};
use crate::job::{Conclusion, JobRequest};
use crate::limits::Limits;
use crate::policy::Origin;
use crate::profile::Profile;
use crate::runner_version::{Releases, Rule, RunnerVersion};
use crate::scale_set::SetEvent;
use crate::units::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The daemon has just started; no order it gave before is still under way.
    Started {
        /// The configuration's profiles; microVMs of others run to their end.
        profiles: BTreeMap<ProfileId, Profile>,
        /// The hosts it owns.
        hosts: BTreeMap<HostId, Host>,
        /// How much of them a repository or an organization may have.
        #[serde(default)]
        limits: Limits,
        /// Where runners are registered, and whose calls reach each place.
        #[serde(default)]
        scopes: BTreeMap<ScopeId, InstallationId>,
        /// Those that are asked for their App's failed deliveries.
        #[serde(default)]
        readers: BTreeSet<InstallationId>,
    },
    /// From the forge: jobs, runners, registrations.
    Forge(ForgeEvent),
    /// From the host: launches, ends, inventories.
    Host(HostEvent),
    /// From inside a microVM, by its agent.
    Guest {
        /// Which.
        vm: VmId,
        /// What it said.
        said: GuestEvent,
    },
    /// From an operator.
    Operator(OperatorEvent),
    /// Time has passed; nothing else is new.
    Tick,
}

/// What GitHub told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForgeEvent {
    /// `workflow_job` `queued`.
    JobQueued {
        /// Which.
        job: JobKey,
        /// What it asks for.
        request: JobRequest,
    },
    /// `workflow_job` `in_progress`.
    JobStarted {
        /// Which.
        job: JobKey,
        /// What it asked for.
        request: JobRequest,
        /// Who took it.
        runner: Option<RunnerName>,
    },
    /// `workflow_job` `completed`, with or without a run before.
    JobCompleted {
        /// Which.
        job: JobKey,
        /// What it asked for.
        request: JobRequest,
        /// Who ran it, if anyone.
        runner: Option<RunnerName>,
        /// How it ended.
        conclusion: Conclusion,
    },
    /// A scale set lost a job before a runner took it: it was cancelled, or GitHub took it back because no runner came in
    /// time, and may give it again.
    JobWithdrawn {
        /// Which.
        job: JobKey,
    },
    /// Of a profile's scale set as a whole.
    ScaleSet {
        /// Whose.
        profile: ProfileId,
        /// What.
        said: SetEvent,
    },
    /// The order `Register` succeeded. The secret went to the guest, not here.
    Registered {
        /// For whom.
        vm: VmId,
        /// Where.
        scope: ScopeId,
        /// Under which of its names.
        attempt: u32,
        /// GitHub's number.
        runner: RunnerId,
    },
    /// The order `Register` did not succeed.
    RegisterFailed {
        /// For whom.
        vm: VmId,
        /// Where.
        scope: ScopeId,
        /// Under which of its names.
        attempt: u32,
        /// What it means for the next try.
        failure: RegisterFailure,
        /// For people.
        why: String,
    },
    /// No registration of this microVM is left under any of its names.
    Deregistered {
        /// Which.
        vm: VmId,
    },
    /// GitHub refused (422): the runner has just been given a job.
    DeregisterRefused {
        /// Which.
        vm: VmId,
    },
    /// The order `Deregister` failed; nothing is known.
    DeregisterFailed {
        /// Which.
        vm: VmId,
        /// For people.
        why: String,
    },
    /// All runners of a scope that carry this instance's names, true at some time after `asked`.
    Runners {
        /// Where.
        scope: ScopeId,
        /// Their microVMs.
        registered: BTreeSet<VmId>,
        /// When the question was asked.
        asked: Timestamp,
    },
    /// Every delivery that failed before `asked` and after the question's `since` has been told.
    DeliveriesRead {
        /// Whose App.
        installation: InstallationId,
        /// When the question was asked.
        asked: Timestamp,
    },
    /// The repositories of a scope in which something happened lately.
    RepositoriesListed {
        /// Where.
        scope: ScopeId,
        /// `owner/name` of each.
        active: BTreeSet<String>,
        /// When the question was asked.
        asked: Timestamp,
    },
    /// The jobs of a repository that were queued at some time after `asked`; of those that ran by then each was told
    /// as a fact of its own.
    JobsListed {
        /// `owner/name`.
        repository: String,
        /// They.
        queued: BTreeSet<JobKey>,
        /// When the question was asked.
        asked: Timestamp,
    },
    /// What GitHub says of one job.
    JobAsked {
        /// Which.
        job: JobKey,
        /// Its word.
        found: Found,
        /// When the question was asked.
        asked: Timestamp,
    },
    /// Where a run comes from.
    RunAsked {
        /// Which.
        run: u64,
        /// `owner/name`.
        repository: String,
        /// GitHub's word; `None`: it does not know the run any more.
        origin: Option<Origin>,
        /// Whether it has ended, and so have all its jobs.
        #[serde(default)]
        over: bool,
        /// When the question was asked.
        asked: Timestamp,
    },
    /// The versions of GitHub's own runner that are released.
    RunnerReleases {
        /// Who was told.
        installation: InstallationId,
        /// They.
        releases: Releases,
        /// How strict this GitHub is about them.
        rule: Rule,
    },
    /// A question got no answer, or only a part of it: what was found was told before this.
    AskFailed {
        /// Which.
        question: Question,
        /// What it means for the next try.
        failure: AskFailure,
        /// For people.
        why: String,
    },
    /// How many calls GitHub still takes.
    QuotaLeft {
        /// Of whom.
        installation: InstallationId,
        /// How many.
        quota: Quota,
    },
}

/// What a failed registration means for the next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RegisterFailure {
    /// 5xx, 429, no answer: try again under a new name; the old name may exist.
    Transient,
    /// 409: the name exists; try again under a new name; the first time at once.
    NameTaken,
    /// GitHub takes no calls before this, and has not carried this one out.
    Limited {
        /// When.
        until: Timestamp,
    },
    /// 422: GitHub takes no runner such as this one. Opens the profile's breaker.
    Refused,
    /// 401, 403, 404: the scope takes no runner from us at all until someone changes something. Opens the scope's breaker,
    /// for all profiles.
    Forbidden,
}

/// What a host told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostEvent {
    /// The order `Launch` has begun.
    LaunchBegan {
        /// Which.
        vm: VmId,
        /// When the plan that ordered it was on disk.
        committed: Timestamp,
    },
    /// The order `Launch` did not succeed; something of it may exist.
    LaunchFailed {
        /// Which.
        vm: VmId,
        /// For people.
        why: String,
    },
    /// The microVM's process ended.
    Exited {
        /// Which.
        vm: VmId,
        /// How.
        end: GuestEnd,
    },
    /// Nothing of it is left on the host.
    Destroyed {
        /// Which.
        vm: VmId,
    },
    /// The order `Destroy` did not succeed; something of it may be left.
    DestroyFailed {
        /// Which.
        vm: VmId,
        /// For people.
        why: String,
    },
    /// A host's full list of what it holds anything of, true at some time after `asked`.
    Inventory {
        /// Which host.
        host: HostId,
        /// MicroVMs whose process runs.
        alive: BTreeSet<VmId>,
        /// MicroVMs of which anything at all is there; includes `alive`.
        present: BTreeSet<VmId>,
        /// When the question was asked.
        asked: Timestamp,
    },
    /// The order `Scan` did not succeed; nothing is known.
    ScanFailed {
        /// Which host.
        host: HostId,
        /// For people.
        why: String,
    },
}

/// How a microVM's process ended. The job's own result comes from the guest, never from this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuestEnd {
    /// The guest asked for a reset or power-off.
    ShutDown,
    /// The guest or its VMM crashed.
    Crashed,
    /// The host's out-of-memory killer took it.
    OutOfMemory,
    /// Killed by a signal, usually ours.
    Killed,
}

/// What an agent told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuestEvent {
    /// Mounted, addressed, waiting for orders.
    Ready {
        /// When its kernel handed over to the agent, by the host's clock.
        kernel_up: Timestamp,
        /// The version of GitHub's runner in its image, if that says one.
        #[serde(default)]
        runner: Option<RunnerVersion>,
    },
    /// The runner waits for its job.
    Listening,
    /// The runner has been given its job.
    Busy,
    /// The job's last step is done.
    JobDone,
    /// The runner's process ended.
    RunnerExited {
        /// Its exit code; a signal is 128 + its number.
        code: i32,
    },
    /// The agent could not do what it must.
    Failed {
        /// For people.
        why: String,
    },
}

/// What an operator asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperatorEvent {
    /// Take no new microVMs on a host, or take them again.
    Drain {
        /// Which.
        host: HostId,
        /// Whether from now on.
        draining: bool,
    },
    /// End this microVM now, job or not.
    Stop {
        /// Which.
        vm: VmId,
    },
    /// Close a profile's breaker, and the one for GitHub as a whole: what stood in the way is mended.
    Reset {
        /// Which.
        profile: ProfileId,
    },
}
