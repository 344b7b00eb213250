//! GitHub as Flint sees it. It reports; it never decides, and never reads the world.

pub mod error;

pub use error::Error;

use flint_core::id::{ProfileId, RunnerId, RunnerName, VmId};
use flint_wire::Secret;
use std::collections::BTreeSet;

/// The seam to GitHub's runner registrations.
pub trait Forge: Send + Sync + 'static {
    /// Gets a one-job registration. Not idempotent at GitHub: never call it twice with one name.
    ///
    /// # Errors
    /// [`Error`]; its `failure()` says what it means for the next try.
    fn register(&self, request: Request) -> impl Future<Output = Result<Registered, Error>> + Send;

    /// Removes every registration under these names (none given: all names of this microVM).
    ///
    /// # Errors
    /// [`Error`] when nothing is known; try again.
    fn deregister(
        &self,
        vm: VmId,
        names: Vec<RunnerName>,
    ) -> impl Future<Output = Result<Removal, Error>> + Send;

    /// The microVMs of this instance that GitHub knows a runner of.
    ///
    /// # Errors
    /// [`Error`] when nothing is known; try again.
    fn runners(&self) -> impl Future<Output = Result<BTreeSet<VmId>, Error>> + Send;
}

/// What to register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The runner's name.
    pub name: RunnerName,
    /// For whom; logs only.
    pub vm: VmId,
    /// The profile; logs only.
    pub profile: ProfileId,
    /// Exactly these; GitHub adds nothing.
    pub labels: BTreeSet<String>,
}

/// A registration. The secret goes to the guest and nowhere else.
pub struct Registered {
    /// GitHub's number.
    pub runner: RunnerId,
    /// `encoded_jit_config`.
    pub jit_config: Secret,
}

/// What became of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// No registration is left.
    Gone,
    /// One of them has a job (422): leave it.
    Busy,
}
