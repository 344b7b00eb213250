//! Facts about a scale set as a whole.

use super::job;
use crate::id::{JobKey, ProfileId};
use crate::job::{Job, JobState};
use crate::planted::{Fault, is};
use crate::record::Record;
use crate::scale_set::SetEvent;
use crate::units::Timestamp;
use crate::world::World;
use std::cmp::Reverse;
use std::time::Duration;

/// A count and the names of the same jobs come at different times; a difference that lasts is one.
const SETTLED: Duration = Duration::from_secs(120);

pub(super) fn heard(
    world: &mut World,
    now: Timestamp,
    profile: ProfileId,
    said: SetEvent,
) -> Vec<Record> {
    // A former profile's listener may still have had a word on its way.
    if !world.is_scale_set(&profile) {
        return Vec::new();
    }
    let set = world.scale_sets.entry(profile.clone()).or_default();
    match said {
        SetEvent::Opened { session } => (set.session, set.trouble) = (Some(session), None),
        SetEvent::Lost { why } => set.trouble = Some(why),
        SetEvent::PassedOver { why } => set.passed_over = Some(why),
        SetEvent::Counted { assigned } => {
            set.assigned = Some(assigned);
            return settle(world, now, &profile, assigned);
        }
    }
    Vec::new()
}

/// Lets jobs go that GitHub does not count any more: the word of their end was lost.
fn settle(world: &mut World, now: Timestamp, profile: &ProfileId, assigned: u32) -> Vec<Record> {
    let known = world.jobs.count_of(profile);
    let surplus = known.saturating_sub(usize::try_from(assigned).unwrap_or(usize::MAX));
    let Some(set) = world.scale_sets.get_mut(profile) else { return Vec::new() };
    if surplus == 0 || is(Fault::SurplusStays) {
        set.fewer_since = None;
        return Vec::new();
    }
    let since = *set.fewer_since.get_or_insert(now);
    if now < since.after(SETTLED) {
        return Vec::new();
    }
    // First those whose microVM is gone, then those that were told of longest ago.
    let mut doubtful: Vec<_> = world.jobs.of_profile(profile).filter_map(doubt).collect();
    doubtful.sort_unstable();
    let gone = doubtful.into_iter().take(surplus);
    let records = gone.filter_map(|(_, _, key)| job::withdrawn(world, now, key, "unknown"));
    let records = records.collect();
    // Each was one of those that are not counted.
    if let Some(set) = world.scale_sets.get_mut(profile) {
        (set.assigned, set.fewer_since) = (Some(assigned), None);
    }
    records
}

/// How doubtful it is that a job is still there; `None`: its runner is at work here.
fn doubt((key, row): (JobKey, &Job)) -> Option<(Reverse<bool>, Timestamp, JobKey)> {
    match row.state {
        JobState::Queued | JobState::Elsewhere => Some((Reverse(false), row.received, key)),
        JobState::Running(_) => row.left.map(|_| (Reverse(true), row.received, key)),
    }
}
