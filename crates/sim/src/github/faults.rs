//! Makes chosen calls go wrong: the next N of a route answer something else, too late, or not at all.

use crate::rng::Rng;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Which call. Of the REST API: `installation`, `access-tokens`, `generate-jitconfig`, `list-runners`, `get-runner`,
    /// `delete-runner`, `list-runs`, `list-jobs`, `get-job`, `runner-groups`, `list-repositories`, `deliveries`,
    /// `delivery`, `redeliver`, `app`, `app-hook`, `installations`, `conversion`, `account`,
    /// `runner-downloads`, `runner-releases`, `runner-release`; all of them: `rest`. Of the runner's protocol: `token`, `session`, `message`,
    /// `acknowledge`, `acquirejob`, `renewjob`, `completejob`. Of scale sets: `registration-token` and
    /// `runner-registration` (both of the REST API too), `find-group`, `find-set`, `get-set`, `create-set`,
    /// `update-set`, `open-session`, `refresh-session`, `close-session`, `set-jit`, `acquire-jobs`, `poll-queue`,
    /// `acknowledge-message`.
    pub route: String,
    /// For how many calls.
    pub times: u32,
    /// How many in a thousand of those calls it hits; drawn from [`super::Config::seed`].
    #[serde(default = "always")]
    pub per_mille: u32,
    /// What happens.
    #[serde(flatten)]
    pub kind: FaultKind,
}

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum FaultKind {
    /// Not carried out; answered with this status.
    Status {
        /// The HTTP status.
        status: u16,
        /// The answer's `message`.
        #[serde(default)]
        message: String,
        /// More headers.
        #[serde(default)]
        headers: BTreeMap<String, String>,
        /// `errorKind`, as the broker names its errors.
        #[serde(default)]
        error_kind: String,
    },
    /// Carried out; the answer is a success that is no JSON.
    Garbage,
    /// Carried out; the answer is a success without a body.
    Empty,
    /// Carried out; one field of the JSON answer is another one.
    Says {
        /// Where, as a JSON pointer: `/messageQueueUrl`.
        at: String,
        /// What it is instead.
        value: Value,
    },
    /// Carried out; the connection breaks before the answer is whole.
    Cut,
    /// Carried out; answered with this status, as by a proxy that lost the answer.
    Lost {
        /// The HTTP status.
        status: u16,
    },
    /// Carried out; every runner in the answer is said to be busy, or not.
    Busy {
        /// What is said.
        says: bool,
    },
    /// Carried out; the list begins anew where it ends, and no cursor is ever given twice.
    Endless,
    /// Carried out; the page that follows is always under the same cursor, and that page is the first one.
    SameCursor,
    /// Carried out; the answer comes after so many milliseconds.
    Late {
        /// Milliseconds.
        after_ms: u64,
    },
}

impl FaultKind {
    /// Only a status.
    #[must_use]
    pub fn status(status: u16, message: &str) -> Self {
        let (message, headers, error_kind) = (message.to_owned(), BTreeMap::new(), String::new());
        FaultKind::Status { status, message, headers, error_kind }
    }

    /// One field of the answer is another one.
    #[must_use]
    pub fn says(at: &str, value: Value) -> Self {
        FaultKind::Says { at: at.to_owned(), value }
    }

    /// 429, and after how many seconds to come again, if that is said.
    #[must_use]
    pub fn limited(retry_after: Option<u64>) -> Self {
        let headers = retry_after.map(|seconds| ("retry-after".to_owned(), seconds.to_string()));
        let (message, error_kind) = ("too many requests".to_owned(), String::new());
        let headers = headers.into_iter().collect();
        FaultKind::Status { status: 429, message, headers, error_kind }
    }
}

fn always() -> u32 {
    1000
}

/// All rules, in the order in which they were made.
pub(super) struct Faults {
    rules: Vec<Fault>,
    dice: Rng,
    /// How many cursors were marked.
    cursors: u64,
}

impl Faults {
    pub(super) fn new(seed: u64) -> Self {
        Faults { rules: Vec::new(), dice: Rng::new(seed ^ 0xfa_0175), cursors: 0 }
    }

    pub(super) fn add(&mut self, fault: Fault) {
        self.rules.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    /// What happens to this call: the first rule that is for it and hits.
    pub(super) fn take(&mut self, name: &str, rest: bool) -> Option<FaultKind> {
        let dice = &mut self.dice;
        let fits = |f: &&mut Fault| {
            f.times > 0
                && (f.route == name || (rest && f.route == "rest"))
                && (f.per_mille >= 1000 || dice.chance(f.per_mille.into()))
        };
        let fault = self.rules.iter_mut().find(fits)?;
        fault.times -= 1;
        let kind = fault.kind.clone();
        self.rules.retain(|fault| fault.times > 0);
        Some(kind)
    }

    /// What makes a cursor one that was never given before.
    pub(super) fn mark(&mut self) -> u64 {
        self.cursors += 1;
        self.cursors
    }
}
