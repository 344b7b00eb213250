//! File systems: what the kernel offers, the drivers, and the root made of the image and the scratch disk.

use crate::error::{During, Error};
use rustix::fs::symlink;
use rustix::mount::{MountFlags, mount, mount_bind, mount_move};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// How long a disk may take to appear after its driver was loaded.
const DISK_PATIENCE: Duration = Duration::from_millis(500);

/// What stands under the root.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Root {
    /// The image, with the scratch disk over it.
    Image,
    /// No disk was given: the agent stays in the initramfs and can only prove that the guest boots.
    Initramfs,
}

/// Mounts what every program expects of a kernel.
pub(crate) fn mount_kernel_filesystems() -> Result<(), Error> {
    let quiet = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount_at("proc", "/proc", "proc", quiet, "")?;
    mount_at("sysfs", "/sys", "sysfs", quiet, "")?;
    mount_at("devtmpfs", "/dev", "devtmpfs", MountFlags::NOSUID, "mode=0755")?;
    mount_at("tmpfs", "/run", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, "mode=0755")?;
    mount_at(
        "devpts",
        "/dev/pts",
        "devpts",
        MountFlags::NOSUID | MountFlags::NOEXEC,
        "mode=0620,gid=5,ptmxmode=0666",
    )?;
    mount_at("tmpfs", "/dev/shm", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, "mode=1777")?;
    mount_at("cgroup2", "/sys/fs/cgroup", "cgroup2", quiet, "")?;
    // Without udev nobody else makes these, and shells need them.
    for (link, target) in [
        ("/dev/fd", "/proc/self/fd"),
        ("/dev/stdin", "/proc/self/fd/0"),
        ("/dev/stdout", "/proc/self/fd/1"),
        ("/dev/stderr", "/proc/self/fd/2"),
    ] {
        match symlink(target, link) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error).during(format!("link {link}")),
        }
    }
    Ok(())
}

/// Loads the drivers that the kernel bundle brought, in its order.
pub(crate) fn load_modules() -> Result<(), Error> {
    let order = match fs::read_to_string("/modules/order") {
        Ok(order) => order,
        // A kernel with everything built in.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).during("read /modules/order"),
    };
    for name in order.lines().filter(|name| !name.is_empty()) {
        let file =
            File::open(Path::new("/modules").join(name)).during(format!("open module {name}"))?;
        match rustix::system::finit_module(&file, c"", 0) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => return Err(error).during(format!("load module {name}")),
        }
    }
    Ok(())
}

/// Puts the root together and moves into it. From here on the initramfs is gone.
pub(crate) fn enter_root() -> Result<Root, Error> {
    if !appears("/dev/vda") {
        return Ok(Root::Initramfs);
    }
    mount_at("/dev/vda", "/base", kind_of("/dev/vda")?, MountFlags::RDONLY, "")?;
    if appears("/dev/vdb") {
        mount_at("/dev/vdb", "/scratch", "ext4", MountFlags::NOATIME, "")?;
    } else {
        // Good enough for a look inside; what a job writes then counts against its memory.
        mount_at("tmpfs", "/scratch", "tmpfs", MountFlags::NOATIME, "mode=0755")?;
    }
    make_directory("/scratch/upper")?;
    make_directory("/scratch/work")?;
    let layers = "lowerdir=/base,upperdir=/scratch/upper,workdir=/scratch/work";
    mount_at("overlay", "/root", "overlay", MountFlags::empty(), layers)?;
    bind_docker()?;
    mount_modules()?;
    for directory in ["proc", "sys", "dev", "run"] {
        make_directory(&format!("/root/{directory}"))?;
        mount_move(format!("/{directory}"), format!("/root/{directory}"))
            .during(format!("move /{directory}"))?;
    }
    switch_root()?;
    make_directory("/tmp")?;
    fs::set_permissions("/tmp", fs::Permissions::from_mode(0o1777)).during("open /tmp to all")?;
    Ok(Root::Image)
}

/// Docker's own overlay cannot stand on ours; it gets a directory of the scratch disk itself.
fn bind_docker() -> Result<(), Error> {
    make_directory("/scratch/docker")?;
    make_directory("/root/var/lib/docker")?;
    mount_bind("/scratch/docker", "/root/var/lib/docker").during("bind /var/lib/docker")
}

