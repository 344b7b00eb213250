//! Says what to do next, from what is believed now.
//!
//! Each step below edits a draft of the world, so that later steps see what earlier ones decided; a plan
//! made from the draft is therefore the same plan.

mod asks;
mod give_way;
mod launch;
mod line;
mod orders;
mod pool;
mod room;
mod serve;
mod timeout;
mod wait;
mod waits;
mod wake;

pub use wait::{Because, Short, Wait, why};
pub use waits::Waits;

use crate::ask::Question;
use crate::id::{HostId, ProfileId, RunnerName, ScopeId, Slot, VmId};
use crate::units::Timestamp;
use crate::world::World;
use launch::Draft;
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
        /// Where.
        scope: ScopeId,
        /// Which try, from 1.
        attempt: u32,
        /// The runner's name for this try.
        name: RunnerName,
    },
    /// Remove every registration this microVM may have.
    Deregister {
        /// Which.
        vm: VmId,
        /// Where they are.
        scope: ScopeId,
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
    /// List what a host holds.
    Scan {
        /// Which.
        host: HostId,
    },
    /// Ask GitHub what webhooks may not have told.
    Ask {
        /// What.
        question: Question,
    },
}

/// What to write down, then what to do, why some jobs wait, and when to look again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The world as it must be stored before any action starts.
    pub world: World,
    /// All orders that are due; those already under way are among them.
    pub actions: Vec<Action>,
    /// Why each queued job waits.
    pub waits: Waits,
    /// When time alone will change the plan.
    pub wake_at: Option<Timestamp>,
}

/// Decides. Planning the planned world changes nothing.
///
/// Time alone changes a plan at `wake_at`: the caller then folds a `Tick` and plans again.
#[must_use]
pub fn plan(world: &World, now: Timestamp) -> Plan {
    let mut world = world.clone();
    timeout::time_out(&mut world, now);
    timeout::drain(&mut world, now);
    let mut draft = Draft::new(world, now);
    let mut served = serve::serve(&mut draft);
    give_way::give_way(&mut draft, &mut served);
    pool::keep_warm(&mut draft, &mut served);
    let world = draft.world;
    let mut actions = orders::due(&world, now);
    actions.extend(asks::due(&world, now));
    let wake_at = wake::wake_at(&world, now);
    Plan { world, actions, waits: served.waits, wake_at }
}
