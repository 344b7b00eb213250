//! Profiles that are made for the sizes that jobs ask for, and go with the last that needs them.

use crate::id::ProfileId;
use crate::job::JobRequest;
use crate::jobs::Standing;
use crate::profile::Profile;
use crate::size::{self, MadeOf, Size, WARM_FOR};
use crate::units::Timestamp;
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};

/// The profile for a job: the one whose scale set told of it, or that for its labels, made if they ask for a size that has
/// none yet.
pub(super) fn profile_for(
    world: &mut World,
    now: Timestamp,
    request: &JobRequest,
) -> Option<ProfileId> {
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
    let profile = made(world.profiles.get(&template)?, &template, (size, now), lower(labels));
    world.profiles.insert(id.clone(), profile);
    Some(id)
}

fn made(
    of: &Profile,
    template: &ProfileId,
    (size, now): (Size, Timestamp),
    labels: BTreeSet<String>,
) -> Profile {
    let (template, image) = (template.clone(), size.image);
    let warm_until = size.warm.then(|| now.after(WARM_FOR));
    let made_of = Some(MadeOf { template, image, warm_until });
    let max = of.sizes.as_ref().map_or(of.max, |sizes| sizes.count);
    let warm = u32::from(size.warm);
    Profile { labels, shape: size.shape, warm, max, sizes: None, made_of, ..of.clone() }
}

/// A job of this profile has come, or has ended: if its size is kept booted, then for a while from now on.
pub(super) fn wanted(world: &mut World, now: Timestamp, profile: Option<&ProfileId>) {
    let profile = profile.and_then(|id| world.profiles.get_mut(id));
    let made_of = profile.and_then(|profile| profile.made_of.as_mut());
    if let Some(until) = made_of.and_then(|made| made.warm_until.as_mut()) {
        *until = now.after(WARM_FOR);
    }
}

fn lower(labels: &[String]) -> BTreeSet<String> {
    labels.iter().map(|label| label.to_ascii_lowercase()).collect()
}

/// Takes over the sizes that were made under an earlier configuration and that the new one still offers. The others are
/// former profiles like any that left it.
pub(super) fn keep(world: &mut World, now: Timestamp, former: &BTreeMap<ProfileId, Profile>) {
    for (id, profile) in former.iter().filter(|(_, profile)| profile.made_of.is_some()) {
        let labels: Vec<String> = profile.labels.iter().cloned().collect();
        let Some(Ok((template, size))) = world.size_for(&labels) else { continue };
        let Some(of) = world.profiles.get(&template) else { continue };
        // A microVM that is there keeps its size; a profile's name must not stand for another one.
        let same = profile.shape == size.shape;
        let again = made(of, &template, (size, now), profile.labels.clone());
        let of_it = |profile: &Profile| {
            profile.made_of.clone().map(|made| (made.template, made.image, profile.warm))
        };
        if same && of_it(profile) == of_it(&again) && !world.profiles.contains_key(id) {
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
        let Some(profile) = profile_for(world, now, &request) else { continue };
        let verdict = world.verdict(Some(&profile), &request.repository, request.origin);
        world.jobs.update(key, |job| {
            job.profile = Some(profile);
            job.judged(verdict, now);
        });
    }
}
