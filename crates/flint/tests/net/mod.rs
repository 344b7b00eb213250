//! The stories, by theme, and their stage.

mod classic;
mod confinement;
mod egress;
mod frames;
mod guest;
mod ipv6;
mod isolation;
mod lifecycle;
mod program;
mod reach;
mod world;
