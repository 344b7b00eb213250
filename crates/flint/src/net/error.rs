//! What can go wrong with a slot's network.

/// A network that could not be made or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Placeholder until the room is filled.
    #[error("cannot make the network namespace of slot {slot}")]
    Namespace {
        /// Which.
        slot: flint_core::id::Slot,
        /// Why.
        source: std::io::Error,
    },
}
