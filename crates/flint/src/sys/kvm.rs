//! Whether `/dev/kvm` is there and makes an empty machine. That it runs a kernel only a boot can show.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// `_IO(0xAE, 0x00)` and `_IO(0xAE, 0x01)` of linux/kvm.h.
const KVM_GET_API_VERSION: libc::Ioctl = 0xAE00;
const KVM_CREATE_VM: libc::Ioctl = 0xAE01;

/// Opens `/dev/kvm` and makes an empty machine.
///
/// # Errors
/// What the kernel said; no such file when the host has none.
pub fn probe() -> io::Result<()> {
    let device = File::options().read(true).write(true).open("/dev/kvm")?;
    if ioctl(&device, KVM_GET_API_VERSION)? != 12 {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "KVM speaks another version than 12",
        ));
    }
    let machine = ioctl(&device, KVM_CREATE_VM)?;
    #[expect(unsafe_code, reason = "the call gives a new descriptor as a number")]
    // SAFETY: the number is a new descriptor that nobody else owns.
    drop(unsafe { OwnedFd::from_raw_fd(machine) });
    Ok(())
}

/// The group that may open `/dev/kvm`, when a group may.
#[must_use]
pub fn group() -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    let meta = std::fs::metadata("/dev/kvm").ok()?;
    (meta.mode() & 0o060 == 0o060).then(|| meta.gid())
}

#[expect(unsafe_code, reason = "KVM has no safe wrapper in our dependencies")]
fn ioctl(device: &File, request: libc::Ioctl) -> io::Result<i32> {
    // SAFETY: both requests take a number (0: the default machine type) and touch no memory of ours.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), request, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
