//! Network namespaces: named ones under `/run/netns`, and threads that work inside of one.
//!
//! A namespace belongs to a thread. A thread that entered one is never given back: everything here runs on a
//! thread of its own, or between `fork` and `exec`. Never call [`enter`] or [`enter_new`] on a runtime's worker.
#![expect(
    unsafe_code,
    reason = "`unshare` is unsafe in rustix; only the network namespace is asked for"
)]

use rustix::mount::{UnmountFlags, mount_bind, unmount};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe};
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::thread;

/// Where named namespaces lie; `ip netns` looks here too.
pub const NAMED: &str = "/run/netns";

/// The calling thread's own namespace. `/proc/self` would be the process's first thread.
const CURRENT: &str = "/proc/thread-self/ns/net";

/// The file of the namespace called `name`.
#[must_use]
pub fn path_of(name: &str) -> PathBuf {
    Path::new(NAMED).join(name)
}

/// The calling thread's namespace; it lives at least as long as the descriptor.
///
/// # Errors
/// When `/proc` is not there.
pub fn current() -> io::Result<OwnedFd> {
    File::open(CURRENT).map(OwnedFd::from)
}

/// The namespace of this file.
///
/// # Errors
/// When there is no such file.
pub fn open(path: &Path) -> io::Result<OwnedFd> {
    File::open(path).map(OwnedFd::from)
}

/// Moves the calling thread into a namespace. One system call and no allocation: fit for `pre_exec`.
///
/// # Errors
/// EINVAL when the file is no network namespace, EPERM without CAP_SYS_ADMIN.
pub fn enter(namespace: BorrowedFd<'_>) -> io::Result<()> {
    move_into_link_name_space(namespace, Some(LinkNameSpaceType::Network)).map_err(Into::into)
}

/// Runs `work` inside the namespace of this file, on a thread of its own, and waits for it.
///
/// # Errors
/// When the namespace cannot be entered, or `work` panicked.
pub fn run_in<T: Send>(path: &Path, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    let namespace = open(path)?;
    on_thread(move || {
        enter(namespace.as_fd())?;
        Ok(work())
    })
}

/// A new namespace without a name: it ends with its last thread, descriptor and device user.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN.
pub fn unnamed() -> io::Result<OwnedFd> {
    on_thread(|| {
        unshare_network()?;
        current()
    })
}

/// Moves the calling thread into a new namespace that is kept under `path`.
///
/// # Errors
/// EEXIST when the file is there, EPERM without CAP_SYS_ADMIN.
pub fn enter_new(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    OpenOptions::new().write(true).create_new(true).mode(0o444).open(path)?;
    unshare_network()?;
    mount_bind(CURRENT, path)?;
    Ok(())
}

/// Takes the name away; the namespace ends with its last user. An absent one is fine, and so is a file that was
/// left without its mount.
///
/// # Errors
/// When the name is still there afterwards.
pub fn remove(path: &Path) -> io::Result<()> {
    // EINVAL: no mount there. A namespace may be mounted more than once, so until then.
    while unmount(path, UnmountFlags::DETACH).is_ok() {}
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The names under [`NAMED`].
///
/// # Errors
/// When the directory is there and cannot be read.
pub fn names() -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(NAMED) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect()
}

/// Writes a network setting of the calling thread's namespace: `ipv4/ip_forward` is
/// `/proc/sys/net/ipv4/ip_forward`.
///
/// # Errors
/// NotFound when this kernel has no such setting.
pub fn set(setting: &str, value: &str) -> io::Result<()> {
    fs::write(Path::new("/proc/sys/net").join(setting), value)
}

/// Reads such a setting, without the newline.
///
/// # Errors
/// NotFound when this kernel has no such setting.
pub fn get(setting: &str) -> io::Result<String> {
    fs::read_to_string(Path::new("/proc/sys/net").join(setting)).map(|text| text.trim().to_owned())
}

/// The tables that the old `iptables` has loaded in the calling thread's namespace; none on a kernel without it.
#[must_use]
pub fn legacy_tables() -> Vec<String> {
    let names = fs::read_to_string("/proc/thread-self/net/ip_tables_names").unwrap_or_default();
    names.lines().map(str::to_owned).collect()
}

fn unshare_network() -> io::Result<()> {
    // SAFETY: NEWNET alone neither splits the file table nor the credentials of this thread from its process.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET) }.map_err(Into::into)
}

fn on_thread<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let ended = thread::scope(|scope| {
        let worker = thread::Builder::new().name("netns".to_owned()).spawn_scoped(scope, work)?;
        Ok::<_, io::Error>(worker.join())
    })?;
    ended.unwrap_or_else(|_| Err(io::Error::other("a thread in a network namespace panicked")))
}
