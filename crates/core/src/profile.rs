//! A profile: which jobs it serves, and what shape its microVMs have.

use crate::id::ScopeId;
use crate::policy::{Admits, Repositories};
use crate::scale_set::Source;
use crate::size::{MadeOf, Sizes};
use crate::units::Resources;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// One entry of the configuration. Its name is the key in [`crate::world::World::profiles`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// How it hears of its jobs.
    #[serde(default)]
    pub source: Source,
    /// Where its scale set is. By webhooks it serves each scope.
    #[serde(default)]
    pub scope: Option<ScopeId>,
    /// Exactly what its runners advertise, lower case. A job fits when all its labels are here.
    /// Empty: it has left the configuration, serves nobody, and goes with its last microVM.
    pub labels: BTreeSet<String>,
    /// What one microVM of it takes from a host.
    pub shape: Resources,
    /// How many booted, unregistered microVMs are kept ready.
    pub warm: u32,
    /// How many microVMs it may have at once.
    pub max: u32,
    /// Jobs of a profile with a higher number come first, whatever their age.
    #[serde(default)]
    pub priority: i32,
    /// Whose jobs it takes beside those of private repositories.
    #[serde(default)]
    pub admits: Admits,
    /// Of which repositories.
    #[serde(default)]
    pub repositories: Repositories,
    /// The deadline of each phase.
    pub timeouts: Timeouts,
    /// Which sizes its jobs may ask for by a label.
    #[serde(default)]
    pub sizes: Option<Sizes>,
    /// It is a size that jobs have asked for.
    #[serde(default)]
    pub made_of: Option<MadeOf>,
}

/// How long a microVM may stay in a phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// `Launching`: from the order to the agent's "ready".
    pub boot: Duration,
    /// `Registering`: from the plan to the runner's "listening".
    pub register: Duration,
    /// `Listening` without a job. GitHub itself removes idle one-job runners after some minutes.
    pub idle: Duration,
    /// `Busy`: the longest job. Also the longest that GitHub may leave a `Retiring` without an answer:
    /// a job that it was given meanwhile would be over by then.
    pub job: Duration,
}

/// For a row whose profile nobody knows any more, which `audit` reports: long enough to end no job early.
pub(crate) const LAST_RESORT: Timeouts = Timeouts {
    boot: Duration::from_secs(5 * 60),
    register: Duration::from_secs(5 * 60),
    idle: Duration::from_secs(5 * 60),
    job: Duration::from_secs(24 * 3_600),
};

impl Profile {
    /// Whether a job that asks for `labels`, told by a webhook or a list, may run here: each is ours, compared without
    /// case. A size is for jobs that ask for just that. A scale set's jobs are those that GitHub gives it.
    #[must_use]
    pub fn serves(&self, labels: &[String]) -> bool {
        let ours = labels.iter().all(|l| self.labels.contains(&l.to_ascii_lowercase()));
        let all = || self.labels.iter().all(|l| labels.iter().any(|o| o.eq_ignore_ascii_case(l)));
        let told = self.source == Source::Webhook;
        told && !labels.is_empty() && ours && (self.made_of.is_none() || all())
    }
}
