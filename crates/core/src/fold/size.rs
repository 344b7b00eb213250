//! Profiles that are made for the sizes that jobs ask for, and go with the last that needs them.

use crate::id::ProfileId;
use crate::job::JobRequest;
use crate::jobs::Standing;
use crate::profile::Profile;
use crate::size::{self, MadeOf, Size};
use crate::units::Timestamp;
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};

/// The profile for a job: the one whose scale set told of it, or that for its labels, made if they ask for a size that has
/// none yet.
pub(super) fn profile_for(world: &mut World, request: &JobRequest) -> Option<ProfileId> {
    if let Some(profile) = &request.scale_set {
        return world
            .profiles
            .get_key_value(profile)
            .map(|(id, _)| id.clone())
            .filter(|id| world.is_scale_set(id));
    }
    let labels = &request.labels;
    if let Some(known) = world.profile_for(labels, &request.repository) {
        return Some(known.clone());
    }
    let (template, size) = world.size_for(labels)?.ok()?;
    let free = |id: &ProfileId| !world.profiles.contains_key(id);
    // One more than there are profiles is always free.
    let names = (1..=world.profiles.len() + 1).filter_map(|n| size::name(&template, &size, n));
    let id = names.into_iter().find(free)?;
    let profile = made(world.profiles.get(&template)?, &template, size, lower(labels));
    world.profiles.insert(id.clone(), profile);
    Some(id)
}

fn made(of: &Profile, template: &ProfileId, size: Size, labels: BTreeSet<String>) -> Profile {
    let made_of = Some(MadeOf { template: template.clone(), image: size.image });
    let max = of.sizes.as_ref().map_or(of.max, |sizes| sizes.count);
    Profile { labels, shape: size.shape, warm: 0, max, sizes: None, made_of, ..of.clone() }
}

fn lower(labels: &[String]) -> BTreeSet<String> {
    labels.iter().map(|label| label.to_ascii_lowercase()).collect()
}

/// Takes over the sizes that were made under an earlier configuration and that the new one still offers. The others are
/// former profiles like any that left it.
pub(super) fn keep(world: &mut World, former: &BTreeMap<ProfileId, Profile>) {
    for (id, profile) in former.iter().filter(|(_, profile)| profile.made_of.is_some()) {
        let labels: Vec<String> = profile.labels.iter().cloned().collect();
        let Some(Ok((template, size))) = world.size_for(&labels) else { continue };
        let Some(of) = world.profiles.get(&template) else { continue };
        // A microVM that is there keeps its size; a profile's name must not stand for another one.
        let same = profile.shape == size.shape;
        let again = made(of, &template, size, profile.labels.clone());
        if same && profile.made_of == again.made_of && !world.profiles.contains_key(id) {
            world.profiles.insert(id.clone(), again);
        }
    }
}

/// Removes those that no job and no microVM needs, and serves jobs that there were too many sizes for.
pub(super) fn sweep(world: &mut World, now: Timestamp) {
    if world.profiles.values().all(|profile| profile.made_of.is_none()) {
        return;
    }
    let full = world.profiles.keys().any(|id| world.has_all_sizes(id));
    let mut needed: BTreeSet<ProfileId> = world.jobs.profiles().cloned().collect();
    needed.extend(world.vms.values().map(|vm| vm.profile.clone()));
    let before = world.profiles.len();
    world.profiles.retain(|id, profile| profile.made_of.is_none() || needed.contains(id));
    // There may be very many jobs that are nobody's, and all but never one that there was no size left for.
    if !full || world.profiles.len() == before {
        return;
    }
    let groups = world.jobs.standing(Standing::Queued).filter(|(group, _)| group.profile.is_none());
    let keys: Vec<_> = groups.flat_map(|(_, line)| line.keys().map(|(_, key)| *key)).collect();
    for key in keys {
        let Some(row) = world.jobs.get(&key) else { continue };
        let request = row.request.clone();
        let Some(profile) = profile_for(world, &request) else { continue };
        let verdict = world.verdict(Some(&profile), &request.repository, request.origin);
        world.jobs.update(key, |job| {
            job.profile = Some(profile);
            job.judged(verdict, now);
        });
    }
}
