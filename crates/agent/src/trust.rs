//! Certificates that the host brings: the guest's programs trust them beside those of its image.
//!
//! The files are root's and the image may be anybody's. A link in it leads no further than the image's own file system,
//! and the last step follows none: what stands there is replaced.

use crate::error::{During, Error};
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// All of them, for Node: it takes its own from nowhere else. In a directory of the agent's own.
const ALL: &str = "/run/flint/ca.pem";

/// Where distributions have the certificates of all authorities in one file: Debian, Fedora, openSUSE.
const BUNDLES: [&str; 3] = [
    "etc/ssl/certs/ca-certificates.crt",
    "etc/pki/tls/certs/ca-bundle.crt",
    "etc/ssl/ca-bundle.pem",
];

/// From where their tools take what belongs into it beside their own: so a later run of these loses nothing.
const SOURCES: [&str; 2] = ["usr/local/share/ca-certificates", "etc/pki/ca-trust/source/anchors"];

/// Debian's has 220 KB.
const BUNDLE_MAX: u64 = 4 << 20;

const END: &str = "-----END CERTIFICATE-----";

/// Installs them, and gives the environment that programs need which look elsewhere.
pub(crate) fn install(pem: &str) -> Result<Vec<(&'static str, String)>, Error> {
    fs::create_dir_all("/run/flint").during("make /run/flint")?;
    fs::write(ALL, pem).during(format!("write {ALL}"))?;
    let bundle = Tree::at(Path::new("/"))?.trust(pem)?;
    // OpenSSL looks certificates up by a hash in their file's name, which its own tool makes.
    Ok(vec![("NODE_EXTRA_CA_CERTS", ALL.to_owned()), ("SSL_CERT_FILE", format!("/{bundle}"))])
}

/// A root file system.
struct Tree(OwnedFd);

impl Tree {
    fn at(root: &Path) -> Result<Tree, Error> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(root, flags, Mode::empty()).map(Tree).during("open the root")
    }

    /// Adds the certificates to every bundle there is, and to the sources of those; gives the bundle to name.
    fn trust(&self, pem: &str) -> Result<&'static str, Error> {
        let mut named = None;
        for path in BUNDLES {
            let step = format!("add certificates to /{path}");
            if let Some(before) = self.read(path).during(&step)? {
                self.replace(path, &joined(before, pem)).during(&step)?;
                named = named.or(Some(path));
            }
        }
        for path in SOURCES {
            self.keep(path, pem).during(format!("write certificates into /{path}"))?;
        }
        if let Some(path) = named {
            return Ok(path);
        }
        // An image that trusts nobody yet.
        let path = BUNDLES[0];
        self.replace(path, pem.as_bytes()).during(format!("write /{path}"))?;
        Ok(path)
    }

    /// What a file holds; `None` if there is none.
    fn read(&self, path: &str) -> io::Result<Option<Vec<u8>>> {
        // A pipe would be waited for.
        let file = match self.open(path, OFlags::RDONLY | OFlags::NONBLOCK) {
            Err(Errno::NOENT) => return Ok(None),
            opened => File::from(opened?),
        };
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("it is no file"));
        }
        let mut bytes = Vec::new();
        file.take(BUNDLE_MAX + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > BUNDLE_MAX {
            return Err(io::Error::other("it is longer than any list of authorities"));
        }
        Ok(Some(bytes))
    }

    /// Writes a file, and makes the directories to it.
    fn replace(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let (directory, name) = path.rsplit_once('/').unwrap_or((".", path));
        place(&self.directory(directory)?, name, bytes)
    }

    /// One file for each certificate, as the tools want it, if the directory is there.
    fn keep(&self, directory: &str, pem: &str) -> io::Result<()> {
        let directory = match self.open(directory, OFlags::PATH | OFlags::DIRECTORY) {
            Err(Errno::NOENT) => return Ok(()),
            opened => opened?,
        };
        for (one, number) in certificates(pem).zip(1_u32..) {
            place(&directory, &format!("flint-{number}.crt"), one.as_bytes())?;
        }
        Ok(())
    }

    fn directory(&self, path: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let mut open = self.open(".", flags)?;
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        for end in ends {
            let (before, name) = path[..end].rsplit_once('/').unwrap_or((".", &path[..end]));
            open = match self.open(&path[..end], flags) {
                Err(Errno::NOENT) => {
                    rustix::fs::mkdirat(
                        self.open(before, flags)?,
                        name,
                        Mode::from_raw_mode(0o755),
                    )?;
                    self.open(&path[..end], flags)?
                }
                opened => opened?,
            };
        }
        Ok(open)
    }

    /// Links lead to somewhere below this root and on its own file system, or nowhere.
    fn open(&self, path: &str, flags: OFlags) -> rustix::io::Result<OwnedFd> {
        let bounds = ResolveFlags::IN_ROOT | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(&self.0, path, flags | OFlags::CLOEXEC, Mode::empty(), bounds)
    }
}

