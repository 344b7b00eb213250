//! Everything the daemon believes, as plain data.
//!
//! A `World` is what the store holds. It is never the truth: hosts and GitHub are the truth, and tell us
//! about it late, twice or not at all.

use crate::breaker::Breaker;
use crate::forge::{Installation, Repository, Scope};
use crate::host::Host;
use crate::id::{HostId, InstallationId, JobKey, ProfileId, RunnerName, ScopeId, VmId};
use crate::jobs::Jobs;
use crate::limits::Limits;
use crate::planted::{Fault, is};
use crate::policy::{Origin, Verdict};
use crate::profile::{LAST_RESORT, Profile, Timeouts};
use crate::rows::Rows;
use crate::size::{BadSize, Size};
use crate::units::Timestamp;
use crate::vm::{Phase, Registration, Vm};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Different sizes of one template at once. Labels are strangers' texts: there must be an end to what they make.
const SIZES_MAX: usize = 64;

/// What the daemon believes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct World {
    /// Six of `a-z 0-9`, drawn once per store: tells our runner names from another daemon's.
    pub instance: String,
    /// The configuration's profiles. One that left the configuration stays, without labels, while a
    /// microVM of it lives: its time limits still hold.
    pub profiles: BTreeMap<ProfileId, Profile>,
    /// A profile's bad luck. A profile without an entry has had none.
    pub breakers: BTreeMap<ProfileId, Breaker>,
    /// The hosts.
    pub hosts: BTreeMap<HostId, Host>,
    /// How much of the hosts a repository or an organization may have.
    #[serde(default)]
    pub limits: Limits,
    /// Whose calls GitHub counts together: what is left of them.
    #[serde(default)]
    pub installations: BTreeMap<InstallationId, Installation>,
    /// The configuration's places at GitHub where runners are registered.
    #[serde(default)]
    pub scopes: BTreeMap<ScopeId, Scope>,
    /// The version of GitHub's runner in each profile's image, as its last guest told it.
    #[serde(default)]
    pub runner_versions: BTreeMap<ProfileId, crate::runner_version::RunnerVersion>,
    /// Repositories that jobs of ours came from lately.
    #[serde(default)]
    pub repositories: BTreeMap<String, Repository>,
    /// The scale sets of profiles that have one.
    #[serde(default)]
    pub scale_sets: BTreeMap<ProfileId, crate::scale_set::ScaleSet>,
    /// Jobs that have not completed.
    pub jobs: Jobs,
    /// Jobs known to have completed, and when: a late "queued" must not revive them. Pruned by age.
    pub finished: Rows<JobKey, Timestamp>,
    /// MicroVMs, until nothing of them is left.
    pub vms: Rows<VmId, Vm>,
    /// The next id to hand out.
    pub next_vm: u64,
    /// Found on a host, owned by no row.
    pub stray_guests: BTreeSet<(HostId, VmId)>,
    /// Registered in our name, owned by no row: where.
    pub stray_runners: BTreeMap<VmId, ScopeId>,
}

impl World {
    /// The profile for a job's labels: of those that serve them one that serves its repository, if there is any; of
    /// these the one with the fewest labels, as it wastes least; then the first by name.
    #[must_use]
    pub fn profile_for(&self, labels: &[String], repository: &str) -> Option<&ProfileId> {
        let serving = self.profiles.iter().filter(|(_, profile)| profile.serves(labels));
        let best = serving.min_by_key(|(id, profile)| {
            (!profile.repositories.has(repository), profile.labels.len(), *id)
        });
        best.map(|(id, _)| id)
    }

    /// The size that a job's labels ask for and who offers it: one label names it, the others are the template's own.
    /// `None`: none of them asks for a size here.
    #[must_use]
    pub fn size_for(&self, labels: &[String]) -> Option<Result<(ProfileId, Size), BadSize>> {
        let mut bad = None;
        for (id, profile) in &self.profiles {
            let Some(sizes) = &profile.sizes else { continue };
            let (named, others): (Vec<_>, Vec<_>) =
                labels.iter().partition(|label| sizes.is_asked_by(label));
            let ours = |label: &&String| profile.labels.contains(&label.to_ascii_lowercase());
            let [label] = named.as_slice() else { continue };
            if !others.iter().all(ours) {
                continue;
            }
            match sizes.read(label, &profile.shape)? {
                Ok(_) if self.has_all_sizes(id) => {
                    bad = Some(BadSize::TooMany { max: SIZES_MAX });
                }
                Ok(size) => return Some(Ok((id.clone(), size))),
                Err(wrong) => bad = Some(wrong),
            }
        }
        bad.map(Err)
    }

