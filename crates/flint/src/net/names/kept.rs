//! What a slot's resolver must be told again after a restart of the daemon: one small file for each slot that has one.

use super::super::Options;
use super::{Error, Served};
use flint_core::id::Slot;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

/// Writes a slot's file, or removes it. An absent one is fine.
pub(in crate::net) fn write(
    options: &Options,
    slot: Slot,
    served: Option<&Served>,
) -> Result<(), Error> {
    let Some(path) = path(options, slot) else { return Ok(()) };
    let failed = |verb, source| Error::Kept { verb, path: path.clone(), source };
    let Some(served) = served else {
        return match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failed("remove", error)),
            _ => Ok(()),
        };
    };
    let written = || -> io::Result<()> {
        let text = serde_json::to_vec(served)?;
        fs::create_dir_all(path.parent().unwrap_or(&path))?;
        // Under another name first: a crash leaves no half of a list.
        let new = path.with_extension("new");
        fs::write(&new, text)?;
        fs::rename(new, &path)
    };
    written().map_err(|source| failed("write", source))
}

/// Reads a slot's file, if it has one.
pub(in crate::net) fn read(options: &Options, slot: Slot) -> Result<Option<Served>, Error> {
    let Some(path) = path(options, slot) else { return Ok(None) };
    let failed = |source| Error::Kept { verb: "read", path: path.clone(), source };
    match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        read => {
            let text = read.map_err(failed)?;
            serde_json::from_slice(&text).map(Some).map_err(|error| failed(error.into()))
        }
    }
}

fn path(options: &Options, slot: Slot) -> Option<PathBuf> {
    Some(options.dir.as_ref()?.join(format!("{}-{slot}.json", options.prefix)))
}
