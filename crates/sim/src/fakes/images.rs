//! A fake of disks: a set of ids, and a disk that can be full.

use super::outside::Outside;
use flint::images::{Bundle, Error, Images, Source};
use flint_core::id::VmId;
use flint_core::units::MiB;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The disks of an [`Outside`].
pub struct FakeImages(pub Outside);

impl Images for FakeImages {
    async fn ensure(&self, source: &Source) -> Result<Bundle, Error> {
        let initramfs = source.kernel.with_file_name("initramfs.cpio");
        let (kernel, base) = (source.kernel.clone(), source.image.clone());
        Ok(Bundle { kernel, initramfs, base, modules: None })
    }

    async fn scratch_for(&self, vm: VmId, _size: MiB) -> Result<PathBuf, Error> {
        let mut state = self.0.lock();
        let path = PathBuf::from(format!("/nowhere/{vm}.ext4"));
        state.disks.insert(vm);
        if state.faults.disk_full {
            let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
            return Err(Error::DiskFull { path, free: 0, source });
        }
        Ok(path)
    }

    async fn drop_for(&self, vm: VmId) -> Result<(), Error> {
        self.0.lock().disks.remove(&vm);
        Ok(())
    }

    async fn held(&self) -> Result<BTreeSet<VmId>, Error> {
        Ok(self.0.lock().disks.clone())
    }
}
