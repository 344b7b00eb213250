//! Says what to do next, from what is believed now.

use crate::id::{HostId, JobKey, ProfileId, RunnerName, Slot, VmId};
use crate::units::{Resources, Timestamp};
use crate::world::World;
use serde::{Deserialize, Serialize};

/// One idempotent order to the outside. Repeating it is always safe; what it finds out comes back as a fact.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Action {
    /// Make disk, network and guest, boot it, wait for its agent.
    Launch {
        /// Which.
        vm: VmId,
        /// Where.
        host: HostId,
        /// Which place there.
        slot: Slot,
        /// For whom.
        profile: ProfileId,
    },
    /// Get a one-job registration and hand its secret to the guest as soon as its agent answers.
    Register {
        /// Which.
        vm: VmId,
        /// Where its guest is.
        host: HostId,
        /// For whom.
        profile: ProfileId,
        /// Which try, from 1.
        attempt: u32,
        /// The runner's name for this try.
        name: RunnerName,
    },
    /// Remove every registration this microVM may have.
    Deregister {
        /// Which.
        vm: VmId,
        /// All names it may be registered under; for a stray, found by the forge itself.
        names: Vec<RunnerName>,
    },
    /// Remove all traces of an id from a host.
    Destroy {
        /// Which.
        vm: VmId,
        /// Where.
        host: HostId,
        /// Its place, when a row knows it.
        slot: Option<Slot>,
    },
}

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

/// What to write down, then what to do, why some jobs wait, and when to look again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The world as it must be stored before any action starts.
    pub world: World,
    /// All orders that are due; those already under way are among them.
    pub actions: Vec<Action>,
    /// One entry for each queued job without a runner.
    pub waits: Vec<Wait>,
    /// When time alone will change the plan.
    pub wake_at: Option<Timestamp>,
}

