//! The daemon: facts in through one door, orders out through one door, and the core's function between.
//!
//! [`controller`] folds, plans and commits; [`dispatch`] carries orders out; [`front`] and
//! [`api`] face the outside. It knows the seams, and not what is behind them.

pub mod api;
mod asks;
pub mod clock;
pub mod controller;
pub mod dispatch;
pub mod door;
pub mod front;
mod hand_over;
mod hands;
pub mod listener;
mod logs;
mod message;
pub mod metrics;
mod orders;
pub mod rows;
pub mod stop;
