//! The files: looked at before anything is made at GitHub, then each written whole or not at all, for root's eyes alone.
//!
//! Nothing is ever lost: what a file replaces stays beside it under another name.

use super::error::Error;
use flint_wire::Secret;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// As in the manual.
const KEY: &str = "private.pem";
/// As in the manual.
const SECRET: &str = "webhook-secret";

/// What becomes of a file whose place is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and nothing is made.
    Refuse,
    /// It stays beside the new one, under another name.
    SetAside,
}

/// Where everything goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The configuration.
    pub config: PathBuf,
    /// The App's key, beside it.
    pub key: PathBuf,
    /// The webhook's secret, beside it.
    pub secret: PathBuf,
}

impl Files {
    /// Makes the directory, and shows that it can be written to.
    ///
    /// # Errors
    /// [`Error::Exists`] when one of the files is there and may not be set aside; [`Error::Write`].
    pub fn prepare(config: &Path, existing: Existing) -> Result<Files, Error> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Write { path, source }
        };
        let config = std::path::absolute(config).map_err(failed(config))?;
        let directory = config.parent().unwrap_or(Path::new("/")).to_owned();
        let files = Files { key: directory.join(KEY), secret: directory.join(SECRET), config };
        // A link that leads nowhere is there, too.
        let all = [&files.config, &files.key, &files.secret];
        let found = all.into_iter().find(|path| path.symlink_metadata().is_ok());
        if let (Some(path), Existing::Refuse) = (found, existing) {
            return Err(Error::Exists { path: path.clone() });
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&directory)
            .map_err(failed(&directory))?;
        let probe = beside(&files.config, "probe");
        write_new(&probe, b"")
            .and_then(|()| fs::remove_file(&probe))
            .map_err(failed(&files.config))?;
        Ok(files)
    }

    /// Writes the secrets, then the configuration that names them.
    ///
    /// # Errors
    /// [`Error::Write`]; what was written until then stays.
    pub fn store(&self, key: &Secret, secret: &Secret, config: &str) -> Result<(), Error> {
        let all =
            [(&self.key, key.expose()), (&self.secret, secret.expose()), (&self.config, config)];
        for (path, text) in all {
            place(path, text.as_bytes())
                .map_err(|source| Error::Write { path: path.clone(), source })?;
        }
        Ok(())
    }
}

/// Writes a file that is there whole, or not at all, whatever happens. What it replaces stays as `NAME.bak`.
fn place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = beside(path, "new");
    match write_new(&new, bytes).and_then(|()| keep(path)).and_then(|()| fs::rename(&new, path)) {
        Ok(()) => File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all(),
        Err(error) => {
            // The first error is the one to tell.
            fs::remove_file(&new).ok();
            Err(error)
        }
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Gives what is there a second name, the first that is free.
fn keep(path: &Path) -> io::Result<()> {
    for number in 1_u32.. {
        let ending = if number == 1 { "bak".to_owned() } else { format!("bak-{number}") };
        match fs::hard_link(path, named(path, &ending)) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) if error.kind() == ErrorKind::NotFound => break,
            kept => return kept,
        }
    }
    Ok(())
}

/// A name of this process beside a file: two at a time do not write into one.
fn beside(path: &Path, what: &str) -> PathBuf {
    named(path, &format!("{what}-{}", std::process::id()))
}

fn named(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().map(OsString::from).unwrap_or_default();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn all_files_are_their_owners_alone_and_so_is_a_directory_that_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("etc/flint/flint.toml");
        let files = Files::prepare(&config, Existing::Refuse).unwrap();
        assert_eq!(names(config.parent().unwrap()), Vec::<String>::new());
        files.store(&secret("key"), &secret("word"), "[github]\n").unwrap();
        let wanted = ["flint.toml", "private.pem", "webhook-secret"];
        assert_eq!(names(config.parent().unwrap()), wanted);
        assert_eq!(mode(config.parent().unwrap()), 0o700);
        for (path, text) in
            [(&files.key, "key"), (&files.secret, "word"), (&files.config, "[github]\n")]
        {
            assert_eq!((mode(path), fs::read_to_string(path).unwrap().as_str()), (0o600, text));
        }
    }

    #[test]
    fn what_is_there_is_refused_whichever_it_is() {
        for name in ["flint.toml", KEY, SECRET] {
            let dir = tempfile::tempdir().unwrap();
            fs::write(dir.path().join(name), "mine").unwrap();
            let error =
                Files::prepare(&dir.path().join("flint.toml"), Existing::Refuse).unwrap_err();
            assert!(matches!(&error, Error::Exists { path } if path.ends_with(name)), "{error}");
            assert!(error.help().unwrap().contains("--force"));
        }
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("flint.toml");
        std::os::unix::fs::symlink("/nowhere", &config).unwrap();
        assert!(matches!(Files::prepare(&config, Existing::Refuse), Err(Error::Exists { .. })));
    }

    #[test]
    fn force_loses_nothing_however_often() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("flint.toml");
        for round in ["one", "two", "three"] {
            let files = Files::prepare(&config, Existing::SetAside).unwrap();
            files.store(&secret(round), &secret(round), round).unwrap();
        }
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap();
        for name in ["flint.toml", KEY, SECRET] {
            assert_eq!(read(name), "three");
            assert_eq!(read(&format!("{name}.bak")), "one");
            assert_eq!(read(&format!("{name}.bak-2")), "two");
        }
        assert_eq!(names(dir.path()).len(), 9);
    }

    #[test]
    fn a_place_that_cannot_be_written_is_refused_before_anything_else() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let error =
            Files::prepare(&dir.path().join("file/flint.toml"), Existing::Refuse).unwrap_err();
        assert!(matches!(error, Error::Write { .. }), "{error}");
    }
}