fn mount_modules() -> Result<(), Error> {
    if !Path::new("/dev/vdc").exists() {
        return Ok(());
    }
    make_directory("/root/lib/modules")?;
    mount_at("/dev/vdc", "/root/lib/modules", kind_of("/dev/vdc")?, MountFlags::RDONLY, "")
}

/// The initramfs cannot be unmounted: it is emptied, covered by the new root, and left.
fn switch_root() -> Result<(), Error> {
    for path in ["/modules", "/init"] {
        // The agent itself stays in memory as long as it runs.
        let path = Path::new(path);
        let gone = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        match gone {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).during(format!("empty the initramfs of {}", path.display()));
            }
            Ok(()) | Err(_) => {}
        }
    }
    std::env::set_current_dir("/root").during("enter the new root")?;
    mount_move(".", "/").during("move the new root")?;
    rustix::process::chroot(".").during("change the root")?;
    std::env::set_current_dir("/").during("enter /")
}

/// Waits a little for a block device, if the machine has any.
fn appears(device: &str) -> bool {
    let step = Duration::from_millis(10);
    let mut waited = Duration::ZERO;
    while !Path::new(device).exists() {
        if waited >= DISK_PATIENCE || !has_block_devices() {
            return false;
        }
        thread::sleep(step);
        waited += step;
    }
    true
}

/// Whether another disk may still come: virtio's number of a block device is 2.
fn has_block_devices() -> bool {
    let there = fs::read_dir("/sys/bus/virtio/devices").map_or(0, |devices| {
        devices
            .flatten()
            .filter_map(|device| fs::read_to_string(device.path().join("device")).ok())
            .filter(|number| number.trim() == "0x0002")
            .count()
    });
    let known = fs::read_dir("/sys/class/block").map_or(0, |disks| {
        disks
            .flatten()
            .filter(|disk| disk.file_name().as_encoded_bytes().starts_with(b"vd"))
            .count()
    });
    known < there
}

/// The file system on a disk, by its magic number.
fn kind_of(device: &str) -> Result<&'static str, Error> {
    let step = format!("read the superblock of {device}");
    let mut superblock = [0_u8; 1024];
    let mut file = File::open(device).during(&step)?;
    file.seek(SeekFrom::Start(1024)).during(&step)?;
    file.read_exact(&mut superblock).during(&step)?;
    recognize(&superblock)
        .ok_or_else(|| Error::refused(format!("mount {device}"), "neither ext4 nor erofs is on it"))
}

/// The file system whose superblock this is; both keep it 1024 bytes into the disk.
fn recognize(superblock: &[u8; 1024]) -> Option<&'static str> {
    if superblock[0x38..0x3a] == 0xEF53_u16.to_le_bytes() {
        Some("ext4")
    } else if superblock[..4] == 0xE0F5_E1E2_u32.to_le_bytes() {
        Some("erofs")
    } else {
        None
    }
}

fn mount_at(
    what: &str,
    at: &str,
    kind: &str,
    flags: MountFlags,
    options: &str,
) -> Result<(), Error> {
    make_directory(at)?;
    let options = std::ffi::CString::new(options).unwrap_or_default();
    mount(what, at, kind, flags, &*options).during(format!("mount {what} at {at}"))
}

fn make_directory(path: &str) -> Result<(), Error> {
    fs::create_dir_all(path).during(format!("make {path}"))
}

#[cfg(test)]
mod tests {
    use super::recognize;

    #[test]
    fn a_file_system_is_known_by_its_magic() {
        let mut ext4 = [0; 1024];
        ext4[0x38..0x3a].copy_from_slice(&[0x53, 0xef]);
        assert_eq!(recognize(&ext4), Some("ext4"));
        let mut erofs = [0; 1024];
        erofs[..4].copy_from_slice(&[0xe2, 0xe1, 0xf5, 0xe0]);
        assert_eq!(recognize(&erofs), Some("erofs"));
        assert_eq!(recognize(&[0; 1024]), None);
    }
}
