//! The disks of this host: the real [`Images`].

use super::bundle::Seen;
use super::scratch::Scratch;
use super::{Bundle, Error, Images, Options, Source};
use crate::sys::fs as files;
use flint_core::id::VmId;
use flint_core::units::MiB;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

/// Disks as files under the state directory.
#[derive(Clone, Debug)]
pub struct LocalImages {
    scratch: Scratch,
    seen: Arc<Seen>,
    /// One change at a time, in the order of asking: the first disk of a size makes the template, and an order that
    /// was given up may still run. A copy takes a millisecond.
    changing: Arc<Mutex<()>>,
}

impl LocalImages {
    /// Touches nothing yet.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        let scratch = Scratch::in_folder(options.state_dir.join("scratch"));
        LocalImages { scratch, seen: Arc::default(), changing: Arc::default() }
    }

    /// Where a microVM's scratch disk is or would be.
    #[must_use]
    pub fn scratch_path(&self, vm: VmId) -> PathBuf {
        self.scratch.path(vm)
    }

    /// What may still be written where scratch disks lie. The folder need not be there yet.
    ///
    /// # Errors
    /// [`Error::Scratch`] when no folder above it is there either.
    pub fn free(&self) -> Result<MiB, Error> {
        let folder = self.scratch.folder();
        let there = folder.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
        let failed = |source| Error::Scratch { verb: "measure", path: folder.to_owned(), source };
        files::free_space(there).map(|bytes| MiB(bytes >> 20)).map_err(failed)
    }

    async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Scratch) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let scratch = self.scratch.clone();
        let alone = self.changing.clone().lock_owned().await;
        blocking(move || {
            let _alone = alone;
            work(&scratch)
        })
        .await
    }
}

impl Images for LocalImages {
    async fn ensure(&self, source: &Source) -> Result<Bundle, Error> {
        let (seen, source) = (self.seen.clone(), source.clone());
        blocking(move || seen.bundle(&source)).await
    }

    async fn scratch_for(&self, vm: VmId, size: MiB) -> Result<PathBuf, Error> {
        self.change(move |scratch| scratch.make(vm, size)).await
    }

    async fn drop_for(&self, vm: VmId) -> Result<(), Error> {
        self.change(move |scratch| scratch.remove(vm)).await
    }

    async fn held(&self) -> Result<BTreeSet<VmId>, Error> {
        let scratch = self.scratch.clone();
        blocking(move || scratch.held()).await
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    spawn_blocking(work).await.map_err(|source| Error::Task { source })?
}
