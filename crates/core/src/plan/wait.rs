//! Why a queued job has no runner yet, and the sentence that says so.

use super::waits::Waits;
use crate::id::{JobKey, ProfileId, ScopeId, VmId};
use crate::job::JobState;
use crate::profile::Profile;
use crate::units::{Resources, Timestamp};
use crate::world::World;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a queued job has no microVM yet. One cause: the first that stands in the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// Which job.
    pub job: JobKey,
    /// The cause.
    pub because: Because,
}

/// The one cause of a wait.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Because {
    /// No profile has all the labels it asks for.
    NoProfile,
    /// GitHub has not said yet where it comes from.
    OriginUnknown,
    /// Its repository is public, and its profile takes no such jobs.
    PublicRepository,
    /// Its run comes from a fork, and its profile takes no such jobs.
    Fork,
    /// Its repository is not one that its profile serves.
    RepositoryUnlisted,
    /// A microVM is on its way to it, or to a job like it.
    Coming {
        /// One of those on the way.
        vm: VmId,
    },
    /// The profile has as many microVMs as it may.
    ProfileFull {
        /// The profile's `max`.
        max: u32,
    },
    /// The profile's last microVM failed; the next try is soon.
    BackingOff {
        /// When.
        until: Timestamp,
        /// What failed.
        why: String,
    },
    /// The profile's microVMs keep failing, or GitHub refuses them.
    BreakerOpen {
        /// When one more is tried.
        until: Timestamp,
        /// What failed.
        why: String,
    },
    /// Its repository has as many microVMs as it may.
    RepositoryFull {
        /// The limit.
        max: u32,
    },
    /// The repositories of its organization or user have as many microVMs as they may.
    OwnerFull {
        /// The limit.
        max: u32,
    },
    /// Its repository is of no scope: it left the configuration, or never was in it.
    NoScope,
    /// GitHub takes no runner from us in the job's scope, whatever the profile.
    ForgeRefuses {
        /// Where.
        scope: ScopeId,
        /// When one more is tried.
        until: Timestamp,
        /// GitHub's words.
        why: String,
    },
    /// GitHub takes no calls: no runner is registered, and no microVM started for one.
    RateLimited {
        /// When it takes some again.
        until: Timestamp,
    },
    /// A microVM is on its way, and GitHub takes so many registrations a minute.
    Paced {
        /// One of those on the way.
        vm: VmId,
        /// The turn of its registration.
        until: Timestamp,
    },
    /// A runner with the job's labels waits, and GitHub has the job queued and does not give it to the runner.
    NotGiven {
        /// The runner's microVM.
        vm: VmId,
        /// Whether the runner group admits the job's repository, if GitHub said so.
        admitted: Option<bool>,
    },
    /// No host has room for its shape now.
    HostFull {
        /// What is missing on the roomiest host.
        short_of: Short,
    },
    /// Its shape is bigger than any host.
    TooBig {
        /// What the profile asks for.
        shape: Resources,
    },
    /// Every host is draining.
    Draining,
    /// No host has been heard from lately.
    HostAway,
}

/// What a host has too little of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Short {
    /// Virtual CPUs.
    Vcpus,
    /// Memory.
    Memory,
    /// Disk.
    Disk,
    /// Slots.
    Slots,
}

