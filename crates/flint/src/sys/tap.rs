//! Tap devices: make one that outlives its maker, open one that is there.
//!
//! The ioctls are `linux/if_tun.h`'s. Both functions act in the calling thread's network namespace.
#![expect(unsafe_code, reason = "TUNSETIFF and its siblings have no safe wrapper in rustix")]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;

/// `_IOW('T', 202, int)`.
const TUNSETIFF: libc::Ioctl = 0x4004_54ca;
/// `_IOW('T', 203, int)`.
const TUNSETPERSIST: libc::Ioctl = 0x4004_54cb;
/// `_IOW('T', 204, int)`.
const TUNSETOWNER: libc::Ioctl = 0x4004_54cc;

/// Whether frames carry a `virtio_net_hdr` in front. Whoever opens the tap decides; it is no property of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VnetHeader {
    /// Plain Ethernet frames.
    No,
    /// What QEMU and other virtio back ends want: offloads pass through.
    Yes,
}

/// Makes a tap that stays when nobody has it open, and that only `owner` (and root) may open. It is down.
///
/// # Errors
/// EEXIST-like refusals of the kernel, EPERM without CAP_NET_ADMIN, NotFound without the tun module.
pub fn create(name: &str, owner: u32) -> io::Result<()> {
    let tap = open(name, VnetHeader::No)?;
    // SAFETY: TUNSETOWNER takes a uid by value.
    check(unsafe { libc::ioctl(tap.as_raw_fd(), TUNSETOWNER, libc::c_ulong::from(owner)) })?;
    // SAFETY: TUNSETPERSIST takes a flag by value.
    check(unsafe { libc::ioctl(tap.as_raw_fd(), TUNSETPERSIST, 1 as libc::c_ulong) })
}

/// Opens a tap, blocking, close-on-exec: one read is one frame. Root that names an absent tap makes one that ends
/// with the file.
///
/// # Errors
/// EBUSY while somebody else has it open, EPERM for another user than its owner.
pub fn open(name: &str, header: VnetHeader) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_CLOEXEC)
        .open("/dev/net/tun")?;
    let flags = libc::IFF_TAP
        | libc::IFF_NO_PI
        | match header {
            VnetHeader::No => 0,
            VnetHeader::Yes => libc::IFF_VNET_HDR,
        };
    let request = request(name, flags)?;
    // SAFETY: `request` is a valid `ifreq` that outlives the call.
    check(unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, &raw const request) })?;
    Ok(file)
}

fn request(name: &str, flags: libc::c_int) -> io::Result<libc::ifreq> {
    // SAFETY: `ifreq` is plain data; all zeroes is a value of it.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // The last byte stays zero: the name ends there.
    if name.is_empty() || name.len() >= request.ifr_name.len() || !name.is_ascii() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "an interface name has 1 to 15 ASCII characters",
        ));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags).map_err(io::Error::other)?;
    Ok(request)
}

fn check(returned: libc::c_int) -> io::Result<()> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
