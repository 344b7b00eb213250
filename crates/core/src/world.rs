//! Everything the daemon believes, as plain data.
//!
//! A `World` is what the store holds. It is never the truth: hosts and GitHub are the truth, and tell us
//! about it late, twice or not at all.

use crate::host::Host;
use crate::id::{HostId, JobKey, ProfileId, VmId};
use crate::job::Job;
use crate::profile::Profile;
use crate::units::Timestamp;
use crate::vm::Vm;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What the daemon believes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct World {
    /// Six of `a-z 0-9`, drawn once per store: tells our runner names from another daemon's.
    pub instance: String,
    /// The configuration's profiles.
    pub profiles: BTreeMap<ProfileId, Profile>,
    /// A profile's bad luck. A profile without an entry has had none.
    pub breakers: BTreeMap<ProfileId, Breaker>,
    /// The hosts.
    pub hosts: BTreeMap<HostId, Host>,
    /// Jobs that have not completed.
    pub jobs: BTreeMap<JobKey, Job>,
    /// Jobs known to have completed, and when: a late "queued" must not revive them. Pruned by age.
    pub finished: BTreeMap<JobKey, Timestamp>,
    /// MicroVMs, until nothing of them is left.
    pub vms: BTreeMap<VmId, Vm>,
    /// The next id to hand out.
    pub next_vm: u64,
    /// Found on a host, owned by no row.
    pub stray_guests: BTreeSet<(HostId, VmId)>,
    /// Registered in our name, owned by no row.
    pub stray_runners: BTreeSet<VmId>,
}

/// A profile's failures in a row, and until when nothing new is started for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// MicroVMs that failed in a row, without one success.
    pub failures: u32,
    /// Nothing is launched before this.
    pub closed_until: Timestamp,
    /// Whether it is open (many failures, or a refusal), not only backing off.
    pub open: bool,
    /// The last failure, for people.
    pub why: String,
}
