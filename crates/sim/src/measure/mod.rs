//! Measurements that need Flint's own code, for `make bench`. They report; nothing here judges.

mod boot;
mod disks;
mod plan;

pub use boot::{Boots, Guests, boots};
pub use disks::{Disks, Made, disks};
pub use plan::{Plans, plans};
