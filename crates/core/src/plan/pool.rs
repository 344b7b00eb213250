//! Keeps each profile's pool at its number; jobs come first.

use super::launch::Draft;
use super::serve::Served;
use crate::id::VmId;
use crate::planted::{Fault, is};
use crate::profile::Profile;
use crate::vm::{Phase, Reason, Registration};

pub(super) fn keep_warm(draft: &mut Draft, served: &mut Served) {
    for (id, profile) in draft.world.profiles.clone() {
        let supply = served.supply.entry(id.clone()).or_default();
        let wanted = usize::try_from(profile.warm).unwrap_or(usize::MAX);
        let (pool, more) = (supply.spare.len(), wanted.saturating_sub(supply.spare.len()));
        let spare = supply.spare.make_contiguous();
        release(draft, &profile, spare, pool.saturating_sub(wanted));
        // Room that a job waits for is not for the pool: it would only have to give way again.
        if !served.starving.is_empty() && !is(Fault::PoolEatsRoom) {
            continue;
        }
        for _ in 0..more {
            let may = draft.held(&id) < profile.max && draft.breaker(&id).is_none();
            if !may || draft.launch(&id, &profile, Registration::None).is_none() {
                break;
            }
        }
    }
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
