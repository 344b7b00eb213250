//! Keeps each profile's pool at its number; jobs come first.

use super::launch::Draft;
use super::serve::Served;
use crate::id::{ProfileId, VmId};
use crate::planted::{Fault, is};
use crate::profile::Profile;
use crate::vm::{Phase, Reason};
use std::collections::BTreeMap;

pub(super) fn keep_warm(draft: &mut Draft, served: &mut Served) {
    let mut sizes: BTreeMap<ProfileId, u32> = BTreeMap::new();
    for (id, profile) in draft.world.profiles.clone() {
        let supply = served.supply.entry(id.clone()).or_default();
        let wanted = warm(draft, &profile, &mut sizes);
        let (pool, more) = (supply.spare.len(), wanted.saturating_sub(supply.spare.len()));
        let spare = supply.spare.make_contiguous();
        release(draft, &profile, spare, pool.saturating_sub(wanted));
        // Room that a job waits for is not for the pool: it would only have to give way again.
        if !served.starving.is_empty() && !is(Fault::PoolEatsRoom) {
            continue;
        }
        if served.crowded.contains_key(&id) {
            continue;
        }
        for _ in 0..more {
            let may = draft.held(&id) < profile.max && draft.breaker(&id).is_none();
            if !may || draft.launch(&id, &profile, None).is_none() {
                break;
            }
        }
    }
}

/// How many of a profile are kept booted. Sizes share a number, and each is kept for a while after its last job.
fn warm(draft: &Draft, profile: &Profile, sizes: &mut BTreeMap<ProfileId, u32>) -> usize {
    let mut wanted = profile.warm;
    if let Some(made) = &profile.made_of {
        let template = draft.world.profiles.get(&made.template);
        let most = template.and_then(|template| template.sizes.as_ref()).map_or(0, |s| s.warm);
        let taken = sizes.entry(made.template.clone()).or_default();
        let over = made.warm_until.is_none_or(|until| until <= draft.now);
        wanted = if over { 0 } else { wanted.min(most.saturating_sub(*taken)) };
        *taken = taken.saturating_add(wanted);
    }
    usize::try_from(wanted).unwrap_or(usize::MAX)
}

/// Lets the pool's surplus go, once it has been of no use for a while.
fn release(draft: &mut Draft, profile: &Profile, spare: &[VmId], mut surplus: usize) {
    for id in spare {
        let Some(vm) = draft.world.vms.get_mut(id).filter(|_| surplus > 0) else { continue };
        if vm.phase == Phase::Warm && vm.since.after(profile.timeouts.idle) <= draft.now {
            vm.leave(draft.now, Reason::Surplus);
            surplus -= 1;
        }
    }
}
