//! Directories and files that are handed to another user, made so that this user cannot reach further.

use rustix::fs::{CWD, FileType, Mode, OFlags};
use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Makes a directory of mode 0700 that belongs to a user, with its parents, which stay ours.
///
/// # Errors
/// What the kernel said.
pub fn directory_for(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o700))?;
    std::os::unix::fs::chown(path, Some(uid), Some(gid))
}

/// Puts a shared, read-only file at `to` as a hard link, readable for everyone and writable for nobody.
///
/// A link shares owner and mode with the original; a file that another user could write is therefore made ours,
/// mode 0444, first: one guest's disk is every guest's disk. Over a file system's border a link cannot go: the file
/// is copied once into `store` and linked from there. Says whether it was.
///
/// # Errors
/// What the kernel said.
pub fn share(from: &Path, to: &Path, store: &Path) -> io::Result<bool> {
    let from = from.canonicalize()?;
    seal(&from)?;
    match fs::hard_link(&from, to) {
        Err(e) if e.kind() == io::ErrorKind::CrossesDevices => {}
        linked => return linked.map(|()| false),
    }
    let meta = from.metadata()?;
    let key = format!("{}-{}-{}.{}", meta.dev(), meta.ino(), meta.mtime(), meta.mtime_nsec());
    let copy = store.join(key);
    if !copy.exists() {
        fs::create_dir_all(store)?;
        let part = copy.with_extension("part");
        fs::copy(&from, &part)?;
        seal(&part)?;
        fs::rename(&part, &copy)?;
    }
    fs::hard_link(&copy, to).map(|()| true)
}

fn seal(path: &Path) -> io::Result<()> {
    let meta = path.metadata()?;
    let sealed = meta.mode() & 0o777 == 0o444;
    if sealed && meta.uid() == 0 {
        return Ok(());
    }
    // Only root can be another user's file's new owner; without root there is one user and nothing to seal against.
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(path, Some(0), Some(0))?;
    }
    if sealed { Ok(()) } else { fs::set_permissions(path, Permissions::from_mode(0o444)) }
}

/// Puts a private file at `to` as a hard link that belongs to a user alone, mode 0600.
///
/// # Errors
/// What the kernel said; another device when `from` lies on another file system.
pub fn give(from: &Path, to: &Path, uid: u32, gid: u32) -> io::Result<()> {
    std::os::unix::fs::chown(from, Some(uid), Some(gid))?;
    fs::set_permissions(from, Permissions::from_mode(0o600))?;
    fs::hard_link(from, to)
}

/// Makes a FIFO of mode 0600 that belongs to a user.
///
/// # Errors
/// What the kernel said.
pub fn fifo_for(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    rustix::fs::mkfifoat(CWD, path, Mode::RUSR | Mode::WUSR)?;
    std::os::unix::fs::chown(path, Some(uid), Some(gid))
}

/// Makes an empty file of mode 0600 that belongs to a user.
///
/// # Errors
/// What the kernel said.
pub fn file_for(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    File::options().write(true).create_new(true).open(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    std::os::unix::fs::chown(path, Some(uid), Some(gid))
}

/// Opens a FIFO in a stranger's directory for reading, never anything else in its place. It is opened for writing
/// too, so that it has no end while nobody writes.
///
/// # Errors
/// What the kernel said.
pub fn open_fifo(path: &Path) -> io::Result<File> {
    open_as(path, FileType::Fifo, OFlags::RDWR)
}

/// Reads a regular file in a stranger's directory, never anything else in its place, at most `most` bytes.
///
/// # Errors
/// What the kernel said.
pub fn read_file(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_as(path, FileType::RegularFile, OFlags::RDONLY)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn open_as(path: &Path, kind: FileType, access: OFlags) -> io::Result<File> {
    // Not blocking: a FIFO put in a file's place must not hold us.
    let flags = access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty())?;
    if FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) != kind {
        let text = format!("`{}` is not what was put there", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    Ok(fd.into())
}

/// The first part of this path, from its end, that others than root (or this process's user) can write or replace;
/// what is not there yet is passed over. A sticky directory such as `/tmp` lets nobody replace another's entries.
///
/// # Errors
/// When the rights of a part cannot be read.
pub fn writable_by_others(path: &Path) -> io::Result<Option<PathBuf>> {
    let me = rustix::process::geteuid().as_raw();
    let there = path.ancestors().find(|part| part.exists()).unwrap_or(Path::new("/"));
    for part in there.canonicalize()?.ancestors() {
        let meta = fs::symlink_metadata(part)?;
        let foreign = meta.uid() != 0 && meta.uid() != me;
        let sticky = meta.is_dir() && meta.mode() & 0o1000 != 0;
        let group = meta.mode() & 0o020 != 0 && meta.gid() != 0;
        if foreign || !sticky && (group || meta.mode() & 0o002 != 0) {
            return Ok(Some(part.to_owned()));
        }
    }
    Ok(None)
}

/// Removes a file or a whole directory. Not there is no error.
///
/// # Errors
/// What the kernel said.
pub fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(e) => Err(e),
    };
    match removed {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// The entries of a directory; none when it does not exist.
///
/// # Errors
/// What the kernel said.
pub fn entries(path: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read?.map(|entry| Ok(entry?.path())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_file_can_be_read_by_everyone_and_written_by_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("base"), dir.path().join("vda"));
        fs::write(&from, "disk").unwrap();
        fs::set_permissions(&from, Permissions::from_mode(0o666)).unwrap();
        assert!(!share(&from, &to, dir.path()).unwrap());
        let meta = to.metadata().unwrap();
        assert_eq!((meta.mode() & 0o777, meta.ino()), (0o444, from.metadata().unwrap().ino()));
    }

    #[test]
    fn what_was_put_in_the_place_of_a_file_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let (link, fifo) = (dir.path().join("link"), dir.path().join("fifo"));
        std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
        rustix::fs::mkfifoat(CWD, &fifo, Mode::RUSR).unwrap();
        assert!(read_file(&link, 100).is_err());
        assert!(read_file(&fifo, 100).is_err());
    }

    #[test]
    fn a_file_and_each_directory_above_it_must_be_closed_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let (inner, file) = (dir.path().join("bin"), dir.path().join("bin/program"));
        let mode =
            |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        fs::create_dir(&inner).unwrap();
        fs::write(&file, "").unwrap();
        assert_eq!(writable_by_others(&file).unwrap(), None);
        mode(&inner, 0o757);
        assert_eq!(writable_by_others(&file).unwrap(), Some(inner.canonicalize().unwrap()));
        assert_eq!(
            writable_by_others(&inner.join("later")).unwrap(),
            Some(inner.canonicalize().unwrap())
        );
        mode(&inner, 0o1757);
        assert_eq!(writable_by_others(&file).unwrap(), None, "sticky");
        mode(&file, 0o646);
        assert_eq!(writable_by_others(&file).unwrap(), Some(file.canonicalize().unwrap()));
    }

    #[test]
    fn removing_what_is_not_there_is_fine() {
        let dir = tempfile::tempdir().unwrap();
        remove(&dir.path().join("a/b/c")).unwrap();
        assert!(entries(&dir.path().join("x")).unwrap().is_empty());
    }
}
