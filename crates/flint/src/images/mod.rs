//! Disks: a read-only base shared by all microVMs, one sparse scratch disk each.
//!
//! The way in is [`LocalImages`]. Owner and mode of a scratch disk are whoever's who jails the VMM; here it is
//! root's alone.

use flint_core::id::VmId;
use flint_core::units::MiB;
use std::collections::BTreeSet;
use std::path::PathBuf;

mod bundle;
pub mod error;
mod kind;
mod local;
pub mod runner;
mod scratch;
#[cfg(test)]
mod tests;

pub use bundle::Advice;
pub use error::Error;
pub use kind::Kind;
pub use local::LocalImages;

/// The seam to a host's disks.
pub trait Images: Send + Sync + 'static {
    /// Makes sure that a kernel and a base image are there and are what they say.
    ///
    /// # Errors
    /// [`Error`], naming the file, the cause and the fix.
    fn ensure(&self, source: &Source) -> impl Future<Output = Result<Bundle, Error>> + Send;

    /// Makes a microVM's scratch disk of this size, anew. O(1) in the size of any image.
    ///
    /// # Errors
    /// [`Error`], disk full among them; something may be left, which `drop_for` removes.
    fn scratch_for(
        &self,
        vm: VmId,
        size: MiB,
    ) -> impl Future<Output = Result<PathBuf, Error>> + Send;

    /// Removes it. Unknown means already gone.
    ///
    /// # Errors
    /// [`Error`] when something is left.
    fn drop_for(&self, vm: VmId) -> impl Future<Output = Result<(), Error>> + Send;

    /// The microVMs whose scratch disk is there.
    ///
    /// # Errors
    /// [`Error`] when the answer cannot be known.
    fn held(&self) -> impl Future<Output = Result<BTreeSet<VmId>, Error>> + Send;
}

/// What a profile names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The kernel: an ELF `vmlinux` (or bzImage). Its initramfs and modules lie beside it.
    pub kernel: PathBuf,
    /// The base image: ext4 or EROFS.
    pub image: PathBuf,
}

/// Files that are there and have been looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The kernel.
    pub kernel: PathBuf,
    /// The initramfs with the agent: `initramfs.cpio` beside the kernel.
    pub initramfs: PathBuf,
    /// The base image.
    pub base: PathBuf,
    /// The kernel's modules for jobs, `modules.ext4` beside the kernel, if any.
    pub modules: Option<PathBuf>,
}

/// What the configuration says about disks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Scratch disks lie in its folder `scratch`.
    pub state_dir: PathBuf,
}
