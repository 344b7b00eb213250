//! The daemon: facts in through one door, orders out through one door, and the core's function between.
//!
//! [`controller`] folds, plans and commits; [`dispatch`] carries orders out; [`ask`] scans; [`start`] puts all together.

pub mod api;
pub mod ask;
pub mod clock;
pub mod controller;
pub mod dispatch;
pub mod door;
pub mod error;
pub mod front;
pub mod metrics;
pub mod rows;
pub mod start;
pub mod stop;

pub use error::Error;
pub use start::serve;
