//! What leaves the world: rows for history.

use crate::id::{JobKey, RunnerName, VmId};
use crate::job::{Conclusion, Job};
use crate::units::Timestamp;
use crate::vm::{Reason, Vm};
use serde::{Deserialize, Serialize};

/// Something that ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Record {
    /// A job completed.
    Job(JobRecord),
    /// A microVM is gone, with the times of its life.
    Vm(VmRecord),
}

/// A completed job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRecord {
    /// Which.
    pub key: JobKey,
    /// As it was last known.
    pub job: Job,
    /// The microVM it ran in, if one of ours.
    pub vm: Option<VmId>,
    /// The runner that GitHub named, ours or not.
    pub runner: Option<RunnerName>,
    /// How it ended.
    pub conclusion: Conclusion,
    /// When Flint heard so.
    pub completed: Timestamp,
}

/// A microVM that is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmRecord {
    /// Which.
    pub id: VmId,
    /// As it last was; `times` is its waterfall.
    pub vm: Vm,
    /// Why it left.
    pub reason: Reason,
    /// The job it ran, if GitHub named one.
    pub job: Option<JobKey>,
    /// When its row went.
    pub gone: Timestamp,
}
