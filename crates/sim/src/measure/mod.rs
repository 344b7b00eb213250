//! Measurements that need Flint's own code, for `make bench`. They report; nothing here judges.

mod boot;
mod calls;
mod disks;
mod plan;

pub use boot::{Boots, Guests, boots};
pub use calls::{Calls, calls};
pub use disks::{Disks, Made, disks};
pub use plan::{Plans, plans};
