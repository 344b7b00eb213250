//! Takes one fact into the world.

use crate::event::Event;
use crate::record::Record;
use crate::units::Timestamp;
use crate::world::World;

/// Takes one fact in, and says what left the world by it.
#[must_use]
pub fn fold(_world: &mut World, _now: Timestamp, _event: Event) -> Vec<Record> {
    Vec::new()
}
