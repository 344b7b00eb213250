//! What can be read of this machine: processors, memory, disks, switches of the kernel.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// `_IO(0xAE, 0x01)` of linux/kvm.h: makes a virtual machine, an empty one costs nothing.
const KVM_CREATE_VM: libc::c_ulong = 0xAE01;

/// A mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where.
    pub point: PathBuf,
    /// `ext4`, `tmpfs`, …
    pub kind: String,
    /// `rw`, `nodev`, `noexec`, …
    pub options: Vec<String>,
}

/// How many processors this process may use.
#[must_use]
pub fn cpus() -> u32 {
    std::thread::available_parallelism().map_or(1, |count| u32::try_from(count.get()).unwrap_or(1))
}

/// The machine's memory in MiB; 0 when `/proc` does not say.
#[must_use]
pub fn memory_mib() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    kib.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .map_or(0, |kib| kib / 1024)
}

/// The free disk in MiB, for an unprivileged user, where `path` is or would be.
#[must_use]
pub fn free_disk_mib(path: &Path) -> Option<u64> {
    let there = path.ancestors().find(|ancestor| ancestor.exists())?;
    let stat = rustix::fs::statvfs(there).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize) / (1024 * 1024))
}

/// The kernel's release, as `uname -r`.
#[must_use]
pub fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// The first line of a small file of `/proc` or `/sys`; `None` when this kernel has none.
fn setting(path: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().next().map(|line| line.trim().to_owned())
}

/// Whether equal pages of memory are merged: `0`, or `1`, or `2` (unmerge).
#[must_use]
pub fn page_merging() -> Option<String> {
    setting("/sys/kernel/mm/ksm/run")
}

/// Whether processor cores run two threads at once now: `0` or `1`.
#[must_use]
pub fn smt_active() -> Option<String> {
    setting("/sys/devices/system/cpu/smt/active")
}

/// Whether anything is swapped to.
#[must_use]
pub fn has_swap() -> bool {
    fs::read_to_string("/proc/swaps").is_ok_and(|text| text.lines().count() > 1)
}

/// The file system that `path` is or would be on.
#[must_use]
pub fn mount_of(path: &Path) -> Option<Mount> {
    let there = path.ancestors().find(|ancestor| ancestor.exists())?.canonicalize().ok()?;
    let text = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mounts = text.lines().filter_map(mount);
    // Of two mounts at one point the later one is seen.
    mounts
        .filter(|mount| there.starts_with(&mount.point))
        .max_by_key(|mount| mount.point.as_os_str().len())
}

/// `36 35 98:0 /root /point rw,nodev shared:1 - ext4 /dev/sda rw`, see proc(5).
fn mount(line: &str) -> Option<Mount> {
    let (own, rest) = line.split_once(" - ")?;
    let own: Vec<&str> = own.split(' ').collect();
    Some(Mount {
        point: PathBuf::from(own.get(4)?.replace("\\040", " ")),
        kind: rest.split(' ').next()?.to_owned(),
        options: own.get(5)?.split(',').map(str::to_owned).collect(),
    })
}

/// Opens `/dev/kvm` and makes an empty virtual machine, which is gone on return.
///
/// # Errors
/// Why the kernel does not give one.
pub fn try_kvm() -> io::Result<()> {
    let device = fs::OpenOptions::new().read(true).write(true).open("/dev/kvm")?;
    // SAFETY: the descriptor is open, and this ioctl takes a plain number (machine type 0, the default) and no pointer.
    let made = unsafe { libc::ioctl(device.as_raw_fd(), KVM_CREATE_VM, 0) };
    if made < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given this descriptor to us alone.
    drop(unsafe { OwnedFd::from_raw_fd(made) });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_is_a_mount() {
        let line = r"36 35 98:0 /a /mnt/my\040disk rw,nodev,noatime shared:1 - ext4 /dev/sda1 rw";
        let found = mount(line).expect("the line is as in the manual");
        assert_eq!(found.point, Path::new("/mnt/my disk"));
        assert_eq!(found.kind, "ext4");
        assert_eq!(found.options, ["rw", "nodev", "noatime"]);
    }

    #[test]
    fn the_root_is_on_a_file_system() {
        assert!(mount_of(Path::new("/no/such/place")).is_some());
        assert!(cpus() > 0 && memory_mib() > 0);
    }
}
