//! Says what is wrong with a world, in words. Shares no code with `plan`.

use crate::world::World;

/// Something that should never be. Production logs it and stops launching; tests fail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note(pub String);

/// All that is wrong.
#[must_use]
pub fn audit(_world: &World) -> Vec<Note> {
    Vec::new()
}
