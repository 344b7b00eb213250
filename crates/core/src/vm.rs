//! A microVM: where it is in its one-way life, and why it leaves.

use crate::id::{HostId, JobKey, ProfileId, RunnerId, Slot};
use crate::units::{Resources, Timestamp};
use serde::{Deserialize, Serialize};

/// Where a microVM is in its life. Only forward, except that GitHub may refuse a `Retiring`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// The row is written. The host may or may not have heard of it. It may already be registering.
    Launching,
    /// Booted, the agent answers, no registration.
    Warm,
    /// Booted; a registration is asked for or on its way to the runner.
    Registering,
    /// The runner waits for the one job that GitHub will give it.
    Listening,
    /// Running the only job it will ever run. `None`: the guest said so before GitHub named the job.
    Busy(Option<JobKey>),
    /// Asked to leave through GitHub, which may still say "no, it is busy".
    Retiring(Reason),
    /// On its way out. Host resources and the registration may linger.
    Stopping {
        /// Why.
        reason: Reason,
        /// The host has confirmed that nothing of it is left.
        host_clean: bool,
        /// GitHub has confirmed that no registration of it is left.
        forge_clean: bool,
    },
}

/// Why a microVM leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reason {
    /// Its job is done: the normal end.
    JobDone,
    /// No job wants it any more.
    Surplus,
    /// Listened too long without a job; GitHub would remove the registration.
    IdleTimeout,
    /// The host is draining, or the daemon is about to end.
    Draining,
    /// The host could not start it.
    LaunchFailed,
    /// The agent did not report in time.
    BootTimeout,
    /// GitHub gave no registration.
    RegisterFailed,
    /// The runner did not come to listen in time.
    RegisterTimeout,
    /// The runner ended without running a job.
    RunnerFailed,
    /// GitHub refuses this runner version (exit code 7).
    RunnerDeprecated,
    /// The job took longer than the profile allows.
    JobTimeout,
    /// The microVM ended by itself: crash, power-off or kill.
    GuestGone,
    /// The daemon was restarted in the middle of its launch.
    Interrupted,
    /// An operator asked for it.
    Operator,
}

impl Reason {
    /// Whether this end counts against the profile's breaker.
    #[must_use]
    pub fn is_failure(self) -> bool {
        match self {
            Reason::LaunchFailed
            | Reason::BootTimeout
            | Reason::RegisterFailed
            | Reason::RegisterTimeout
            | Reason::RunnerFailed
            | Reason::RunnerDeprecated
            | Reason::GuestGone => true,
            Reason::JobDone
            | Reason::Surplus
            | Reason::IdleTimeout
            | Reason::Draining
            | Reason::JobTimeout
            | Reason::Interrupted
            | Reason::Operator => false,
        }
    }
}

/// What is known of a microVM's registration at GitHub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Registration {
    /// Never asked for.
    None,
    /// To be asked for under the name of this attempt (from 1); the answer may be lost.
    Asked {
        /// Counts the names used so far.
        attempt: u32,
    },
    /// GitHub gave it.
    Held {
        /// The name's attempt.
        attempt: u32,
        /// GitHub's number.
        runner: RunnerId,
    },
}

/// One Firecracker (or QEMU) guest with one life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vm {
    /// What it serves.
    pub profile: ProfileId,
    /// Where it runs.
    pub host: HostId,
    /// Which place there; free again only when the row is gone.
    pub slot: Slot,
    /// What it takes, as planned: a later change of the profile does not change it.
    pub shape: Resources,
    /// Where it is in its life.
    pub phase: Phase,
    /// When it entered the phase.
    pub since: Timestamp,
    /// What GitHub knows of it.
    pub registration: Registration,
    /// Failed orders in a row in this phase.
    pub failures: u32,
    /// Not before this is its next order due.
    pub retry_at: Timestamp,
    /// The times of its life so far.
    pub times: Times,
    /// The last error of an order or of the guest, for people.
    pub trouble: Option<String>,
}

/// When each step of a microVM's life was reached: the waterfall.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// The row was planned.
    pub planned: Timestamp,
    /// The host began to work on it.
    pub launched: Option<Timestamp>,
    /// The guest's kernel began to run its init.
    pub kernel_up: Option<Timestamp>,
    /// The agent answered.
    pub ready: Option<Timestamp>,
    /// GitHub gave the registration.
    pub registered: Option<Timestamp>,
    /// The runner listens.
    pub listening: Option<Timestamp>,
    /// The job began.
    pub started: Option<Timestamp>,
    /// The job ended.
    pub done: Option<Timestamp>,
    /// Nothing of it is left on the host.
    pub destroyed: Option<Timestamp>,
}
