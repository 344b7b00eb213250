//! The fake GitHub itself, over loopback: every list, every limit, and every vice that it can be asked for.

mod deliveries;
mod faults;
mod limits;
mod lists;
mod room;
mod runners;
mod scale_sets;
mod webhooks;
