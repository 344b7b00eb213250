//! What the daemon's API socket says: HTTP/1 with JSON bodies over a UNIX socket, read by the command line.
//!
//! | call | answer |
//! |---|---|
//! | `GET /v1/status` | [`Status`] |
//! | `GET /v1/vms` | [`Vms`] |
//! | `GET /v1/jobs`, with `?done=1` the completed ones too | [`Jobs`] |
//! | `GET /v1/why/{job}` | [`WhyAnswer`], also by the number of a run; 404 with [`Refusal`] when nobody knows the job |
//! | `GET /v1/logs/{vm}?follow=1&console=1` | `text/plain`, a line per line; with `follow` until the microVM is gone |
//! | `POST /v1/drain` | [`Status`] |
//!
//! Any status but 2xx carries a [`Refusal`]. Texts in these types may come from strangers (repositories, jobs,
//! guests): whoever shows them escapes control characters. Fields are only ever added.

use flint_core::units::{Resources, Timestamp};
use flint_core::vm::Times;
use serde::{Deserialize, Serialize};

/// The API socket's file in the run directory.
pub const SOCKET: &str = "flint.sock";

/// The microVMs that are there, by id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vms {
    /// One each.
    pub vms: Vec<VmRow>,
}

/// One microVM.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VmRow {
    /// `vm-42`.
    pub id: String,
    /// Its profile's name.
    pub profile: String,
    /// `launching`, `warm`, `registering`, `listening`, `busy`, `retiring`, `stopping`.
    pub phase: String,
    /// GitHub's number of the job it runs.
    pub job: Option<u64>,
    /// When it entered the phase.
    pub since: Timestamp,
    /// Its place on the host.
    pub slot: u16,
    /// What it takes.
    pub shape: Resources,
    /// The times of its life so far.
    pub times: Times,
    /// The last error of an order or of the guest.
    pub trouble: Option<String>,
}

/// Jobs: waiting and running ones oldest first, then (if asked for) completed ones newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jobs {
    /// One each.
    pub jobs: Vec<JobRow>,
}

/// One job and its waterfall.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRow {
    /// GitHub's number; where a scale set told of it, one that Flint made of the job's UUID.
    pub id: u64,
    /// Which attempt, from 1; 0 when a scale set told of it, which does not say.
    pub attempt: u32,
    /// GitHub's number of its workflow run.
    #[serde(default)]
    pub run: u64,
    /// `owner/name`.
    pub repository: String,
    /// The workflow's name; may be empty.
    pub workflow: String,
    /// The job's name.
    pub name: String,
    /// What `runs-on` asked for.
    pub labels: Vec<String>,
    /// `None`: not ours.
    pub profile: Option<String>,
    /// `queued`, `running`, `elsewhere`, or how it ended: `success`, `failure`, `cancelled`, …
    pub state: String,
    /// The microVM it runs or ran in.
    pub vm: Option<String>,
    /// When Flint first heard of it.
    pub received: Timestamp,
    /// When Flint heard of its end.
    pub completed: Option<Timestamp>,
    /// The times of its microVM.
    pub times: Option<Times>,
    /// Its page at GitHub.
    pub url: String,
}

/// Why a job stands where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyAnswer {
    /// GitHub's number.
    pub job: u64,
    /// `queued`, `running`, `elsewhere`, or how it ended.
    pub state: String,
    /// The one cause as a word that does not change: `no-profile`, `coming`, `profile-full`, `backing-off`,
    /// `breaker-open`, `host-full`, `too-big`, `draining`, `host-away`; `None` when it does not wait.
    pub because: Option<String>,
    /// The same for people, one sentence.
    pub sentence: String,
    /// What its microVM was refused of the network, a line each; while it runs, so far. Of a completed job as long as the
    /// log is kept.
    #[serde(default)]
    pub egress: Vec<String>,
}

