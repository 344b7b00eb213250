//! The stories, by theme, and their stage.

mod choice;
mod contract;
mod ends;
mod guest;
mod host;
mod lab;
mod leavings;
mod story;
mod talk;
