//! `flint image` and `flint kernel`: the files that profiles name, looked at by their first bytes.

use super::output::table;
use crate::config::Config;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Where ext4's and EROFS's magic numbers both can be seen: the superblocks begin at byte 1024.
const HEAD: usize = 2048;

/// Which kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A base image.
    Image,
    /// A kernel; its initramfs must lie beside it.
    Kernel,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Looked {
    /// Where.
    pub(super) path: PathBuf,
    /// The profiles that name it.
    pub(super) profiles: Vec<String>,
    /// What it is: `ext4`, `erofs`, `vmlinux`, `bzImage`; or why not.
    pub(super) found: String,
    /// Whether it will do.
    pub(super) good: bool,
    /// Its size in bytes.
    pub(super) bytes: u64,
}

/// Each file once, with what it is.
pub(super) fn look(config: &Config, role: Role) -> Vec<Looked> {
    let mut named: BTreeMap<&Path, Vec<String>> = BTreeMap::new();
    for (name, options) in &config.profiles {
        let path = match role {
            Role::Image => &options.image,
            Role::Kernel => &options.kernel,
        };
        named.entry(path).or_default().push(name.to_string());
    }
    named.into_iter().map(|(path, profiles)| look_at(path, profiles, role)).collect()
}

fn look_at(path: &Path, profiles: Vec<String>, role: Role) -> Looked {
    let (good, found, bytes) = match read_head(path) {
        Ok((head, bytes)) => {
            let (good, found) = match (role, kind(&head)) {
                (Role::Image, Some(kind @ ("ext4" | "erofs"))) => (true, kind.to_owned()),
                (Role::Kernel, Some(kind @ ("vmlinux" | "bzImage"))) => beside(path, kind),
                (_, Some(kind)) => (false, format!("it is a file of kind {kind}")),
                (Role::Image, None) => (false, "it is neither ext4 nor EROFS".to_owned()),
                (Role::Kernel, None) => (false, "it is neither vmlinux nor bzImage".to_owned()),
            };
            (good, found, bytes)
        }
        Err(error) => (false, error.to_string(), 0),
    };
    Looked { path: path.to_owned(), profiles, found, good, bytes }
}

/// A kernel without its initramfs boots no agent.
fn beside(kernel: &Path, kind: &str) -> (bool, String) {
    let initramfs = kernel.with_file_name("initramfs.cpio");
    if initramfs.is_file() {
        return (true, kind.to_owned());
    }
    (false, format!("{kind}, but `{}` is not there", initramfs.display()))
}

fn read_head(path: &Path) -> io::Result<(Vec<u8>, u64)> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let mut head = Vec::with_capacity(HEAD);
    file.take(HEAD as u64).read_to_end(&mut head)?;
    Ok((head, bytes))
}

/// What a file is by its first bytes.
pub(super) fn kind(head: &[u8]) -> Option<&'static str> {
    let at = |offset: usize, magic: &[u8]| head.get(offset..offset + magic.len()) == Some(magic);
    if at(0, b"\x7fELF") {
        Some("vmlinux")
    } else if at(0x202, b"HdrS") {
        Some("bzImage")
    } else if at(1024 + 56, &0xEF53u16.to_le_bytes()) {
        Some("ext4")
    } else if at(1024, &0xE0F5_E1E2u32.to_le_bytes()) {
        Some("erofs")
    } else {
        None
    }
}

/// The table for people.
pub(super) fn show(files: &[Looked]) -> String {
    let rows = files.iter().map(|file| {
        let verdict = if file.good { "ok" } else { "bad" };
        let size = format!("{} MiB", file.bytes / (1024 * 1024));
        [
            verdict.to_owned(),
            file.path.display().to_string(),
            size,
            file.profiles.join(", "),
            file.found.clone(),
        ]
    });
    table(["", "FILE", "SIZE", "PROFILES", "FOUND"], rows)
}
