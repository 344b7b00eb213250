//! What Flint asks GitHub on its own account, because webhooks get lost: the questions, and when each is due.

use crate::id::{InstallationId, JobKey, ScopeId};
use crate::units::Timestamp;
use serde::{Deserialize, Serialize};

/// One question. Its answer comes back as facts, the last of which says that the question is answered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Question {
    /// Which webhook deliveries failed? Each that is found is told as the fact that it should have been;
    /// then [`crate::event::ForgeEvent::DeliveriesRead`].
    Deliveries {
        /// Whose App.
        installation: InstallationId,
        /// Those from this moment on. GitHub keeps 3 days.
        since: Timestamp,
    },
    /// Which runners of a scope carry this instance's names? [`crate::event::ForgeEvent::Runners`].
    Runners {
        /// Where.
        scope: ScopeId,
    },
    /// Which versions of GitHub's own runner are released? [`crate::event::ForgeEvent::RunnerReleases`].
    RunnerReleases {
        /// Whoever asks.
        installation: InstallationId,
    },
    /// In which repositories of a scope did something happen lately? [`crate::event::ForgeEvent::RepositoriesListed`].
    Repositories {
        /// Where.
        scope: ScopeId,
    },
    /// Which jobs of a repository are open? Each is told as a fact of its own; then
    /// [`crate::event::ForgeEvent::JobsListed`].
    Jobs {
        /// `owner/name`.
        repository: String,
    },
    /// How is one job? What is known of it is told as a fact of its own; then
    /// [`crate::event::ForgeEvent::JobAsked`].
    Job {
        /// Which.
        job: JobKey,
        /// Where: `owner/name`.
        repository: String,
    },
    /// Where does a run come from? [`crate::event::ForgeEvent::RunAsked`].
    Run {
        /// `workflow_job.run_id`.
        run: u64,
        /// Where: `owner/name`.
        repository: String,
    },
}

/// Why a question got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AskFailure {
    /// 5xx, no answer, an answer that makes no sense: ask again after a while, longer each time.
    Transient,
    /// GitHub takes no calls before this.
    Limited {
        /// When.
        until: Timestamp,
    },
    /// 401, 403, 404: it will not be answered until someone changes something.
    Refused,
}

/// What GitHub says of one job that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Found {
    /// It is queued there.
    Queued {
        /// Whether the runner group that Flint registers in admits the job's repository; `None`: GitHub did not say.
        admitted: Option<bool>,
    },
    /// It runs or has completed; told as a fact of its own.
    Told,
    /// GitHub does not know it (404): its run was deleted.
    Gone,
    /// It waits for an approval or another job: no runner can get it yet.
    Held,
}

/// Whose calls GitHub counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Budget {
    /// The App's own calls, by its signed proof: deliveries.
    App,
    /// Calls with an installation's token: everything else.
    Installation,
}

/// What is left of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Which.
    pub budget: Budget,
    /// Calls an hour.
    pub limit: u32,
    /// Calls that are left until `resets`.
    pub remaining: u32,
    /// When it is full again.
    pub resets: Timestamp,
}
