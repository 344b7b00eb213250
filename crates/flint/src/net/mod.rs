//! One network namespace per slot: tap, veth, NAT and a default-deny ruleset, undone by deleting the namespace.

use crate::vmm::Nic;
use flint_core::id::Slot;
use flint_wire::Network;
use std::collections::BTreeSet;

pub mod error;

pub use error::Error;

/// The seam to a host's network.
pub trait Net: Send + Sync + 'static {
    /// Makes the slot's network, or makes it anew.
    ///
    /// # Errors
    /// [`Error`]; something may be left, which `detach` removes.
    fn attach(&self, slot: Slot, uid: u32) -> impl Future<Output = Result<Attached, Error>> + Send;

    /// Removes it. Unknown means already gone.
    ///
    /// # Errors
    /// [`Error`] when something is left.
    fn detach(&self, slot: Slot) -> impl Future<Output = Result<(), Error>> + Send;

    /// The slots whose network is there, whole or in part.
    ///
    /// # Errors
    /// [`Error`] when the answer cannot be known.
    fn attached(&self) -> impl Future<Output = Result<BTreeSet<Slot>, Error>> + Send;
}

/// A slot's network, ready for a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// What the VMM opens.
    pub nic: Nic,
    /// What the guest is told.
    pub guest: Network,
}
