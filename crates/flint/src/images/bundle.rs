//! Looks at kernel, initramfs, modules and base image once per version of the file.

use super::kind::{HEAD, Kind};
use super::{Bundle, Error, Source};
use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Files that were looked at, and what they were then.
#[derive(Debug, Default)]
pub(super) struct Seen(Mutex<BTreeMap<PathBuf, (Stamp, Kind)>>);

/// A file with the same stamp has not changed: size, and the time of its last change in nanoseconds.
type Stamp = (u64, i64, i64);

/// A file's place in a bundle.
struct Role {
    what: &'static str,
    wanted: &'static str,
    fits: fn(Kind) -> bool,
}

const KERNEL: Role = Role {
    what: "kernel",
    wanted: "an uncompressed kernel (`vmlinux`) or a bzImage",
    fits: |kind| matches!(kind, Kind::Elf | Kind::BzImage | Kind::Arm64Image),
};
const INITRAMFS: Role = Role {
    what: "initramfs",
    wanted: "a cpio archive (newc)",
    fits: |kind| matches!(kind, Kind::Cpio),
};
const BASE: Role = Role {
    what: "base image",
    wanted: "an ext4 or EROFS file system",
    fits: |kind| matches!(kind, Kind::Ext4 { .. } | Kind::Erofs { .. }),
};
const MODULES: Role = Role { what: "modules disk", ..BASE };

impl Seen {
    /// The files that a source names, each of them there and of its kind.
    pub(super) fn bundle(&self, source: &Source) -> Result<Bundle, Error> {
        let modules = source.kernel.with_file_name("modules.ext4");
        let bundle = Bundle {
            kernel: source.kernel.clone(),
            initramfs: source.kernel.with_file_name("initramfs.cpio"),
            base: source.image.clone(),
            modules: Some(modules).filter(|path| path.exists()),
        };
        self.is(&KERNEL, &bundle.kernel)?;
        self.is(&INITRAMFS, &bundle.initramfs)?;
        self.is(&BASE, &bundle.base)?;
        bundle.modules.iter().try_for_each(|modules| self.is(&MODULES, modules))?;
        Ok(bundle)
    }

    fn is(&self, role: &Role, path: &Path) -> Result<(), Error> {
        let &Role { what, wanted, fits } = role;
        let path = path.to_owned();
        let (about, found) = match self.kind(&path) {
            Ok(known) => known,
            Err(source) => return Err(Error::Unreadable { what, path, source }),
        };
        if !fits(found) {
            return Err(Error::WrongKind { what, path, found, wanted });
        }
        match found {
            Kind::Ext4 { bytes: promised } | Kind::Erofs { bytes: promised }
                if about.len() < promised =>
            {
                Err(Error::CutShort { what, path, has: about.len(), promised })
            }
            _ => Ok(()),
        }
    }

    fn kind(&self, path: &Path) -> io::Result<(Metadata, Kind)> {
        let about = fs::metadata(path)?;
        let stamp = (about.len(), about.mtime(), about.mtime_nsec());
        // The map is whole even if somebody panicked beside it.
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, kind)) = seen.get(path).filter(|(then, _)| *then == stamp) {
            return Ok((about, *kind));
        }
        let kind = if about.is_dir() { Kind::Folder } else { Kind::of(&head(path)?) };
        seen.insert(path.to_owned(), (stamp, kind));
        Ok((about, kind))
    }
}

fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD);
    File::open(path)?.take(HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// A shared file that somebody else than root may change, or not everybody read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Which file.
    pub path: PathBuf,
    /// Its permissions, `0o664`.
    pub mode: u32,
    /// Its owner.
    pub owner: u32,
}

impl Advice {
    /// The files of a bundle that do not belong to root, or have a mode other than 0444 and 0644.
    #[must_use]
    pub fn of(bundle: &Bundle) -> Vec<Advice> {
        let Bundle { kernel, initramfs, base, modules } = bundle;
        let files = [kernel, initramfs, base].into_iter().chain(modules);
        let look = |path: &PathBuf| {
            let about = fs::metadata(path).ok()?;
            let (mode, owner) = (about.mode() & 0o7777, about.uid());
            Some(Advice { path: path.clone(), mode, owner })
        };
        let loose = |advice: &Advice| advice.mode & !0o200 != 0o444 || advice.owner != 0;
        files.filter_map(look).filter(loose).collect()
    }

    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> String {
        let path = self.path.display();
        format!("every microVM reads this file: `chown root: {path} && chmod 0444 {path}`")
    }
}
