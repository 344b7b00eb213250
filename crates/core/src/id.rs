//! Names of things, and how they print. An id's printed form is the name used on hosts and at GitHub.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// One microVM. Handed out once, never reused; prints as `vm-42`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VmId(pub u64);

/// One host. Prints as `h-0`; a daemon that owns one host calls it `h-0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostId(pub u32);

/// One place on a host, from 0. Gives the microVM its namespace, addresses, uid and CID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slot(pub u16);

/// The name of a profile in the configuration: 1 to 24 of `a-z 0-9 -`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProfileId(Arc<str>);

/// One attempt of one workflow job. GitHub gives each attempt a new id; the attempt is kept for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JobKey {
    /// `workflow_job.id`.
    pub id: u64,
    /// `workflow_job.run_attempt`, from 1.
    pub attempt: u32,
}

/// GitHub's number for a registered runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunnerId(pub u64);

/// GitHub's name for a runner: the microVM's id, the profile, the daemon's instance, the try.
///
/// At most 64 of `A-Za-z0-9-` (a limit seen in the field): `vm-42-default-k3x9q2`, then
/// `vm-42-default-k3x9q2-2` when the first name's fate is unknown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunnerName(Arc<str>);

/// A text that is no id of the wanted kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {wanted}")]
pub struct BadId {
    /// What was given.
    pub text: String,
    /// What it should have been, with an example.
    pub wanted: &'static str,
}

impl ProfileId {
    /// Checks the rule above: names go into runner names, metric labels and paths.
    ///
    /// # Errors
    /// [`BadId`] when the text is empty, too long or has other characters.
    pub fn new(text: &str) -> Result<Self, BadId> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let fits = (1..=24).contains(&text.len()) && text.chars().all(plain);
        if fits && !text.starts_with('-') && !text.ends_with('-') {
            return Ok(ProfileId(text.into()));
        }
        let wanted = "a profile name: 1 to 24 of a-z, 0-9 and inner `-`, such as `linux-4cpu`";
        Err(BadId { text: text.to_owned(), wanted })
    }

    /// The name as written in the configuration.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RunnerName {
    /// The name for a microVM's `attempt`-th registration (from 1).
    #[must_use]
    pub fn of(vm: VmId, profile: &ProfileId, instance: &str, attempt: u32) -> Self {
        match attempt {
            0 | 1 => RunnerName(format!("{vm}-{profile}-{instance}").into()),
            n => RunnerName(format!("{vm}-{profile}-{instance}-{n}").into()),
        }
    }

    /// A name told by GitHub, whoever made it.
    #[must_use]
    pub fn told(text: &str) -> Self {
        RunnerName(text.into())
    }

    /// The microVM that this name belongs to, if `instance` made the name.
    #[must_use]
    pub fn vm(&self, instance: &str) -> Option<VmId> {
        let rest = self.0.strip_prefix("vm-")?;
        let (number, rest) = rest.split_once('-')?;
        let mine = |tail: &str| tail == instance || tail.ends_with(&format!("-{instance}"));
        let without_try = rest.rsplit_once('-').filter(|(_, n)| n.parse::<u32>().is_ok());
        let made_here = mine(rest) || without_try.is_some_and(|(head, _)| mine(head));
        number.parse().ok().filter(|_| made_here).map(VmId)
    }

    /// The name as GitHub shows it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vm-{}", self.0)
    }
}

impl FromStr for VmId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let number = text.strip_prefix("vm-").and_then(|n| n.parse().ok()).map(VmId);
        number.ok_or_else(|| BadId { text: text.to_owned(), wanted: "a microVM, such as `vm-42`" })
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "h-{}", self.0)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for ProfileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RunnerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RunnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)
    }
}