/// Writes a file beside its place and moves it there: it is whole, and takes the place of whatever was there.
fn place(directory: impl AsFd, name: &str, bytes: &[u8]) -> io::Result<()> {
    let (directory, new) = (directory.as_fd(), ".flint-new");
    match rustix::fs::unlinkat(directory, new, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let all_read = Mode::from_raw_mode(0o644);
    let mut file = File::from(rustix::fs::openat(directory, new, flags, all_read)?);
    rustix::fs::fchmod(&file, all_read)?;
    file.write_all(bytes)?;
    Ok(rustix::fs::renameat(directory, new, directory, name)?)
}

/// A file may lack the end of its last line.
fn joined(mut before: Vec<u8>, pem: &str) -> Vec<u8> {
    if before.last().is_some_and(|last| *last != b'\n') {
        before.push(b'\n');
    }
    before.extend_from_slice(pem.as_bytes());
    before
}

fn certificates(pem: &str) -> impl Iterator<Item = String> {
    let whole = pem.split_inclusive(END).filter(|part| part.ends_with(END));
    whole.map(|part| format!("{}\n", part.trim_start()))
}

#[cfg(test)]
mod tests {
    use super::{BUNDLES, SOURCES, Tree};
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::path::{Path, PathBuf};

    const OURS: &str = "-----BEGIN CERTIFICATE-----\nQQ==\n-----END CERTIFICATE-----\n\
        -----BEGIN CERTIFICATE-----\nQg==\n-----END CERTIFICATE-----\n";

    /// An image with these files.
    fn image(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join("image").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        fs::create_dir_all(root.path().join("image/run")).unwrap();
        root
    }

    fn in_image(root: &tempfile::TempDir, path: &str) -> PathBuf {
        root.path().join("image").join(path)
    }

    fn trust(root: &tempfile::TempDir) -> Result<&'static str, String> {
        let tree = Tree::at(&root.path().join("image")).map_err(|error| error.to_string())?;
        tree.trust(OURS).map_err(|error| format!("{:?}", error.parts()))
    }

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn certificates_are_added_to_the_image_s_own_and_to_what_its_tool_makes_them_of() {
        let root = image(&[(BUNDLES[0], "theirs"), (&format!("{}/README", SOURCES[0]), "")]);
        assert_eq!(trust(&root), Ok(BUNDLES[0]));
        let bundle = in_image(&root, BUNDLES[0]);
        assert_eq!(read(&bundle), format!("theirs\n{OURS}"));
        assert_eq!(fs::metadata(&bundle).unwrap().permissions().mode() & 0o7777, 0o644);
        let [one, two] =
            [1, 2].map(|n| read(&in_image(&root, &format!("{}/flint-{n}.crt", SOURCES[0]))));
        assert_eq!(format!("{one}{two}"), OURS);
        assert!(!in_image(&root, SOURCES[1]).exists() && !in_image(&root, BUNDLES[1]).exists());
    }

    #[test]
    fn an_image_that_trusts_nobody_trusts_these_afterwards() {
        let root = image(&[]);
        assert_eq!(trust(&root), Ok(BUNDLES[0]));
        assert_eq!(read(&in_image(&root, BUNDLES[0])), OURS);
    }

    #[test]
    fn a_link_in_place_of_a_bundle_is_replaced_and_what_it_leads_to_stays() {
        let root = image(&[("etc/pki/all.pem", "theirs\n"), ("etc/pki/tls/certs/README", "")]);
        // As on Fedora.
        symlink("/etc/pki/all.pem", in_image(&root, BUNDLES[1])).unwrap();
        assert_eq!(trust(&root), Ok(BUNDLES[1]));
        let bundle = in_image(&root, BUNDLES[1]);
        assert_eq!(read(&bundle), format!("theirs\n{OURS}"));
        assert!(!bundle.symlink_metadata().unwrap().is_symlink());
        assert_eq!(read(&in_image(&root, "etc/pki/all.pem")), "theirs\n");
    }

    #[test]
    fn links_lead_nowhere_out_of_the_image() {
        let root = image(&[("etc/README", "")]);
        let outside = root.path().join("outside");
        fs::create_dir_all(outside.join("certs")).unwrap();
        fs::write(outside.join("certs/ca-certificates.crt"), "the host's").unwrap();
        symlink("../../outside", in_image(&root, "etc/ssl")).unwrap();
        let error = trust(&root).unwrap_err();
        assert!(error.contains("/etc/ssl/certs/ca-certificates.crt"), "{error}");
        assert_eq!(read(&outside.join("certs/ca-certificates.crt")), "the host's");

        let root =
            image(&[("outside/certs/ca-certificates.crt", "the image's\n"), ("etc/README", "")]);
        symlink("../../outside", in_image(&root, "etc/ssl")).unwrap();
        assert_eq!(trust(&root), Ok(BUNDLES[0]), "its own root is the end of the way up");
        let kept = read(&in_image(&root, "outside/certs/ca-certificates.crt"));
        assert_eq!(kept, format!("the image's\n{OURS}"));
    }

    #[test]
    fn what_is_no_file_is_not_waited_for_and_is_named() {
        let root = image(&[("etc/ssl/certs/README", "")]);
        let path = in_image(&root, BUNDLES[0]);
        let fifo = rustix::fs::FileType::Fifo;
        let mode = rustix::fs::Mode::from_raw_mode(0o644);
        rustix::fs::mknodat(rustix::fs::CWD, &path, fifo, mode, 0).unwrap();
        let error = trust(&root).unwrap_err();
        assert!(
            error.contains("ca-certificates.crt") && error.contains("it is no file"),
            "{error}"
        );
    }
}