    /// Whether a template has as many sizes as it may.
    pub(crate) fn has_all_sizes(&self, template: &ProfileId) -> bool {
        let made = |profile: &&Profile| {
            profile.made_of.as_ref().is_some_and(|made| made.template == *template)
        };
        self.profiles.values().filter(made).count() >= SIZES_MAX
    }

    /// The template of a size; any other profile itself.
    #[must_use]
    pub fn family<'a>(&'a self, id: &'a ProfileId) -> &'a ProfileId {
        let made_of = self.profiles.get(id).and_then(|profile| profile.made_of.as_ref());
        made_of.map_or(id, |made| &made.template)
    }

    /// Whether a profile lets in a job of this repository and origin. Nobody's job is nobody's to refuse.
    #[must_use]
    pub fn verdict(
        &self,
        profile: Option<&ProfileId>,
        repository: &str,
        origin: Origin,
    ) -> Verdict {
        let profile = profile.and_then(|id| self.profiles.get(id));
        match profile {
            Some(profile) if !profile.repositories.has(repository) => Verdict::Unlisted,
            Some(profile) if !is(Fault::StrangersLetIn) => profile.admits.judge(origin),
            Some(_) | None => Verdict::Admitted,
        }
    }

    /// The time limits that hold for a microVM, also when its profile has left the configuration.
    #[must_use]
    pub fn timeouts(&self, vm: &Vm) -> &Timeouts {
        self.profiles.get(&vm.profile).map_or(&LAST_RESORT, |profile| &profile.timeouts)
    }

    /// Whether a host was heard from lately. Rows on one that was not are kept, and count for nothing.
    #[must_use]
    pub fn is_heard(&self, host: HostId, now: Timestamp) -> bool {
        let known = self.hosts.get(&host);
        known.is_some_and(|host| now < host.lease_ends() || is(Fault::LeaseIgnored))
    }

    /// Whether a host may be given new microVMs.
    #[must_use]
    pub fn is_usable(&self, host: HostId, now: Timestamp) -> bool {
        self.is_heard(host, now) && self.hosts.get(&host).is_some_and(|host| !host.draining)
    }

    /// Every name that a microVM may be registered under.
    #[must_use]
    pub fn runner_names(&self, id: VmId, vm: &Vm) -> Vec<RunnerName> {
        let name = |attempt| RunnerName::of(id, &vm.profile, &self.instance, attempt);
        (1..=vm.registration.attempts()).map(name).collect()
    }

    /// Whether the secret of this try may still be handed to the guest. Ask after the fact `Registered` is
    /// committed, and again when the guest gets ready: once GitHub is asked to remove the runner, a secret
    /// that comes late would start a runner whose guest is about to be destroyed.
    #[must_use]
    pub fn wants_secret(&self, id: VmId, attempt: u32) -> bool {
        self.vms.get(&id).is_some_and(|vm| match (&vm.phase, &vm.registration) {
            (_, Registration::Held { attempt: held, .. }) if is(Fault::SecretLate) => {
                *held == attempt
            }
            (Phase::Launching | Phase::Registering, Registration::Held { attempt: held, .. }) => {
                *held == attempt
            }
            (
                Phase::Launching
                | Phase::Warm
                | Phase::Registering
                | Phase::Listening
                | Phase::Busy(_)
                | Phase::Retiring(_)
                | Phase::Stopping { .. },
                _,
            ) => false,
        })
    }

    /// One more failure in a row: backs off, and after some opens the breaker.
    pub(crate) fn profile_failed(&mut self, now: Timestamp, profile: &ProfileId, why: String) {
        self.breakers.entry(profile.clone()).or_default().failed(now, why);
    }

    /// A failure that no second try will help: opens the breaker at once.
    pub(crate) fn profile_refused(&mut self, now: Timestamp, profile: &ProfileId, why: String) {
        self.breakers.entry(profile.clone()).or_default().refused(now, why);
    }

    /// A runner listens: others may follow. The failures are forgotten only when one gets a job, or a
    /// runner that listens and falls over would be started again for ever.
    pub(crate) fn profile_listens(&mut self, profile: &ProfileId) {
        if let Some(breaker) = self.breakers.get_mut(profile) {
            breaker.open = false;
            breaker.closed_until = Timestamp::default();
        }
    }
}
