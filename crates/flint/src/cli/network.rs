//! `flint network`: the bridge of classic mode.

use super::args::Bridge;
use super::output::Output;
use super::{block_on, from_daemon};
use crate::assemble;
use crate::config::Config;
use crate::error::{Exit, Problem};

/// What there is to say without a bridge.
const NONE: &str = "no bridge is configured: each microVM has a network of its own, and nothing is to be set up \
                    (`host.bridge` turns classic mode on)";

/// Makes, removes or shows it.
pub(super) fn network(out: Output, config: &Config, what: Bridge) -> Result<Exit, Problem> {
    if config.host.bridge.is_none() {
        out.show(&serde_json::json!({ "bridge": null }), |_| NONE.to_owned())?;
        return Ok(Exit::Ok);
    }
    let work = async {
        match what {
            Bridge::Up => assemble::raise_bridge(config).await?,
            Bridge::Down => assemble::lower_bridge(config).await?,
            Bridge::Show => {}
        }
        assemble::bridge(config).await
    };
    let state = block_on(work)?.map_err(from_daemon)?;
    out.show(&serde_json::json!({ "bridge": state.json }), |_| state.text.clone())?;
    Ok(Exit::Ok)
}
