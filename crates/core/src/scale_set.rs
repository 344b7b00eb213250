//! Scale sets, the second source of demand: GitHub counts the jobs of a set, and names most of them.
//!
//! The count is the demand. Names may be late, cut off or lost; what is counted and not named gets a microVM too, and
//! what is named and no longer counted is let go.

use crate::units::Timestamp;
use serde::{Deserialize, Serialize};

/// How a profile hears of its jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// By `workflow_job` webhooks, and by GitHub's lists where those get lost.
    #[default]
    Webhook,
    /// By the messages of a scale set of its own.
    ScaleSet,
}

/// A profile's scale set, as it is believed to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaleSet {
    /// Jobs that wait for a runner of it or have one. `None`: GitHub has not counted them since the start.
    pub assigned: Option<u32>,
    /// Since when GitHub counts fewer jobs than are known.
    #[serde(default)]
    pub fewer_since: Option<Timestamp>,
    /// The session that is open, or that an earlier daemon left open.
    #[serde(default)]
    pub session: Option<Session>,
    /// Why nobody hears of its jobs now, for people. `None`: somebody does, or has not tried yet.
    #[serde(default)]
    pub trouble: Option<String>,
    /// The last message that could not be read and was passed over, for people.
    #[serde(default)]
    pub passed_over: Option<String>,
}

/// A session at GitHub: its holder alone hears of the set's jobs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// GitHub's number of the set.
    pub set: u64,
    /// GitHub's id of the session.
    pub id: String,
}

/// What was heard of a profile's scale set as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SetEvent {
    /// Its session is open.
    Opened {
        /// Which.
        session: Session,
    },
    /// GitHub counted its jobs. Told after the jobs of the same message.
    Counted {
        /// Those that wait for a runner or have one.
        assigned: u32,
    },
    /// A message could not be read, and was passed over.
    PassedOver {
        /// What it was, for people.
        why: String,
    },
    /// Nobody hears of its jobs now.
    Lost {
        /// For people.
        why: String,
    },
}
