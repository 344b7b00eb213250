//! The stories, by theme, and their stage.

mod frames;
mod guest;
mod isolation;
mod lifecycle;
mod reach;
mod world;
