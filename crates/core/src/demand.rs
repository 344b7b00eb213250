//! What is wanted of a profile with a scale set, as GitHub counts and as jobs are known.

use crate::id::ProfileId;
use crate::planted::{Fault, is};
use crate::scale_set::Source;
use crate::world::World;

impl World {
    /// Whether a profile hears of its jobs by a scale set. One that left the configuration does not.
    #[must_use]
    pub fn is_scale_set(&self, profile: &ProfileId) -> bool {
        let known = self.profiles.get(profile);
        known.is_some_and(|p| p.source == Source::ScaleSet && !p.labels.is_empty())
    }

    /// How many jobs of a profile GitHub counts beyond those that it has named.
    #[must_use]
    pub fn unnamed_jobs(&self, profile: &ProfileId) -> u32 {
        let assigned = self.scale_sets.get(profile).and_then(|set| set.assigned).unwrap_or(0);
        if is(Fault::UnnamedIgnored) {
            return 0;
        }
        assigned.saturating_sub(u32::try_from(self.jobs.count_of(profile)).unwrap_or(u32::MAX))
    }

    /// How many jobs a profile's scale set may have at once. GitHub gives it no more; while nothing new may start, none.
    #[must_use]
    pub fn scale_set_capacity(&self, profile: &ProfileId) -> u32 {
        let open = self.hosts.values().any(|host| host.slots > 0 && !host.draining);
        let max = self.profiles.get(profile).map_or(0, |profile| profile.max);
        if open { max } else { 0 }
    }

    /// A job of a scale set has ended. GitHub's next count says so too; until then it must not look like a new one.
    pub(crate) fn counted_one_less(&mut self, profile: Option<&ProfileId>) {
        let set = profile.and_then(|profile| self.scale_sets.get_mut(profile));
        if let Some(assigned) = set.and_then(|set| set.assigned.as_mut()) {
            *assigned = assigned.saturating_sub(1);
        }
    }
}
