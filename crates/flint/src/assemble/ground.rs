//! What a host stands on: directories that are root's alone, slots that no other Flint has, ids that no user should have.

use super::Error;
use crate::config::Config;
use crate::sys::accounts::Accounts;
use crate::sys::alone::{self, Alone, Taken};
use std::fs::{DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Two with the same prefix would take each other's slots for strays, and destroy them. The lock is beside
/// `/run/netns`: whoever shares the slots' names shares it too, and only root can write there.
///
/// # Errors
/// [`Error::PrefixTaken`], or [`Error::Directory`] when the lock cannot be used.
pub(super) fn alone(prefix: &str) -> Result<Alone, Error> {
    let path = PathBuf::from(format!("/run/flint-{prefix}.lock"));
    match alone::take(&path) {
        Ok(Taken::Ours(alone)) => Ok(alone),
        Ok(Taken::Others(pid)) => Err(Error::PrefixTaken { prefix: prefix.to_owned(), pid }),
        Err(source) => Err(Error::Directory { path, source }),
    }
}

/// Whoever else has a microVM's id may signal its VMM.
pub(super) fn tell_shared_ids(config: &Config) {
    let [uids, gids] = config.host.ids();
    let taken = Accounts::read().among(&uids, &gids);
    if !taken.is_empty() {
        let taken = taken.join(", ");
        tracing::warn!(%taken, "ids of microVMs are those of users of this host; set `[host] uid_base` and `gid_base`");
    }
}

/// Makes a directory that only root may enter: it holds the store and guests' logs. One that is there keeps its mode: it may
/// be more than Flint's, such as `/run`.
///
/// # Errors
/// [`Error::Directory`].
pub(super) fn directory(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::Directory { path: path.to_owned(), source };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    let mode = made.and_then(|()| path.metadata()).map_err(failed)?.permissions().mode();
    if mode & 0o077 != 0 {
        let (path, mode) = (path.display(), format!("{:o}", mode & 0o777));
        tracing::warn!(%path, mode, "others than root may look into it; `chmod 0700` if it is Flint's alone");
    }
    Ok(())
}

/// The same for one whose name is Flint's own: closed, whoever made it.
///
/// # Errors
/// [`Error::Directory`].
pub(super) fn closed(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::Directory { path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    std::fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flints_own_directories_are_closed_and_one_that_was_named_keeps_its_mode() {
        let dir = tempfile::tempdir().unwrap();
        let [old, new, named] = ["old", "new", "named"].map(|name| dir.path().join(name));
        for path in [&old, &named] {
            std::fs::create_dir(path).unwrap();
            std::fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        }
        closed(&old).unwrap();
        closed(&new).unwrap();
        directory(&named).unwrap();
        directory(&named.join("below")).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!([mode(&old), mode(&new)], [0o700; 2]);
        assert_eq!([mode(&named), mode(&named.join("below"))], [0o755, 0o700]);
    }
}
