//! The daemon: facts in through one door, orders out through one door, and the core's function between.
//!
//! [`controller`] folds, plans and commits; [`dispatch`] carries orders out; [`ask`] scans; [`start`] puts all together.

pub mod api;
pub mod ask;
mod assemble;
mod by_hand;
pub mod clock;
pub mod controller;
pub mod dispatch;
pub mod door;
pub mod error;
pub mod front;
mod logs;
pub mod metrics;
mod options;
pub mod rows;
mod start;
pub mod stop;

pub use by_hand::{ByHand, run};
pub use error::Error;
pub use start::serve;
