//! Decides what Flint does next. No I/O, no clock, no randomness.
//!
//! Three pure functions: [`fold::fold`] takes a fact in, [`plan::plan`] says what to do,
//! [`audit::audit`] says what is wrong. Everything else is the language they speak.
#![forbid(unsafe_code)]
// A new phase or fact must break every `match` that has to think about it.
#![warn(clippy::wildcard_enum_match_arm)]

pub mod ask;
pub mod audit;
pub mod breaker;
mod demand;
pub mod event;
pub mod fold;
pub mod forge;
pub mod host;
pub mod id;
pub mod job;
pub mod jobs;
pub mod limits;
pub mod plan;
pub mod planted;
pub mod policy;
pub mod profile;
pub mod record;
pub mod rows;
pub mod runner_version;
pub mod scale_set;
mod scopes;
pub mod size;
pub mod units;
pub mod vm;
pub mod world;
