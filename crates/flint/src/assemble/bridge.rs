//! The bridge of classic mode, for `flint network`.

use super::{Error, options};
use crate::config::Config;
use crate::net::HostNet;

/// What there is of the bridge, for people and for programs.
#[derive(Clone, Debug, Default)]
pub struct BridgeState {
    /// In lines.
    pub text: String,
    /// The same; null where there is no namespace to look into.
    pub json: serde_json::Value,
}

/// Makes it, or what of it is missing.
///
/// # Errors
/// [`Error`] when the host has something against it.
pub async fn raise_bridge(config: &Config) -> Result<(), Error> {
    let raised = net(config)?.raise_bridge().await;
    raised.map(drop).map_err(|source| Error::Net { source })
}

/// Removes it.
///
/// # Errors
/// [`Error`] when the host has something against it, or microVMs use it.
pub async fn lower_bridge(config: &Config) -> Result<(), Error> {
    let lowered = net(config)?.lower_bridge().await;
    lowered.map(drop).map_err(|source| Error::Net { source })
}

/// Looks at it.
///
/// # Errors
/// [`Error`] when it cannot be looked at.
pub async fn bridge(config: &Config) -> Result<BridgeState, Error> {
    let state = net(config)?.bridge().await.map_err(|source| Error::Net { source })?;
    let json = serde_json::to_value(&state).unwrap_or_default();
    let text = state.map_or_else(|| "no uplink namespace".to_owned(), |state| state.to_string());
    Ok(BridgeState { text, json })
}

fn net(config: &Config) -> Result<HostNet, Error> {
    HostNet::new(options::net(config)).map_err(|source| Error::Net { source })
}
