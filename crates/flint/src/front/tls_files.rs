//! The files for TLS as the root half reads them: bytes, of which it understands nothing.

use super::Error;
use super::words::TlsPair;
use flint_wire::Secret;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The longest file for TLS: both fit into a word.
const FILE_MAX: u64 = 40 * 1024;

/// Where certificate and key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, PEM.
    pub certificate: PathBuf,
    /// The key, PEM.
    pub key: PathBuf,
}

/// How both files were when they were read.
pub(super) type Stamp = [Option<(SystemTime, u64, u64)>; 2];

impl TlsFiles {
    /// Bytes, which only the front reads as more.
    pub(super) fn read(&self) -> Result<TlsPair, Error> {
        let key = Secret::new(read(&self.key)?);
        Ok(TlsPair { certificate: read(&self.certificate)?, key })
    }

    /// How both are now. Another time, length or file is another stamp.
    pub(super) fn stamp(&self) -> Stamp {
        [&self.certificate, &self.key].map(|path| {
            let about = std::fs::metadata(path).ok()?;
            Some((about.modified().ok()?, about.len(), about.ino()))
        })
    }
}

fn read(path: &Path) -> Result<String, Error> {
    let failed = |source| Error::TlsFile { path: path.to_owned(), source };
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    file.take(FILE_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > FILE_MAX {
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "it is too long")));
    }
    Ok(text)
}
