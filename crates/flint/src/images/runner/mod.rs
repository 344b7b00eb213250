//! GitHub's runner in an image: which version it is, and how another takes its place. Nothing is booted or mounted.
//!
//! The way in is [`look`] for reading and [`Workshop`] for changing. Both leave an image's file as it is: what changes is
//! a copy, which takes the file's name when all of it is right.

mod archive;
mod error;
mod ext4;
mod plan;
mod superblock;
mod tar;
#[cfg(test)]
mod tests;
mod tree;
mod workshop;

pub use archive::Archive;
pub use error::Error;
pub use workshop::{Updated, Workshop};

use super::kind::{HEAD, Kind};
use ext4::Ext4;
use flint_wire::image::{
    ABOUT, LISTENER, MANIFEST, MANIFEST_MAX, RUNNER_DIR, runner_dir, runner_version,
};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// GitHub's runner in an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its folder in the image.
    pub dir: String,
    /// What its own list says; `None` if it has none.
    pub version: Option<String>,
}

/// Looks for GitHub's runner in an image, without changing anything.
///
/// # Errors
/// [`Error`], naming the image, the cause and the fix; [`Error::NoRunner`] if there is none in it.
pub fn look(image: &Path) -> Result<Found, Error> {
    let image = whole(image)?;
    let file = Ext4::new(&image);
    let dir = match file.read(ABOUT, MANIFEST_MAX)? {
        None => RUNNER_DIR.to_owned(),
        Some(about) => {
            let strange = |problem| Error::Strange { image: image.clone(), problem };
            let dir = runner_dir(&about)
                .ok_or_else(|| strange(format!("its {ABOUT} is no JSON object")))?;
            let dir = dir.trim_end_matches('/').to_owned();
            let plain = dir.starts_with('/') && !dir.chars().any(char::is_control);
            plain.then_some(dir).ok_or_else(|| {
                strange(format!("`runner_dir` of its {ABOUT} is no folder's absolute path"))
            })?
        }
    };
    if !file.has(&format!("{dir}/{LISTENER}"))? {
        return Err(Error::NoRunner { image, dir });
    }
    let manifest = file.read(&format!("{dir}/{MANIFEST}"), MANIFEST_MAX)?;
    Ok(Found { version: manifest.and_then(|bytes| runner_version(&bytes)), dir })
}

/// The image's real place, if it is an ext4 file system.
fn whole(image: &Path) -> Result<PathBuf, Error> {
    let unreadable = |source| Error::Unreadable { path: image.to_owned(), source };
    let real = fs::canonicalize(image).map_err(unreadable)?;
    match kind(&real)? {
        Kind::Ext4 { .. } => Ok(real),
        found => Err(Error::NotExt4 { image: real, found }),
    }
}

fn kind(path: &Path) -> Result<Kind, Error> {
    let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.is_dir() {
        return Ok(Kind::Folder);
    }
    let mut head = Vec::with_capacity(HEAD);
    file.take(HEAD as u64).read_to_end(&mut head).map_err(unreadable)?;
    Ok(Kind::of(&head))
}
