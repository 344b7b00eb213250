//! What became of every queued job, by groups of those that share their cause.

use super::wait::{Because, Wait};
use crate::ask::Found;
use crate::id::{InstallationId, JobKey, ProfileId, VmId};
use crate::job::{Job, JobState};
use crate::policy::Verdict;
use crate::units::Timestamp;
use crate::vm::{Phase, Registration, Vm};
use crate::world::World;
use std::collections::BTreeMap;
use std::time::Duration;

/// GitHub gives a waiting runner its job within seconds; after this it is worth a word that it does not.
const GIVEN_WITHIN: Duration = Duration::from_secs(60);

/// Why each queued job waits: for a microVM of its own, or for what its whole group waits for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// Sorted by job.
    coming: Vec<(JobKey, VmId)>,
    causes: BTreeMap<(Option<ProfileId>, String), Because>,
    /// When that was planned.
    now: Timestamp,
}

impl Waits {
    /// A microVM is on its way to this job.
    pub(super) fn comes(&mut self, job: JobKey, vm: VmId) {
        self.coming.push((job, vm));
    }

    /// All other jobs of this profile and repository wait for this.
    pub(super) fn because_of(
        &mut self,
        profile: Option<&ProfileId>,
        repository: &str,
        because: Because,
    ) {
        let group = (profile.cloned(), repository.to_owned());
        self.causes.entry(group).or_insert(because);
    }

    pub(super) fn finish(&mut self, now: Timestamp) {
        self.coming.sort_unstable();
        self.now = now;
    }

    /// The registrations that wait for their turn, each by whose calls GitHub counts together.
    pub fn paced<'a>(&'a self, world: &'a World) -> impl Iterator<Item = &'a InstallationId> {
        let waits = |vm: &&Vm| world.turn(vm).is_some_and(|turn| self.now < turn);
        let scopes = world.vms.values().filter(waits).filter_map(|vm| vm.scope.as_ref());
        scopes.filter_map(|scope| world.scopes.get(scope)).map(|scope| &scope.installation)
    }

    /// The one cause of a queued job's wait.
    #[must_use]
    pub fn because(&self, world: &World, key: JobKey) -> Option<Because> {
        let job = world.jobs.get(&key).filter(|job| job.state == JobState::Queued)?;
        if let Ok(at) = self.coming.binary_search_by_key(&key, |(job, _)| *job) {
            let (_, vm) = *self.coming.get(at)?;
            return Some(from_github(world, job, vm, self.now).unwrap_or(Because::Coming { vm }));
        }
        if job.profile.is_none() {
            return Some(Because::NoProfile);
        }
        match job.verdict {
            Verdict::Admitted => {}
            Verdict::Undecided => return Some(Because::OriginUnknown),
            Verdict::Public => return Some(Because::PublicRepository),
            Verdict::Fork => return Some(Because::Fork),
            Verdict::Unlisted => return Some(Because::RepositoryUnlisted),
        }
        self.causes.get(&(job.profile.clone(), job.request.repository.clone())).cloned()
    }

    /// All queued jobs, each with its cause.
    pub fn iter<'a>(&'a self, world: &'a World) -> impl Iterator<Item = Wait> + 'a {
        let waits = |(key, _): (&JobKey, &Job)| {
            let because = self.because(world, *key)?;
            Some(Wait { job: *key, because })
        };
        world.jobs.iter().filter_map(waits)
    }
}

/// What keeps a job although a microVM comes for it: GitHub takes no calls, or no more of them at once, or does not give
/// the job to a runner that waits for it.
fn from_github(world: &World, job: &Job, id: VmId, now: Timestamp) -> Option<Because> {
    let vm = world.vms.get(&id)?;
    match (&vm.phase, &vm.registration) {
        (Phase::Launching | Phase::Registering, Registration::Asked { .. }) => {
            let (calls, turn) = (world.calls_from(vm), world.turn(vm));
            match turn.filter(|turn| now < *turn) {
                _ if now < calls => Some(Because::RateLimited { until: calls }),
                turn => turn.map(|until| Because::Paced { vm: id, until }),
            }
        }
        (Phase::Listening, _) => {
            let asked = job.asked.filter(|asked| vm.since.after(GIVEN_WITHIN) <= asked.at)?;
            match asked.found {
                Found::Queued { admitted } => Some(Because::NotGiven { vm: id, admitted }),
                Found::Told | Found::Gone | Found::Held => None,
            }
        }
        (
            Phase::Launching
            | Phase::Warm
            | Phase::Registering
            | Phase::Busy(_)
            | Phase::Retiring(_)
            | Phase::Stopping { .. },
            _,
        ) => None,
    }
}
