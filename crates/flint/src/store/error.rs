//! What can go wrong with the store.

/// A store that could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Placeholder until the room is filled.
    #[error("the store is broken")]
    Broken,
}
