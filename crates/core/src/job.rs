//! A job as GitHub tells it.

use crate::id::{ProfileId, VmId};
use crate::units::Timestamp;
use serde::{Deserialize, Serialize};

/// One attempt of a workflow job that has not completed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Who asks, and for what.
    pub request: JobRequest,
    /// The profile that serves its labels; `None`: not ours.
    pub profile: Option<ProfileId>,
    /// Where it stands. Never goes back.
    pub state: JobState,
    /// When Flint first heard of it.
    pub received: Timestamp,
}

/// What a job says of itself. All of it is text of strangers: never a path, never a shell word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRequest {
    /// `owner/name`.
    pub repository: String,
    /// The workflow's name, empty when GitHub sends none.
    pub workflow: String,
    /// The job's display name.
    pub name: String,
    /// Exactly what `runs-on` asked for.
    pub labels: Vec<String>,
    /// `workflow_job.run_id`.
    pub run_id: u64,
    /// The page of the job, for people.
    pub url: String,
}

/// Where a job stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobState {
    /// Waiting for a runner.
    Queued,
    /// A runner of this microVM has it.
    Running(VmId),
    /// A runner that is not ours has it.
    Elsewhere,
}

/// How a job ended, in GitHub's words: `success`, `failure`, `cancelled`, `skipped`, …
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Conclusion(pub String);
