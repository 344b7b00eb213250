//! The made-up outside of Flint: a fake GitHub, a fake runner, fakes of the seams, lives of the core, the demo, the kills,
//! browsers, and an intruder.

#[cfg(feature = "full")]
pub mod archives;
#[cfg(feature = "full")]
pub mod browser;
#[cfg(feature = "full")]
pub mod demo;
#[cfg(feature = "full")]
pub mod escape;
#[cfg(feature = "full")]
pub mod fakes;
#[cfg(feature = "full")]
pub mod github;
pub mod intruder;
#[cfg(feature = "full")]
pub mod kills;
#[cfg(feature = "lives")]
pub mod lives;
#[cfg(feature = "full")]
pub mod measure;
#[cfg(any(feature = "full", feature = "lives"))]
mod rng;
pub mod runner;
#[cfg(feature = "full")]
pub mod strangers;
