//! An archive of GitHub's runner: its sum compared, unpacked, and looked at.
//!
//! Its files are kept under numbers, so that no name of the archive is a name on this host.

use super::tar::{Header, Tar};
use super::tree::{Tree, What};
use super::{Error, kind};
use crate::images::Kind;
use crate::sys::fs as files;
use flate2::read::MultiGzDecoder;
use flint_core::runner_version::RunnerVersion;
use flint_wire::image::{LISTENER, MANIFEST, MANIFEST_MAX, runner_version};
use ring::digest::{Context, SHA256};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// This machine in the names of GitHub's archives.
pub(super) const MACHINE: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
/// The runner's has some ten thousand entries, and unpacked some hundred MiB.
const MOST_ENTRIES: usize = 200_000;
const MOST_BYTES: u64 = 4 << 30;

/// An unpacked archive.
#[derive(Debug)]
pub struct Archive {
    pub(super) tree: Tree,
    /// The version by the runner's own list.
    pub(super) version: String,
    blobs: PathBuf,
}

/// What must be so.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// Hexadecimal.
    pub(super) sha256: Option<String>,
    pub(super) version: Option<RunnerVersion>,
}

/// An archive while it is unpacked.
struct Unpacking {
    tree: Tree,
    blobs: PathBuf,
    entries: usize,
    bytes: u64,
}

impl Archive {
    /// Unpacks `path` into the folder `blobs`, which is made.
    pub(super) fn open(path: &Path, blobs: &Path, wanted: &Wanted) -> Result<Self, Error> {
        if let Some(wanted) = &wanted.sha256 {
            let is = sum(path)?;
            if !is.eq_ignore_ascii_case(wanted) {
                let (path, wanted) = (path.to_owned(), wanted.to_ascii_lowercase());
                return Err(Error::Sum { path, is, wanted });
            }
        }
        fs::create_dir(blobs).map_err(|source| not_made(blobs, source))?;
        let tree = unpack(path, blobs)?;
        let mut archive = Archive { tree, version: String::new(), blobs: blobs.to_owned() };
        archive.version = archive.runner(path)?;
        match wanted.version.filter(|wanted| archive.version.parse() != Ok(*wanted)) {
            Some(wanted) => {
                Err(bad(path, format!("it is version {}, not {wanted}", archive.version)))
            }
            None => Ok(archive),
        }
    }

    /// Where a file's bytes are.
    pub(super) fn blob(&self, number: usize) -> PathBuf {
        blob(&self.blobs, number)
    }

    /// The version of the runner that it holds, if it holds one for this machine.
    fn runner(&self, path: &Path) -> Result<String, Error> {
        let none = |file: &str| bad(path, format!("it has no {file}"));
        let (listener, _) = self.tree.file(LISTENER).ok_or_else(|| none(LISTENER))?;
        if self.tree.rights(LISTENER).is_some_and(|rights| rights & 0o111 == 0) {
            return Err(bad(path, format!("its {LISTENER} may not be run")));
        }
        match kind(&self.blob(listener))? {
            Kind::Elf => {}
            found @ Kind::ForeignElf => {
                return Err(Error::Machine { path: path.to_owned(), found });
            }
            found => return Err(bad(path, format!("its {LISTENER} is {found}, not a program"))),
        }
        let (manifest, size) = self.tree.file(MANIFEST).ok_or_else(|| none(MANIFEST))?;
        let manifest = self.blob(manifest);
        let unreadable = |source| Error::Unreadable { path: manifest.clone(), source };
        let bytes = match size {
            0..=MANIFEST_MAX => fs::read(&manifest).map_err(unreadable)?,
            _ => Vec::new(),
        };
        runner_version(&bytes).ok_or_else(|| bad(path, format!("its {MANIFEST} names no version")))
    }
}

fn unpack(path: &Path, blobs: &Path) -> Result<Tree, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    let mut tar = Tar::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 16, file)));
    let mut unpacking =
        Unpacking { tree: Tree::default(), blobs: blobs.to_owned(), entries: 0, bytes: 0 };
    while let Some(header) = tar.next().map_err(|error| damaged(path, &error))? {
        unpacking.take(path, &header, &mut tar)?;
    }
    Ok(unpacking.tree)
}

impl Unpacking {
    fn take(
        &mut self,
        path: &Path,
        header: &Header,
        tar: &mut Tar<impl Read>,
    ) -> Result<(), Error> {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(header.size);
        if self.entries > MOST_ENTRIES || self.bytes > MOST_BYTES {
            return Err(bad(path, "it is larger than any runner".to_owned()));
        }
        let what = match header.kind {
            // Of old archives: a folder is a file whose name ends so.
            0 | b'0' if header.path.ends_with(b"/") => What::Folder,
            0 | b'0' | b'7' => self.keep(path, header, tar)?,
            b'5' => What::Folder,
            b'2' => What::Link { target: String::from_utf8_lossy(&header.target).into_owned() },
            // Another name of a file before it; here it becomes a file of its own.
            b'1' => {
                let (blob, size) = self.tree.file_at(&header.target).ok_or_else(|| {
                    let target = String::from_utf8_lossy(&header.target);
                    bad(
                        path,
                        format!("it names a file that is not in it: `{}`", target.escape_debug()),
                    )
                })?;
                What::File { blob, size }
            }
            _ => {
                let name = String::from_utf8_lossy(&header.path);
                let problem = format!("`{}` is no file, folder or link", name.escape_debug());
                return Err(bad(path, problem));
            }
        };
        self.tree.add(&header.path, header.mode, what).map_err(|problem| bad(path, problem))
    }

    fn keep(&self, path: &Path, header: &Header, tar: &mut Tar<impl Read>) -> Result<What, Error> {
        let place = blob(&self.blobs, self.entries);
        let not_made = |source| not_made(&place, source);
        let file = File::options().write(true).create_new(true).mode(0o600).open(&place);
        let mut writer = BufWriter::new(file.map_err(not_made)?);
        let mut bytes = vec![0; 1 << 16];
        loop {
            match tar.read(&mut bytes).map_err(|error| damaged(path, &error))? {
                0 => break,
                count => io::Write::write_all(&mut writer, &bytes[..count]).map_err(not_made)?,
            }
        }
        writer.into_inner().map_err(|error| not_made(error.into_error()))?;
        Ok(What::File { blob: self.entries, size: header.size })
    }
}

/// The SHA-256 of a file, hexadecimal.
fn sum(path: &Path) -> Result<String, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    let (mut digest, mut bytes) = (Context::new(&SHA256), vec![0; 1 << 16]);
    loop {
        match file.read(&mut bytes).map_err(unreadable)? {
            0 => break,
            count => digest.update(&bytes[..count]),
        }
    }
    Ok(digest.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn blob(blobs: &Path, number: usize) -> PathBuf {
    blobs.join(number.to_string())
}

fn bad(path: &Path, problem: String) -> Error {
    Error::BadArchive { path: path.to_owned(), problem }
}

fn damaged(path: &Path, error: &io::Error) -> Error {
    bad(path, error.to_string())
}

/// What cannot be written beside the image; no room has a name of its own.
pub(super) fn not_made(path: &Path, source: io::Error) -> Error {
    let path = path.to_owned();
    if files::is_full(&source) {
        let free = files::free_space(path.parent().unwrap_or(&path)).unwrap_or_default();
        return Error::DiskFull { path, free, source };
    }
    Error::Work { verb: "make", path, source }
}
