//! What can go wrong with a VMM.

/// A VMM that did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Placeholder until the room is filled.
    #[error("cannot start the VMM for {vm}")]
    Start {
        /// Which.
        vm: flint_core::id::VmId,
        /// Why.
        source: std::io::Error,
    },
}
