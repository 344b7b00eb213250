//! What of this host stands in the way of guests' networks: for `flint doctor`, and for a start.

use super::{Error, options};
use crate::config::Config;
use crate::net::{Finding, HostNet};

/// Looks at it, and changes nothing.
///
/// # Errors
/// [`Error`] when it cannot be looked at.
pub async fn look_at_network(config: &Config) -> Result<Vec<Finding>, Error> {
    let wrong = |source| Error::Net { source };
    HostNet::new(options::net(config)).map_err(wrong)?.check().await.map_err(wrong)
}

/// Refuses what would make each microVM's start fail for ever; what may pass, or costs something, is told in the log.
///
/// # Errors
/// [`Error::Net`].
pub(super) async fn ready(config: &Config) -> Result<(), Error> {
    let wrong = |source| Error::Net { source };
    HostNet::new(options::net(config)).map_err(wrong)?.usable().await.map_err(wrong)?;
    match look_at_network(config).await {
        Ok(found) => {
            for found in found {
                tracing::warn!(%found, help = found.help(), "guests may not have the network");
            }
        }
        Err(error) => {
            let (error, help) = (crate::error::chain(&error), error.help());
            tracing::warn!(%error, help, "the network cannot be looked at");
        }
    }
    Ok(())
}
