//! One fake for each seam, each with its vices.
//!
//! They share an [`Outside`]: the made-up GitHub and the made-up host of one test.

mod clock;
mod forge;
mod guest;
mod images;
mod ledger;
mod net;
mod outside;
mod post;
mod vmm;

pub use clock::FakeClock;
pub use forge::FakeForge;
pub use guest::SECRET;
pub use images::FakeImages;
pub use net::FakeNet;
pub use outside::{Faults, Outside, Told};
pub use vmm::FakeVmm;
