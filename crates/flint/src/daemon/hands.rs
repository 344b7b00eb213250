//! What orders are carried out with: GitHub, the host, the clock, and what the configuration says of each profile.

use crate::host::Host;
use crate::images::Source;
use crate::net::Egress;
use crate::vmm::DiskRate;
use flint_core::profile::Profile;
use std::sync::Arc;

/// What the configuration says of a profile beyond what the core decides with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// As the core sees it.
    pub profile: Profile,
    /// Its kernel and image.
    pub source: Source,
    /// Where its guests may go.
    pub egress: Egress,
    /// How much of each disk its guests may have.
    pub disk_rate: DiskRate,
}

/// What orders are carried out with.
pub struct Hands<F, V, N, I, C> {
    /// GitHub.
    pub forge: Arc<F>,
    /// The host.
    pub host: Arc<Host<V, N, I>>,
    /// Tells when a question was asked.
    pub clock: Arc<C>,
}
