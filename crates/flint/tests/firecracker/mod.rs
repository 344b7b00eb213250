//! The stories, by theme, and their stage.

mod by_hand;
mod choice;
mod contract;
mod ends;
mod guest;
mod host;
mod lab;
mod leavings;
mod snapshots;
mod story;
mod talk;
