//! Which kernel modules the agent loads before there is a root, and in which order.

use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::Path;

/// What a guest needs to find its disks, network and host. Some kernels have part of it built in.
const NEEDED: [&str; 9] = [
    "virtio_mmio",
    "virtio_blk",
    "ext4",
    "erofs",
    "overlay",
    "virtio_net",
    "vmw_vsock_virtio_transport",
    "virtio_console",
    "virtio_rng",
];

/// What makes a guest better where the kernel has it: PCI transport, memory given back, NAT of containers aside.
const WANTED: [&str; 2] = ["virtio_pci", "virtio_balloon"];

/// One module to load.
pub(crate) struct Module {
    /// Its file name, without compression's ending.
    pub(crate) name: String,
    /// The plain ELF file.
    pub(crate) content: Vec<u8>,
}

/// The modules of a kernel in the order to load them. `directory` is `lib/modules/<version>` with a
/// `modules.dep`.
pub(crate) fn collect(directory: &Path) -> Result<Vec<Module>> {
    let read = |name: &str| {
        let path = directory.join(name);
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    order(&read("modules.dep")?, &read("modules.builtin")?)?
        .into_iter()
        .map(|path| {
            let packed =
                fs::read(directory.join(&path)).with_context(|| format!("cannot read {path}"))?;
            let name = file_name(&path);
            let name =
                name.trim_end_matches(".xz").trim_end_matches(".zst").trim_end_matches(".gz");
            let content = unpack(&packed).with_context(|| format!("cannot unpack {path}"))?;
            Ok(Module { name: name.to_owned(), content })
        })
        .collect()
}

/// The paths to load, dependencies first.
fn order(dependencies: &str, builtin: &str) -> Result<Vec<String>> {
    let known: BTreeMap<&str, (&str, Vec<&str>)> = dependencies
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(path, needs)| (path, needs.split_whitespace().collect()))
        .map(|(path, needs)| (path, (path, needs)))
        .collect();
    let by_name: BTreeMap<String, &str> =
        known.keys().map(|path| (module_name(path), *path)).collect();
    let builtin: BTreeSet<String> = builtin.lines().map(module_name).collect();

    let mut order: Vec<String> = Vec::new();
    for name in NEEDED.iter().chain(&WANTED) {
        let Some(path) = by_name.get(*name) else {
            if NEEDED.contains(name) && !builtin.contains(*name) {
                bail!("the kernel has no {name}, neither as a module nor built in");
            }
            continue;
        };
        // modules.dep lists all that a module needs, the deepest last.
        let (_, needs) = &known[path];
        for path in needs.iter().rev().chain([path]) {
            if !order.iter().any(|loaded| loaded == path) {
                order.push((*path).to_owned());
            }
        }
    }
    Ok(order)
}

/// `kernel/drivers/char/hw_random/virtio-rng.ko.xz` is `virtio_rng`.
fn module_name(path: &str) -> String {
    let name = file_name(path);
    name.split_once(".ko").map_or(name, |(name, _)| name).replace('-', "_")
}

fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>> {
    let mut plain = Vec::new();
    match packed {
        [0x7f, b'E', b'L', b'F', ..] => plain.extend_from_slice(packed),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            liblzma::read::XzDecoder::new(packed).read_to_end(&mut plain)?;
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => plain = zstd::stream::decode_all(packed)?,
        [0x1f, 0x8b, ..] => {
            flate2::read::GzDecoder::new(packed).read_to_end(&mut plain)?;
        }
        _ => bail!("unknown compression"),
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::{NEEDED, module_name, order};

    /// All needed modules built in, but for those named.
    fn builtin_but(names: &[&str]) -> String {
        let built_in = NEEDED.iter().filter(|name| !names.contains(name));
        built_in.map(|name| format!("kernel/x/{name}.ko\n")).collect()
    }

    #[test]
    fn what_a_module_needs_is_loaded_before_it_and_once() {
        let dependencies = "k/virtio_ring.ko:\nk/virtio.ko: k/virtio_ring.ko\n\
            k/virtio_mmio.ko: k/virtio.ko k/virtio_ring.ko\n\
            k/virtio_blk.ko.xz: k/virtio.ko k/virtio_ring.ko\nk/other.ko:\n";
        let order = order(dependencies, &builtin_but(&["virtio_mmio", "virtio_blk"])).unwrap();
        let expected =
            ["k/virtio_ring.ko", "k/virtio.ko", "k/virtio_mmio.ko", "k/virtio_blk.ko.xz"];
        assert_eq!(order, expected);
    }

    #[test]
    fn a_kernel_without_overlay_is_refused_and_one_without_a_balloon_is_not() {
        assert!(order("", &builtin_but(&["overlay"])).is_err());
        assert!(order("", &builtin_but(&[])).unwrap().is_empty());
    }

    #[test]
    fn dashes_and_endings_are_no_part_of_a_name() {
        assert_eq!(module_name("kernel/drivers/virtio-rng.ko.zst"), "virtio_rng");
    }
}
