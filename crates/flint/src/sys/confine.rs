//! What a process can take from itself for good: limits, namespaces, the file system, capabilities, its user.
//!
//! Credentials and namespaces belong to a thread here, so all of it is for a process that has one thread.
#![expect(unsafe_code, reason = "system calls about a whole process, made while it has one thread")]

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{DumpableBehavior, Resource, Rlimit, Signal, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, Gid, Uid, UnshareFlags, set_capabilities, set_no_new_privs,
    set_thread_groups, set_thread_res_gid, set_thread_res_uid, unshare_unsafe,
};
use std::io;

/// How much a process may have.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open descriptors.
    pub files: u64,
    /// Bytes of address space.
    pub memory: u64,
}

/// Takes all but system calls from a process that has one thread, and says what could not be taken. `closed` is what
/// became of [`close_others`], which must come before anything is opened.
pub fn before_the_runtime(uid: u32, limits: Limits, closed: io::Result<()>) -> Vec<String> {
    let mut lost = Vec::new();
    let mut need = |what: &str, done: io::Result<()>| {
        if let Err(error) = done {
            lost.push(format!("{what} ({error})"));
        }
    };
    need("a list of descriptors that are its own", closed);
    need("a limit of memory and files", limit(limits));
    need("namespaces and a root of its own", leave_namespaces().and_then(Apart::empty_root));
    need("a user of its own without capabilities", become_nobody(uid));
    need("a seal against more rights", seal());
    lost
}

/// Closes every descriptor above standard error.
///
/// # Errors
/// When the kernel is older than 5.9.
pub fn close_others() -> io::Result<()> {
    // SAFETY: at the start of a process: nothing in it holds a descriptor above 2 yet.
    match unsafe { libc::close_range(3, libc::c_uint::MAX, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sets limits that cannot be raised again: these, no core dump, and no further process.
///
/// # Errors
/// When a limit is above the one that is set already.
pub fn limit(limits: Limits) -> io::Result<()> {
    let most = |n: u64| Rlimit { current: Some(n), maximum: Some(n) };
    setrlimit(Resource::Nofile, most(limits.files))?;
    setrlimit(Resource::As, most(limits.memory))?;
    setrlimit(Resource::Core, most(0))?;
    setrlimit(Resource::Nproc, most(0))?;
    Ok(())
}

/// No core dump is made of this process, and nobody of its user may look into it. Root may.
///
/// # Errors
/// Never on a kernel that runs Rust.
pub fn keep_memory() -> io::Result<()> {
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    // Programs that it starts inherit the limit. A pipe in `core_pattern` heeds no 0 (core(5)), and 1 is never enough.
    setrlimit(Resource::Core, Rlimit { current: Some(1), maximum: Some(1) })?;
    Ok(())
}

/// A process whose mounts are its own: nobody else's root can be taken by mistake.
#[derive(Debug)]
pub struct Apart(());

/// Leaves the mounts, the network, the IPC objects and the host name of everybody else. The new network is empty.
///
/// # Errors
/// EPERM without CAP_SYS_ADMIN.
pub fn leave_namespaces() -> io::Result<Apart> {
    let all =
        UnshareFlags::NEWNS | UnshareFlags::NEWNET | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
    // SAFETY: one thread; neither its files nor its memory are split off.
    unsafe { unshare_unsafe(all) }?;
    Ok(Apart(()))
}

impl Apart {
    /// Makes an empty, read-only file system the only one.
    ///
    /// # Errors
    /// EPERM without CAP_SYS_ADMIN.
    pub fn empty_root(self) -> io::Result<()> {
        let all = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
        rustix::mount::mount_change("/", all)?;
        // Any directory will do: it is covered for this process alone.
        let place = std::env::current_dir()?;
        let flags =
            MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::RDONLY;
        rustix::mount::mount("empty", &place, "tmpfs", flags, c"size=4k,nr_inodes=2,mode=0555")?;
        std::env::set_current_dir(&place)?;
        // The old root lies over the new one at the same place, and goes.
        rustix::process::pivot_root(".", ".")?;
        rustix::mount::unmount(".", UnmountFlags::DETACH)?;
        std::env::set_current_dir("/")
    }
}

/// Becomes a user without groups and without a single capability, now and after any exec.
///
/// # Errors
/// EPERM for anybody but root.
pub fn become_nobody(id: u32) -> io::Result<()> {
    let (uid, gid) = (Uid::from_raw(id), Gid::from_raw(id));
    drop_bounding_set()?;
    set_thread_groups(&[])?;
    set_thread_res_gid(gid, gid, gid)?;
    set_thread_res_uid(uid, uid, uid)?;
    let none = CapabilitySet::empty();
    let sets = CapabilitySets { effective: none, permitted: none, inheritable: none };
    Ok(set_capabilities(None, sets)?)
}

fn drop_bounding_set() -> io::Result<()> {
    for capability in 0.. {
        // SAFETY: numbers only.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } == 0 {
            continue;
        }
        let error = io::Error::last_os_error();
        // EINVAL: one above the last that this kernel knows.
        let end = capability > 0 && error.raw_os_error() == Some(libc::EINVAL);
        return if end { Ok(()) } else { Err(error) };
    }
    Ok(())
}

/// No program that is started gains rights, nobody of the same user may look into this process, and it ends with
/// the thread that started it. After the user has changed, which takes the latter back.
///
/// # Errors
/// Never on a kernel that runs Rust.
pub fn seal() -> io::Result<()> {
    set_no_new_privs(true)?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    Ok(())
}
