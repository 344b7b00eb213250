//! A file that never grows beyond a bound: what is older moves to one `.old` beside it, what is older still goes.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// An append-only file with a bound.
#[derive(Debug)]
pub struct Bounded {
    path: PathBuf,
    file: File,
    size: u64,
    bound: u64,
}

impl Bounded {
    /// Opens or makes the file, mode 0600. File and `.old` together take at most twice `bound` bytes.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path, bound: u64) -> io::Result<Bounded> {
        let file = options().open(path)?;
        let size = file.metadata()?.len();
        Ok(Bounded { path: path.to_owned(), file, size, bound })
    }

    /// As [`Bounded::open`], without what an earlier use of the name left.
    ///
    /// # Errors
    /// When that cannot be removed, or the file not be made.
    pub fn anew(path: &Path, bound: u64) -> io::Result<Bounded> {
        for left in [old(path), path.to_owned()] {
            match fs::remove_file(left) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Bounded::open(path, bound)
    }

    /// As [`Bounded::open`], for a file of lines whose writer may have been killed in the middle of one: what stands
    /// after the last newline goes. No line is longer than `longest`.
    ///
    /// # Errors
    /// When the file cannot be opened, read or cut.
    pub fn resume(path: &Path, bound: u64, longest: u64) -> io::Result<Bounded> {
        let mut opened = Bounded::open(path, bound)?;
        let end = last(path, longest)?;
        let whole = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let cut = (end.len() - whole) as u64;
        if cut > 0 {
            opened.size -= cut;
            opened.file.set_len(opened.size)?;
        }
        Ok(opened)
    }

    /// Appends. One write may be cut in two by the bound, never lost.
    ///
    /// # Errors
    /// When the disk is full, and the like.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.size + bytes.len() as u64 > self.bound && self.size > 0 {
            fs::rename(&self.path, old(&self.path))?;
            self.file = options().open(&self.path)?;
            self.size = 0;
        }
        self.file.write_all(bytes)?;
        self.size += bytes.len() as u64;
        Ok(())
    }
}

/// The last `most` bytes of such a file; empty when there is none.
#[must_use]
pub fn tail(path: &Path, most: u64) -> Vec<u8> {
    let newest = last(path, most).unwrap_or_default();
    let rest = most.saturating_sub(newest.len() as u64);
    let mut all = if rest > 0 { last(&old(path), rest).unwrap_or_default() } else { Vec::new() };
    all.extend_from_slice(&newest);
    all
}

/// Removes the oldest files of a directory until at most `keep` are left. `.old` ones go with the rest.
///
/// # Errors
/// When the directory cannot be read. A file that is gone already is no error.
pub fn prune(dir: &Path, keep: usize) -> io::Result<()> {
    let mut files: Vec<_> = fs::read_dir(dir)?
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    files.sort();
    let surplus = files.len().saturating_sub(keep);
    for (_, path) in files.into_iter().take(surplus) {
        let _ = fs::remove_file(path);
    }
    Ok(())
}

fn options() -> fs::OpenOptions {
    let mut options = File::options();
    options.create(true).append(true).mode(0o600);
    options
}

fn old(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".old");
    name.into()
}

fn last(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A file in this directory that takes no byte, as on a full disk. It is a link, for a test may rename or remove what
/// it writes to, and the device is the machine's.
#[cfg(test)]
pub(crate) fn full(dir: &Path) -> PathBuf {
    let link = dir.join("full");
    std::os::unix::fs::symlink("/dev/full", &link).expect("a directory of the test's own");
    link
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_leaves_its_end_and_at_most_twice_the_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut file = Bounded::open(&path, 1000).unwrap();
        for n in 0..1000 {
            file.append(format!("line {n}\n").as_bytes()).unwrap();
        }
        let sizes = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().metadata().unwrap().len());
        assert!(sizes.sum::<u64>() <= 2000);
        let end = String::from_utf8(tail(&path, 1200)).unwrap();
        assert!(end.ends_with("line 998\nline 999\n"), "{end}");
        assert_eq!(end.len(), 1200);
    }

    #[test]
    fn pruning_keeps_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        for (age, name) in ["new", "mid", "old"].iter().enumerate() {
            let file = File::create(dir.path().join(name)).unwrap();
            let then =
                std::time::SystemTime::now() - std::time::Duration::from_secs(age as u64 * 60);
            file.set_modified(then).unwrap();
        }
        prune(dir.path(), 2).unwrap();
        assert!(dir.path().join("new").exists() && !dir.path().join("old").exists());
    }
}
