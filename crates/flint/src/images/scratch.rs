//! Scratch disks: one empty ext4 per size is made once, each microVM's is a sparse copy of it.

use super::Error;
use crate::sys::{fs as files, program};
use flint_core::id::VmId;
use flint_core::units::MiB;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Goes up when the options of [`MKFS`] change: templates of another layout are not taken.
const LAYOUT: u32 = 1;

/// No journal: a scratch disk dies with its microVM. No reserved blocks: its only user is not root's rival. No room
/// to grow: it cost 4 MiB of each copy. Inode tables count as zeroed, because `mkfs.ext4` punches the whole file
/// first; with lazy tables each guest would write zeroes over them (320 MiB of 20 GiB) and the file would fill up.
const MKFS: [&str; 8] = [
    "-q",
    "-F",
    "-m0",
    "-O^has_journal,^resize_inode",
    "-Elazy_itable_init=0",
    "-Lscratch",
    "-t",
    "ext4",
];

/// The folder of scratch disks.
#[derive(Clone, Debug)]
pub(super) struct Scratch {
    folder: PathBuf,
}

impl Scratch {
    pub(super) fn in_folder(folder: PathBuf) -> Self {
        Scratch { folder }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where a microVM's scratch disk is.
    pub(super) fn path(&self, vm: VmId) -> PathBuf {
        self.folder.join(format!("{vm}.ext4"))
    }

    /// Makes a microVM's scratch disk anew. One caller at a time, or two make the same template.
    pub(super) fn make(&self, vm: VmId, size: MiB) -> Result<PathBuf, Error> {
        let path = self.path(vm);
        fs::create_dir_all(&self.folder).map_err(|source| self.not_made(&path, source))?;
        let template = self.template(size)?;
        self.remove(vm)?;
        files::copy_sparse(&template, &path).map_err(|source| self.not_made(&path, source))?;
        Ok(path)
    }

    pub(super) fn remove(&self, vm: VmId) -> Result<(), Error> {
        let path = self.path(vm);
        files::remove(&path).map_err(|source| Error::Scratch { verb: "remove", path, source })
    }

    /// The microVMs that have one here.
    pub(super) fn held(&self) -> Result<BTreeSet<VmId>, Error> {
        let vm = |entry: fs::DirEntry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_suffix(".ext4")?.parse().ok()
        };
        let failed = |source| Error::Scratch { verb: "list", path: self.folder.clone(), source };
        match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(BTreeSet::new()),
            Err(source) => Err(failed(source)),
            Ok(entries) => entries
                .filter_map(|entry| entry.map(vm).transpose())
                .collect::<io::Result<_>>()
                .map_err(failed),
        }
    }

    fn template(&self, size: MiB) -> Result<PathBuf, Error> {
        let path = self.folder.join(format!("template-{LAYOUT}-{}.ext4", size.0));
        if path.exists() {
            return Ok(path);
        }
        // A daemon that died in the middle has left one; a half template must never get the real name.
        let unfinished = path.with_extension("unfinished");
        let not_made = |source| self.not_made(&path, source);
        files::remove(&unfinished).map_err(not_made)?;
        let made = File::create_new(&unfinished)
            .and_then(|file| file.set_len(size.0.saturating_mul(1 << 20)))
            .map_err(not_made)
            .and_then(|()| self.mkfs(&unfinished))
            // A power cut must not leave the real name with nothing behind it.
            .and_then(|()| {
                File::open(&unfinished).and_then(|file| file.sync_all()).map_err(not_made)
            })
            .and_then(|()| fs::rename(&unfinished, &path).map_err(not_made));
        if made.is_err() {
            // The first error is the one to tell.
            files::remove(&unfinished).ok();
        }
        made.map(|()| path)
    }

    fn mkfs(&self, path: &Path) -> Result<(), Error> {
        let mut mkfs = program::tool("mkfs.ext4");
        mkfs.args(MKFS).arg(path).stdin(Stdio::null());
        let output = mkfs.output().map_err(|source| Error::NoMkfs { source })?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if said.contains("No space left on device") || said.contains("Disk quota exceeded") {
            return Err(self.not_made(path, ErrorKind::StorageFull.into()));
        }
        Err(Error::Mkfs { path: path.to_owned(), said })
    }

    fn not_made(&self, path: &Path, source: io::Error) -> Error {
        let path = path.to_owned();
        if files::is_full(&source) {
            let free = files::free_space(&self.folder).unwrap_or_default();
            return Error::DiskFull { path, free, source };
        }
        Error::Scratch { verb: "make", path, source }
    }
}
