//! Starts, watches and kills the process of one microVM. Knows nothing of networks and images but paths and names.

use flint_core::event::GuestEnd;
use flint_core::id::{Slot, VmId};
use flint_core::units::Resources;
use std::path::PathBuf;

mod canary;
pub mod choose;
mod console;
pub mod error;
pub mod firecracker;
pub mod jail;
pub mod qemu;

pub use choose::AnyVmm;
pub use error::Error;

/// The seam to a virtual machine monitor.
pub trait Vmm: Send + Sync + 'static {
    /// Starts the process and the guest in it. On return it runs, or nothing more will happen to it by itself.
    ///
    /// # Errors
    /// [`Error`]; something of it may be left, which `kill` removes.
    fn boot(&self, boot: Boot) -> impl Future<Output = Result<(), Error>> + Send;

    /// Waits until its process has ended. Works for a process this daemon did not start.
    fn exited(&self, vm: VmId) -> impl Future<Output = GuestEnd> + Send;

    /// Ends the process, if any, and removes its jail, cgroup and sockets. Unknown means already gone.
    ///
    /// # Errors
    /// [`Error`] when something is left.
    fn kill(&self, vm: VmId) -> impl Future<Output = Result<(), Error>> + Send;

    /// Opens the byte stream to the guest's agent. One at a time.
    ///
    /// # Errors
    /// [`Error`] when the guest does not answer yet; try again until the boot deadline.
    fn channel(&self, vm: VmId) -> impl Future<Output = Result<Channel, Error>> + Send;

    /// What is there: microVMs with a process, and microVMs with anything at all.
    ///
    /// # Errors
    /// [`Error`] when the answer cannot be known.
    fn inventory(&self) -> impl Future<Output = Result<Inventory, Error>> + Send;
}

/// The byte stream to an agent.
pub type Channel = tokio::net::UnixStream;

/// What a VMM knows to be there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    /// Their process runs.
    pub alive: std::collections::BTreeSet<VmId>,
    /// Anything of them is left, running or not.
    pub present: std::collections::BTreeSet<VmId>,
}

/// All a VMM needs to start one microVM. It owns no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// Its id: names the jail, the cgroup, the sockets.
    pub vm: VmId,
    /// Its slot: gives uid, gid, CID.
    pub slot: Slot,
    /// vCPUs and memory.
    pub shape: Resources,
    /// The kernel, read only.
    pub kernel: PathBuf,
    /// The initramfs that holds the agent, read only.
    pub initramfs: PathBuf,
    /// In this order: vda, vdb, vdc.
    pub drives: Vec<Drive>,
    /// How much of each.
    pub disk_rate: DiskRate,
    /// Where its network is; `None` boots without one.
    pub nic: Option<Nic>,
    /// Where its console goes.
    pub console: Console,
}

/// One disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drive {
    /// The image file on the host.
    pub path: PathBuf,
    /// A read-only file is shared, root-owned 0444; a writable one belongs to this microVM alone.
    pub writable: bool,
}

/// How much a guest may have of each of its disks, both ways together. The VMM counts it, so it holds on every host,
/// whatever its control groups and its file system can do. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskRate {
    /// Bytes per second.
    pub bytes_per_second: Option<u64>,
    /// Reads and writes per second.
    pub operations_per_second: Option<u64>,
}

/// A network device that is already made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nic {
    /// The network namespace's file, `/run/netns/flint-3`.
    pub netns: PathBuf,
    /// The tap device in it.
    pub tap: String,
    /// The guest's MAC address, the same in every guest.
    pub mac: String,
}

/// Where a guest's console goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// Kept, bounded, for `flint logs --console`.
    Kept,
    /// This process's own terminal.
    Terminal,
}
