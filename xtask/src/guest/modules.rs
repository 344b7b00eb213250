//! The kernel modules that a guest needs before it has a disk.

use super::run::run;
use super::vmlinux::unpack;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the agent loads first: devices, file systems, the network, the channel, randomness.
///
/// A name that the kernel has built in, or does not know, is left out.
const WANTED: [&str; 12] = [
    "virtio_mmio",
    "virtio_pci",
    "virtio_blk",
    "virtio_console",
    "ext4",
    "erofs",
    "overlay",
    "virtio_net",
    "vmw_vsock_virtio_transport",
    "virtio_rng",
    "virtio_balloon",
    "af_packet",
];

/// One module, uncompressed.
pub(super) struct Module {
    /// `virtio_blk.ko`.
    pub(super) name: String,
    /// The ELF object.
    pub(super) content: Vec<u8>,
}

/// Where the modules of the one kernel under `root` lie.
pub(super) fn folder(root: &Path) -> Result<PathBuf> {
    let at = ["lib/modules", "usr/lib/modules"].map(|folder| root.join(folder));
    let folders = at.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    let folder = folders.map(|entry| entry.path()).find(|path| path.join("kernel").is_dir());
    folder.with_context(|| format!("no modules are under `{}`", root.display()))
}

/// The wanted modules and what they depend on, in the order to load them.
pub(super) fn boot_modules(folder: &Path) -> Result<Vec<Module>> {
    let depends = depends(folder)?;
    let mut order: Vec<&str> = Vec::new();
    for wanted in WANTED {
        let found = depends.keys().find(|path| module_name(path) == wanted);
        found.into_iter().for_each(|path| visit(path, &depends, &mut order));
    }
    order.into_iter().map(|path| read(folder, path)).collect()
}

/// Depth first: whatever a module needs comes before it.
fn visit<'a>(path: &'a str, depends: &'a BTreeMap<String, Vec<String>>, order: &mut Vec<&'a str>) {
    if order.contains(&path) {
        return;
    }
    for needed in depends.get(path).into_iter().flatten() {
        visit(needed, depends, order);
    }
    order.push(path);
}

/// `kernel/drivers/block/virtio_blk.ko.xz` is `virtio_blk`; the kernel takes `-` for `_`.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.split(".ko").next().unwrap_or(file).replace('-', "_")
}

/// `modules.dep`: made by depmod, as the packages make it only when they are installed.
fn depends(folder: &Path) -> Result<BTreeMap<String, Vec<String>>> {
    let version = folder.file_name().context("the folder of modules has a name")?;
    let root = folder.ancestors().nth(3).context("modules lie in lib/modules/VERSION")?;
    if !folder.join("modules.dep").is_file() {
        run(Command::new("/sbin/depmod").arg("-b").arg(root).arg(version))?;
    }
    let text = fs::read_to_string(folder.join("modules.dep")).context("cannot read modules.dep")?;
    let entry = |line: &str| {
        let (path, needed) = line.split_once(':')?;
        Some((path.to_owned(), needed.split_whitespace().map(str::to_owned).collect()))
    };
    Ok(text.lines().filter_map(entry).collect())
}

fn read(folder: &Path, path: &str) -> Result<Module> {
    let packed = fs::read(folder.join(path)).with_context(|| format!("cannot read `{path}`"))?;
    let content = match packed.starts_with(b"\x7fELF") {
        true => packed,
        false => unpack(&packed).with_context(|| format!("cannot unpack `{path}`"))?,
    };
    Ok(Module { name: format!("{}.ko", module_name(path)), content })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_needs_comes_before_it_and_once() {
        let dep = |path: &str, needs: &[&str]| {
            (path.to_owned(), needs.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>())
        };
        let depends = BTreeMap::from([
            dep("a/virtio_blk.ko", &["a/virtio_ring.ko", "a/virtio.ko"]),
            dep("a/virtio_ring.ko", &[]),
            dep("a/virtio.ko", &["a/virtio_ring.ko"]),
        ]);
        let mut order = Vec::new();
        visit("a/virtio_blk.ko", &depends, &mut order);
        visit("a/virtio.ko", &depends, &mut order);
        assert_eq!(order, ["a/virtio_ring.ko", "a/virtio.ko", "a/virtio_blk.ko"]);
    }

    #[test]
    fn a_modules_name_is_the_kernels() {
        assert_eq!(module_name("kernel/drivers/char/hw_random/virtio-rng.ko.xz"), "virtio_rng");
    }
}
