//! A root directory of its own for a program that is no single file: its files in a directory, and what it needs of
//! this host's system, read-only.
//!
//! All is prepared before the fork; between fork and exec there are system calls alone.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Where a system keeps programs and libraries, and nothing that is anybody's own. What is a link here is one there.
const SYSTEM: [&str; 8] = [
    "/usr",
    "/bin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    // Where the loader looks for libraries; without it only in its built-in places.
    "/etc/ld.so.cache",
];

/// A directory that becomes the root, with what is seen in it.
#[derive(Debug)]
pub struct Root {
    place: CString,
    seen: Vec<Seen>,
}

/// One file or directory of the host, and where it is seen.
#[derive(Debug)]
struct Seen {
    from: CString,
    to: CString,
    flags: libc::c_ulong,
}

impl Root {
    /// Makes `place` a root in which `program` can run: the system's files, read-only, and the program's own where it
    /// lies elsewhere. Empty directories and links are made in `place`; its other contents stay as they are.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn of(place: &Path, program: &Path) -> io::Result<Root> {
        let mut root = Root { place: c_string(place)?, seen: Vec::new() };
        for part in SYSTEM {
            root.see(place, Path::new(part))?;
        }
        root.see_too(place, &home(&program.canonicalize()?))?;
        Ok(root)
    }

    /// Lets it see another file or directory, unless it does already. One that is not there is left out.
    ///
    /// # Errors
    /// What the kernel said.
    pub fn see_too(&mut self, place: &Path, path: &Path) -> io::Result<()> {
        let covered = SYSTEM.iter().any(|part| path.starts_with(part));
        if covered { Ok(()) } else { self.see(place, path) }
    }

    /// Lets it open a device, by the rights that the device's file has.
    ///
    /// # Errors
    /// What the kernel said; a device that is not there is one too.
    pub fn device(&mut self, place: &Path, path: &Path) -> io::Result<()> {
        let to = below(place, path);
        make_parent(&to)?;
        fs::File::create(&to)?;
        self.add(path, &to, libc::MS_NOSUID | libc::MS_NOEXEC)
    }

    fn see(&mut self, place: &Path, path: &Path) -> io::Result<()> {
        let to = below(place, path);
        let Ok(kind) = fs::symlink_metadata(path).map(|meta| meta.file_type()) else {
            return Ok(());
        };
        make_parent(&to)?;
        if kind.is_symlink() {
            return std::os::unix::fs::symlink(fs::read_link(path)?, &to);
        }
        match kind.is_dir() {
            true => fs::create_dir_all(&to)?,
            false => drop(fs::File::create(&to)?),
        }
        self.add(path, &to, libc::MS_NOSUID | libc::MS_NODEV)
    }

    fn add(&mut self, from: &Path, to: &Path, flags: libc::c_ulong) -> io::Result<()> {
        let flags = flags | libc::MS_BIND | libc::MS_REMOUNT | libc::MS_RDONLY;
        self.seen.push(Seen { from: c_string(from)?, to: c_string(to)?, flags });
        Ok(())
    }

    /// Enters it, for good, in mounts, IPC objects and a host name that are nobody else's. For a child between fork and
    /// exec: makes system calls only.
    ///
    /// # Errors
    /// EPERM without CAP_SYS_ADMIN; the process must then end.
    #[expect(unsafe_code, reason = "plain system calls between fork and exec")]
    pub(super) fn enter(&self) -> io::Result<()> {
        let nothing: *const libc::c_char = std::ptr::null();
        let here = c".".as_ptr();
        let mount = |from: *const libc::c_char, to: *const libc::c_char, flags| {
            // SAFETY: C strings or null where the flags allow it.
            check(unsafe { libc::mount(from, to, nothing.cast(), flags, nothing.cast()) })
        };
        // SAFETY: no memory is involved; the child has one thread.
        check(unsafe {
            libc::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS)
        })?;
        // First of all: what is mounted from here on is mounted for nobody else.
        mount(nothing, c"/".as_ptr(), libc::MS_REC | libc::MS_PRIVATE)?;
        mount(self.place.as_ptr(), self.place.as_ptr(), libc::MS_BIND)?;
        for seen in &self.seen {
            mount(seen.from.as_ptr(), seen.to.as_ptr(), libc::MS_BIND)?;
            mount(nothing, seen.to.as_ptr(), seen.flags)?;
        }
        // SAFETY: C strings. The old root lies over the new one at the same place, and goes.
        unsafe {
            check(libc::chdir(self.place.as_ptr()))?;
            let moved = libc::syscall(libc::SYS_pivot_root, here, here);
            check(if moved == 0 { 0 } else { -1 })?;
            check(libc::umount2(here, libc::MNT_DETACH))?;
            check(libc::chdir(c"/".as_ptr()))?;
        }
        Ok(())
    }
}

/// The directory that holds a program with its libraries: `/opt/qemu` of `/opt/qemu/bin/qemu`. Never `/`.
fn home(program: &Path) -> PathBuf {
    let dir = program.parent().unwrap_or(program);
    let is_bin = dir.file_name().is_some_and(|name| name == "bin" || name == "libexec");
    let above = dir.parent().filter(|above| is_bin && above.parent().is_some());
    above.unwrap_or(dir).to_owned()
}

fn below(place: &Path, path: &Path) -> PathBuf {
    let names = path.components().filter(|part| matches!(part, Component::Normal(_)));
    names.fold(place.to_owned(), |place, part| place.join(part))
}

fn make_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

fn c_string(path: &Path) -> io::Result<CString> {
    let text = || format!("`{}` has a zero byte in it", path.display());
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, text()))
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_programs_home_is_never_the_root_of_the_host() {
        let home = |program: &str| home(Path::new(program)).display().to_string();
        assert_eq!(home("/opt/qemu/bin/qemu-system-x86_64"), "/opt/qemu");
        assert_eq!(home("/opt/qemu/build/qemu-system-x86_64"), "/opt/qemu/build");
        assert_eq!(home("/bin/qemu"), "/bin");
    }

    #[test]
    fn what_is_a_link_here_is_one_there_and_what_is_missing_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let (place, other) = (dir.path().join("root"), dir.path().join("other"));
        fs::create_dir_all(&other).unwrap();
        std::os::unix::fs::symlink("other", dir.path().join("link")).unwrap();
        let mut root = Root { place: c_string(&place).unwrap(), seen: Vec::new() };
        for name in ["other", "link", "missing"] {
            root.see_too(&place, &dir.path().join(name)).unwrap();
        }
        assert_eq!(root.seen.len(), 1, "{root:?}");
        let there = below(&place, dir.path());
        assert_eq!(fs::read_link(there.join("link")).unwrap(), Path::new("other"));
        assert!(there.join("other").is_dir() && !there.join("missing").exists());
    }
}
