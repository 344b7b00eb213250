//! A file that only one process locks at a time. The kernel takes the lock back, however the process ends.
//!
//! Who ends well removes the file while the lock is held, and whoever gets the lock looks whether the file is still
//! the one of that name: so there are never two locked files of one name.

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The lock, for as long as this is held.
#[derive(Debug)]
pub struct Alone {
    _file: File,
    path: PathBuf,
}

/// What became of the wish to be alone.
#[derive(Debug)]
pub enum Taken {
    /// We are.
    Ours(Alone),
    /// Another process is; its number, where it could write it down.
    Others(Option<u32>),
}

/// Takes the lock. The file's directory must be one where only we may write.
///
/// # Errors
/// When the file cannot be used; a symbolic link is never followed.
pub fn take(path: &Path) -> io::Result<Taken> {
    loop {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(Taken::Others(written(&mut file))),
            Err(errno) => return Err(errno.into()),
        }
        if !is_still(&file, path)? {
            continue;
        }
        // The lock holds without the number: a full disk must not keep us from starting.
        let _told = write(&mut file);
        return Ok(Taken::Ours(Alone { _file: file, path: path.to_owned() }));
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        // One that stays says nothing without the lock.
        let _removed = fs::remove_file(&self.path);
    }
}

fn is_still(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (ours.dev(), ours.ino())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn written(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_file_has_one_owner_at_a_time_who_is_named_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = take(&path).unwrap();
        assert!(matches!(first, Taken::Ours(_)), "{first:?}");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let second = take(&path).unwrap();
        assert!(matches!(second, Taken::Others(Some(pid)) if pid == std::process::id()));
        drop(first);
        assert!(!path.exists());
        assert!(matches!(take(&path).unwrap(), Taken::Ours(_)));
    }

    #[test]
    fn what_a_killed_owner_left_is_in_nobodys_way() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        fs::write(&path, "4194304\n").unwrap();
        let taken = take(&path).unwrap();
        assert!(matches!(taken, Taken::Ours(_)), "{taken:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
    }

    #[test]
    fn a_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("lock"), dir.path().join("other"));
        fs::write(&other, "kept").unwrap();
        symlink(&other, &path).unwrap();
        assert!(take(&path).is_err());
        assert_eq!(fs::read_to_string(&other).unwrap(), "kept");
    }
}
