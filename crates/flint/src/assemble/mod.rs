//! Puts Flint together from its rooms: the one place that knows every real seam.
//!
//! [`serve`] is the daemon, [`run`] one microVM by hand. Nothing is decided here.

mod bridge;
mod by_hand;
mod engine;
pub mod error;
mod faces;
mod front;
mod github;
mod ground;
mod host;
mod network;
mod options;
mod runner;
mod scale_sets;
mod serve;

pub use bridge::{BridgeState, bridge, lower_bridge, raise_bridge};
pub use by_hand::{ByHand, run};
pub use error::Error;
pub use github::{github, of_entry, strictest};
pub use network::look_at_network;
pub use options::scopes_of_sets;
pub use runner::{RunnerError, RunnerState, RunnerUpdate, update_runner};
pub use serve::serve;

pub use crate::front::half::main as half;
// Before anything secret is read.
pub use crate::net::names::half::main as names;
pub use crate::sys::confine::keep_memory;
