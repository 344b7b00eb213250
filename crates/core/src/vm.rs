//! A microVM: where it is in its one-way life, and why it leaves.
//!
//! The legal transitions, as [`Stage::may_become`] allows them (a test keeps this picture true):
//!
//! ```text
//! launching   -> warm registering listening busy retiring stopping
//! warm        -> registering busy stopping
//! registering -> listening busy retiring stopping
//! listening   -> busy retiring stopping
//! busy        -> stopping
//! retiring    -> busy stopping
//! stopping    -> (gone)
//! ```

use crate::id::{HostId, JobKey, ProfileId, RunnerId, ScopeId, Slot};
use crate::planted::{Fault, is};
use crate::units::{Resources, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

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
    /// GitHub removed its registration while it was idle; its runner may not have noticed.
    Unregistered,
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
            | Reason::Unregistered
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

/// A phase without its data: what the picture above is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// [`Phase::Launching`].
    Launching,
    /// [`Phase::Warm`].
    Warm,
    /// [`Phase::Registering`].
    Registering,
    /// [`Phase::Listening`].
    Listening,
    /// [`Phase::Busy`].
    Busy,
    /// [`Phase::Retiring`].
    Retiring,
    /// [`Phase::Stopping`].
    Stopping,
}

impl Stage {
    /// All, in the order of a life.
    pub const ALL: [Stage; 7] = [
        Stage::Launching,
        Stage::Warm,
        Stage::Registering,
        Stage::Listening,
        Stage::Busy,
        Stage::Retiring,
        Stage::Stopping,
    ];

    /// Whether a microVM may go from here to `next`. Nothing follows `Stopping` but the end of the row.
    #[must_use]
    pub fn may_become(self, next: Stage) -> bool {
        use Stage::{Busy, Launching, Listening, Registering, Retiring, Stopping, Warm};
        match self {
            Launching => next != Launching,
            Warm => matches!(next, Registering | Busy | Stopping),
            Registering => matches!(next, Listening | Busy | Retiring | Stopping),
            Listening => matches!(next, Busy | Retiring | Stopping),
            Busy => next == Stopping,
            Retiring => matches!(next, Busy | Stopping),
            Stopping => false,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Launching => "launching",
            Stage::Warm => "warm",
            Stage::Registering => "registering",
            Stage::Listening => "listening",
            Stage::Busy => "busy",
            Stage::Retiring => "retiring",
            Stage::Stopping => "stopping",
        })
    }
}

impl Phase {
    /// The phase without its data.
    #[must_use]
    pub fn stage(&self) -> Stage {
        match self {
            Phase::Launching => Stage::Launching,
            Phase::Warm => Stage::Warm,
            Phase::Registering => Stage::Registering,
            Phase::Listening => Stage::Listening,
            Phase::Busy(_) => Stage::Busy,
            Phase::Retiring(_) => Stage::Retiring,
            Phase::Stopping { .. } => Stage::Stopping,
        }
    }
}

impl Registration {
    /// How many names it may be registered under; 0 when it was never asked for.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        match self {
            Registration::None => 0,
            Registration::Asked { attempt } | Registration::Held { attempt, .. } => *attempt,
        }
    }
}

/// One Firecracker (or QEMU) guest with one life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vm {
    /// What it serves.
    pub profile: ProfileId,
    /// Where it runs.
    pub host: HostId,
    /// Which place there; free again as soon as the host is clean.
    pub slot: Slot,
    /// What it takes, as planned: a later change of the profile does not change it.
    pub shape: Resources,
    /// Where it is in its life.
    pub phase: Phase,
    /// When it entered the phase.
    pub since: Timestamp,
    /// The job that GitHub named for it; outlives `Busy`.
    #[serde(default)]
    pub job: Option<JobKey>,
    /// What GitHub knows of it.
    pub registration: Registration,
    /// Where it is registered, from the moment that a registration is asked for: it serves no job of another scope.
    #[serde(default)]
    pub scope: Option<ScopeId>,
    /// Failed orders in a row in this phase.
    pub failures: u32,
    /// Not before this is its next order due (a `Launch` is never repeated, so it does not wait).
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
    /// The plan was on disk.
    #[serde(default)]
    pub committed: Option<Timestamp>,
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

impl Vm {
    /// The one way to change a phase. What the picture above does not allow is a mistake of ours: it is
    /// caught in tests, and in production the microVM stays where it is until its deadline.
    pub(crate) fn enter(&mut self, now: Timestamp, next: Phase) {
        let (from, to) = (self.phase.stage(), next.stage());
        debug_assert!(from.may_become(to), "{from} may not become {to}");
        if !from.may_become(to) {
            return;
        }
        // The same order goes on being tried: its back-off goes on too.
        if (from, to) != (Stage::Launching, Stage::Registering) {
            self.failures = 0;
            self.retry_at = now;
        }
        self.phase = next;
        self.since = now;
    }

    /// The way out that asks nobody: the guest is gone, done, or never had a registration.
    pub(crate) fn stop(&mut self, now: Timestamp, reason: Reason) {
        if self.phase.stage() != Stage::Stopping {
            let forge_clean = self.registration == Registration::None;
            self.enter(now, Phase::Stopping { reason, host_clean: false, forge_clean });
        }
    }

    /// The way out that GitHub may refuse (law 3). One that never registered has nothing to ask.
    pub(crate) fn leave(&mut self, now: Timestamp, reason: Reason) {
        match (&self.phase, &self.registration) {
            (Phase::Busy(_) | Phase::Retiring(_) | Phase::Stopping { .. }, _) => {}
            (Phase::Warm, _) | (_, Registration::None) => self.stop(now, reason),
            (Phase::Launching | Phase::Registering | Phase::Listening, _) => {
                self.enter(now, Phase::Retiring(reason));
            }
        }
    }

    /// An order failed: not again before a while, longer each time, at most a minute.
    pub(crate) fn back_off(&mut self, now: Timestamp, why: String) {
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now.after(back_off(self.failures));
        self.trouble = Some(why);
    }

    /// Whether it takes anything of its host. A stopping one does until the host has said that it is clean.
    #[must_use]
    pub fn takes_room(&self) -> bool {
        let stopping = matches!(self.phase, Phase::Stopping { .. });
        if is(Fault::SlotFreedEarly) && stopping {
            return false;
        }
        !matches!(self.phase, Phase::Stopping { host_clean: true, .. })
    }

    /// When the first sign of life came from inside it.
    #[must_use]
    pub fn seen_alive(&self) -> Option<Timestamp> {
        let times = &self.times;
        [times.ready, times.listening, times.started].into_iter().flatten().min()
    }
}

/// 1 s after the first failure in a row, doubled with each more, at most 60 s.
pub(crate) fn back_off(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(6);
    Duration::from_secs((1_u64 << doublings).min(60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_shows_the_legal_transitions() {
        let source = include_str!("vm.rs");
        for from in Stage::ALL {
            let next = Stage::ALL.iter().filter(|to| from.may_become(**to));
            let next: Vec<String> = next.map(Stage::to_string).collect();
            let next = if next.is_empty() { "(gone)".to_owned() } else { next.join(" ") };
            let line = format!("//! {:<11} -> {next}\n", from.to_string());
            assert!(source.contains(&line), "the picture in vm.rs lacks: {line}");
        }
    }

    #[test]
    fn back_off_doubles_up_to_a_minute() {
        let seconds: Vec<u64> = (1..=8).map(|n| back_off(n).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