/// The daemon and its host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The daemon's version.
    pub version: String,
    /// Its store's instance: the end of its runners' names.
    pub instance: String,
    /// When it started.
    pub started: Timestamp,
    /// The VMM it chose and why, one line.
    pub vmm: String,
    /// Whether it takes no new microVMs.
    pub draining: bool,
    /// What the host may hand out.
    pub capacity: Resources,
    /// What is handed out.
    pub used: Resources,
    /// How many microVMs at most.
    pub slots: u16,
    /// How many are there.
    pub slots_used: u16,
    /// One each.
    pub profiles: Vec<ProfileRow>,
    /// Only those with failures.
    pub breakers: Vec<BreakerRow>,
    /// How GitHub treats us.
    #[serde(default)]
    pub github: GithubRow,
}

/// One profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileRow {
    /// Its name.
    pub name: String,
    /// What its runners advertise.
    pub labels: Vec<String>,
    /// What one microVM of it takes.
    pub shape: Resources,
    /// How many are kept warm.
    pub warm: u32,
    /// How many it may have.
    pub max: u32,
    /// How many it has.
    pub vms: u32,
    /// How many of its jobs are queued.
    pub queued: u32,
    /// Its scale set, if it hears of its jobs by one.
    #[serde(default)]
    pub scale_set: Option<ScaleSetRow>,
    /// GitHub's runner in its image, once a guest has told which that is.
    #[serde(default)]
    pub runner: Option<RunnerRow>,
}

/// The runner in a profile's image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerRow {
    /// Its version.
    pub version: String,
    /// The newest that is known.
    pub newest: Option<String>,
    /// When GitHub stops giving it jobs, if that is known.
    pub last: Option<Timestamp>,
    /// What somebody should know; `None` while all is well.
    pub warning: Option<String>,
}

/// A profile's scale set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaleSetRow {
    /// Jobs that wait for a runner of it or have one, as GitHub counted last; `None`: not counted since the start.
    pub assigned: Option<u32>,
    /// Why nobody hears of its jobs now.
    pub trouble: Option<String>,
    /// The last message that could not be read.
    pub passed_over: Option<String>,
}

/// A profile's failures in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerRow {
    /// The profile's name.
    pub profile: String,
    /// How many.
    pub failures: u32,
    /// Whether the breaker is open, not only backing off.
    pub open: bool,
    /// Nothing is launched before this.
    pub until: Timestamp,
    /// The last failure.
    pub why: String,
}

/// Why a call was not answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What was tried, in Flint's words.
    pub error: String,
    /// What can be done about it.
    pub help: Option<String>,
}

/// How GitHub treats us.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GithubRow {
    /// Calls that are left of each budget, as GitHub said last.
    pub quotas: Vec<QuotaRow>,
    /// Whose calls it takes none of for a while.
    pub limited: Vec<LimitedRow>,
    /// Where it refuses every registration.
    pub refuses: Vec<RefusesRow>,
    /// Questions that it does not answer, each with the last reason.
    pub unanswered: Vec<UnansweredRow>,
    /// Its clock minus this host's, in seconds, if that is so much that it does harm.
    #[serde(default)]
    pub skew: Option<i64>,
}

/// An installation whose calls GitHub does not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitedRow {
    /// Whose: an account with the App, or who made the token.
    pub installation: String,
    /// Before this; it may have passed.
    pub until: Timestamp,
}

/// A scope that takes no runner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusesRow {
    /// Which: `acme`, `acme/web` or `enterprises/acme`.
    pub scope: String,
    /// GitHub's words.
    pub why: String,
}

/// One budget of calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaRow {
    /// Whose: an account with the App, or who made the token.
    pub installation: String,
    /// `app` or `installation`.
    pub budget: String,
    /// Calls that are left.
    pub remaining: u32,
    /// Of so many an hour.
    pub limit: u32,
    /// When it is full again.
    pub resets: Timestamp,
}

/// A question without an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnansweredRow {
    /// `deliveries of acme`, `runners of acme`, `repositories of acme`, or `jobs of acme/web`.
    pub question: String,
    /// Failures in a row.
    pub failures: u32,
    /// The last of them.
    pub why: String,
    /// When it is asked again.
    pub again: Timestamp,
}