/// The one cause of a job's wait, as a sentence for people; or where the job is instead.
#[must_use]
pub fn why(world: &World, waits: &Waits, job: JobKey) -> String {
    let Some(row) = world.jobs.get(&job) else {
        return match world.finished.get(&job) {
            Some(at) => format!("job {job} does not wait: it completed at {at}"),
            None => format!("job {job} is not known: GitHub has not told of it{}", unheard(world)),
        };
    };
    match row.state {
        JobState::Running(vm) => return format!("job {job} does not wait: it runs in {vm}"),
        JobState::Elsewhere => {
            return format!("job {job} does not wait: it runs on a runner that is not Flint's");
        }
        JobState::Queued => {}
    }
    let labels = quoted(&row.request.labels);
    match waits.because(world, job) {
        Some(Because::NoProfile) if labels.is_empty() => {
            format!("job {job} waits: it names no label, and no profile serves that")
        }
        Some(Because::NoProfile) if let Some(Err(bad)) = world.size_for(&row.request.labels) => {
            format!(
                "job {job} waits: no profile offers the size that it asks for with {labels}: {bad}"
            )
        }
        Some(Because::NoProfile) => {
            let nearest = nearest(world, &row.request.labels);
            format!("job {job} waits: no profile has all the labels it asks for: {labels}{nearest}")
        }
        Some(
            because @ (Because::PublicRepository | Because::Fork | Because::RepositoryUnlisted),
        ) => {
            let profile = row.profile.as_ref().map(ProfileId::as_str).unwrap_or_default();
            format!("job {job} gets no microVM of profile `{profile}`: {because}")
        }
        Some(because) => match &row.profile {
            Some(profile) => format!("job {job} waits for profile `{profile}`: {because}"),
            None => format!("job {job} waits: {because}"),
        },
        None => format!("job {job} waits: it has not been planned for yet"),
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Because::NoProfile => write!(f, "no profile has all the labels it asks for"),
            Because::OriginUnknown => f.write_str(
                "GitHub is asked whether its run comes from a fork or a public repository, for which the App needs \
                 Actions: read",
            ),
            Because::PublicRepository => f.write_str(
                "its repository is public: anybody's code would run here. `public_repositories = \"allow\"` lets such \
                 jobs in",
            ),
            Because::Fork => f.write_str(
                "its run comes from a fork: a stranger's code would run here. `fork_pull_requests = \"allow\"` lets \
                 such jobs in",
            ),
            Because::RepositoryUnlisted => f.write_str(
                "the profile does not serve its repository: see `repositories` and `repositories_except`",
            ),
            Because::Coming { vm } => write!(f, "{vm} is on its way to it, or to a job like it"),
            Because::ProfileFull { max } => {
                write!(f, "the profile has as many microVMs as it may (max = {max})")
            }
            Because::BackingOff { until, why } => {
                write!(f, "the last microVM failed, the next try is at {until}: {why}")
            }
            Because::BreakerOpen { until, why } => {
                write!(f, "the breaker is open, one more is tried at {until}: {why}")
            }
            Because::RepositoryFull { max } => {
                write!(f, "its repository has as many microVMs as it may (limit {max})")
            }
            Because::OwnerFull { max } => {
                write!(f, "its organization has as many microVMs as it may (limit {max})")
            }
            Because::NoScope => f.write_str(
                "Flint does not serve its repository: `[github]` names neither it nor its organization",
            ),
            Because::ForgeRefuses { scope, until, why } => {
                write!(
                    f,
                    "GitHub refuses every registration in {scope}, one more is tried at {until}: {why}"
                )
            }
            Because::RateLimited { until } => {
                write!(f, "GitHub's rate limit is reached, it takes calls again at {until}")
            }
            Because::Paced { vm, until } => write!(
                f,
                "{vm} is on its way to it, or to a job like it; registrations are paced, since GitHub takes about 80 \
                 a minute, and its turn is at {until}"
            ),
            Because::NotGiven { vm, admitted } => not_given(f, *vm, *admitted),
            Because::HostFull { short_of } => write!(f, "no host has enough free {short_of}"),
            Because::TooBig { shape } => write!(f, "its shape is bigger than any host: {shape}"),
            Because::Draining => write!(f, "every host is draining"),
            Because::HostAway => write!(f, "no host has been heard from lately"),
        }
    }
}

fn not_given(f: &mut fmt::Formatter<'_>, vm: VmId, admitted: Option<bool>) -> fmt::Result {
    write!(f, "the runner of {vm} listens, and GitHub does not give it the job")?;
    match admitted {
        Some(false) => write!(
            f,
            ": its runner group does not admit the job's repository. Admit it in the organization's settings, \
             Actions, Runner groups"
        ),
        Some(true) | None => write!(
            f,
            ": look at the runner group of the job's `runs-on`, and at the workflows that the group admits"
        ),
    }
}

fn quoted<'a>(labels: impl IntoIterator<Item = &'a String>) -> String {
    let labels = labels.into_iter().map(|label| format!("`{}`", label.escape_debug()));
    labels.collect::<Vec<_>>().join(", ")
}

/// The scale sets that nobody hears of: its job may be one of theirs.
fn unheard(world: &World) -> String {
    let troubled =
        world.scale_sets.iter().filter_map(|(id, set)| Some((id, set.trouble.as_ref()?)));
    let sentence = |(id, why)| format!("; the scale set of profile `{id}` is not heard: {why}");
    troubled.map(sentence).collect()
}

/// The profile that lacks fewest of the labels, if it has any of them.
fn nearest(world: &World, labels: &[String]) -> String {
    let lacks = |profile: &Profile| -> Vec<String> {
        let lacks =
            labels.iter().filter(|label| !profile.labels.contains(&label.to_ascii_lowercase()));
        lacks.cloned().collect()
    };
    let profiles = world.profiles.iter().map(|(id, profile)| (id, lacks(profile)));
    let some = profiles.filter(|(_, lacks)| lacks.len() < labels.len());
    match some.min_by_key(|(_, lacks): &(&ProfileId, Vec<String>)| lacks.len()) {
        Some((id, lacks)) if lacks.is_empty() => {
            format!("; `{id}` has them, and takes only what its scale set is given")
        }
        Some((id, lacks)) => format!("; `{id}` lacks {}", quoted(&lacks)),
        None => String::new(),
    }
}

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Short::Vcpus => "vCPUs",
            Short::Memory => "memory",
            Short::Disk => "disk",
            Short::Slots => "slots",
        })
    }
}
