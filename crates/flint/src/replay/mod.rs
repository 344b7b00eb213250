//! An exported log of facts: its lines, its stand-ins for names, and the same decisions made again, step by step.
//!
//! Nothing here reads a store, a clock or a host: the file is all there is, so the same file always gives the same text.

mod error;
mod log;
mod say;
mod stand_in;
mod tell;
#[cfg(test)]
mod tests;
mod walk;

pub use error::Error;
pub use log::{FORMAT, Header, LINE_MAX, Log, Names, entry_line, header_line};
pub use stand_in::{Gathered, StandIns};
pub use tell::{opening, show_step, show_world};
pub use walk::{Change, Step, Told, Walk};
