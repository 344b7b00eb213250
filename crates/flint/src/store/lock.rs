//! One daemon per state directory: a lock that the kernel drops when its holder dies, however it dies.

use super::error::Error;
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The held lock.
#[derive(Debug)]
pub(super) struct Lock {
    /// Kept open: closing it gives the lock up. The file itself stays, so that no two files of one name are locked.
    _file: File,
}

impl Lock {
    /// Takes the lock and writes this process's number into the file if it can, for the error of the next one who tries.
    ///
    /// # Errors
    /// [`Error::Held`] when another process has it, [`Error::Lock`] when the file cannot be used.
    pub(super) fn take(path: &Path) -> Result<Self, Error> {
        let failed = |source: io::Error| Error::Lock { path: path.to_owned(), source };
        let mut file = open(path).map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(Error::Held { path: path.to_owned(), pid: written_pid(&mut file) });
            }
            Err(errno) => return Err(failed(errno.into())),
        }
        // The lock holds without the number: a full disk must not keep a daemon from starting.
        drop(write_pid(&mut file));
        Ok(Lock { _file: file })
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn written_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}
