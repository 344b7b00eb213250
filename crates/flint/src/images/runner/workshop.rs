//! Where an image gets another runner: a folder beside it, in which a copy is changed and takes the image's name at the
//! end. The image's own file is never written to: microVMs that run have it open.

use super::archive::{Archive, Wanted, not_made};
use super::ext4::{Ext4, Named};
use super::plan::{self, Owner};
use super::superblock::Room;
use super::{Error, Found, look, whole};
use crate::sys::fs as files;
use flint_core::runner_version::RunnerVersion;
use flint_wire::image::{MANIFEST, MANIFEST_MAX, runner_version};
use serde::Serialize;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Deeper than any folder of the runner's.
const DEEPEST: usize = 64;
/// Growing makes new tables, which take room again; it comes near at once.
const MOST_GROWTHS: usize = 4;

/// An image that is being changed, by one process at a time.
#[derive(Debug)]
pub struct Workshop {
    image: PathBuf,
    found: Found,
    folder: PathBuf,
    /// Locked as long as it is open.
    _lock: File,
}

/// An image that has another runner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Updated {
    /// Which image.
    pub image: PathBuf,
    /// The version before, if it was known.
    pub from: Option<String>,
    /// The version now.
    pub to: String,
    /// The image as it was.
    pub kept: PathBuf,
}

impl Workshop {
    /// Opens it beside an image that holds GitHub's runner.
    ///
    /// # Errors
    /// [`Error`]: the image is none, or has no runner, or is being changed by somebody else.
    pub fn beside(image: &Path) -> Result<Self, Error> {
        let image = whole(image)?;
        let found = look(&image)?;
        let name = image.file_name().unwrap_or_default().to_string_lossy();
        let folder = image.with_file_name(format!(".{name}.update"));
        let failed = |source| not_made(&folder, source);
        match fs::DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed(error));
            }
            _ => {}
        }
        let lock = File::open(&folder).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Busy { image }),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        clear(&folder).map_err(failed)?;
        Ok(Workshop { image, found, folder, _lock: lock })
    }

    /// The image's real place.
    #[must_use]
    pub fn image(&self) -> &Path {
        &self.image
    }

    /// GitHub's runner in it now.
    #[must_use]
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// Where a file may be put that goes with the workshop.
    #[must_use]
    pub fn place(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Puts the runner of an archive into the image. `sha256` is the archive's, hexadecimal, and `version` what it must
    /// hold, as far as they are known. `say` hears what is being done.
    ///
    /// # Errors
    /// [`Error`]; the image is as it was then.
    pub fn update(
        &self,
        archive: &Path,
        sha256: Option<&str>,
        version: Option<RunnerVersion>,
        say: &dyn Fn(&str),
    ) -> Result<Updated, Error> {
        say("unpacking the runner");
        let wanted = Wanted { sha256: sha256.map(str::to_owned), version };
        let new = Archive::open(archive, &self.place("files"), &wanted)?;
        say("copying the image");
        let copy = self.place("image.ext4");
        files::copy_sparse(&self.image, &copy).map_err(|source| not_made(&copy, source))?;
        let file = Ext4::new(&copy);
        file.heal()?;
        say("taking the old runner out");
        let owner = self.take_out(&file, &new)?;
        self.make_room(&copy, &new)?;
        say("putting the new runner in");
        let script = self.place("write");
        file.change(&plan::writing(&new, &self.found.dir, owner), &script)?;
        say("checking the image");
        file.heal()?;
        file.check()?;
        self.is_in(&file, &new)?;
        let kept = self.take_its_name(&copy)?;
        Ok(Updated {
            image: self.image.clone(),
            from: self.found.version.clone(),
            to: new.version,
            kept,
        })
    }

    /// Removes what the new runner replaces, and says whose the runner's folder is.
    fn take_out(&self, file: &Ext4<'_>, new: &Archive) -> Result<Owner, Error> {
        let dir = &self.found.dir;
        let script = self.place("list");
        let list = |folders: &[String]| file.list(folders, &script);
        let (above, name) = dir.rsplit_once('/').unwrap_or(("", dir));
        let beside = list(&[format!("{above}/")])?.pop().unwrap_or_default();
        let own = beside.into_iter().find(|named| named.name == name);
        let top = list(std::slice::from_ref(dir))?.pop().unwrap_or_default();
        // A link to the folder belongs to somebody, too; and in an image's root there is nothing beside.
        let owner = own.as_ref().or_else(|| top.first());
        let owner = owner.map_or(Owner { uid: 0, gid: 0 }, |o| Owner { uid: o.uid, gid: o.gid });
        let going = top.into_iter().filter(|named| plan::goes(&named.name, &new.tree));
        let going = going.map(|named| (format!("{dir}/{}", named.name), named)).collect();
        let found = walk(going, list, &self.image)?;
        file.change(&plan::removal(&found), &self.place("remove"))?;
        Ok(owner)
    }

    /// Enlarges the copy where the new runner would not fit.
    fn make_room(&self, copy: &Path, new: &Archive) -> Result<(), Error> {
        let failed = |source| not_made(copy, source);
        for _ in 0..MOST_GROWTHS {
            let room = Room::of(copy).map_err(failed)?;
            let (blocks, inodes) = plan::room(&new.tree, room.block);
            let lacks = room.lacks(blocks, inodes);
            if lacks == 0 {
                return self.fits(blocks.saturating_mul(room.block), copy);
            }
            let bytes = (room.blocks + lacks).saturating_mul(room.block);
            File::options()
                .write(true)
                .open(copy)
                .and_then(|f| f.set_len(bytes))
                .map_err(failed)?;
            Ext4::new(copy).grow()?;
        }
        // Writing says what is lacking, if anything is.
        Ok(())
    }

    /// The copy is sparse: what is free in it need not be free on the disk, and e2fsprogs would say so late.
    fn fits(&self, bytes: u64, copy: &Path) -> Result<(), Error> {
        let free = files::free_space(&self.folder).map_err(|source| not_made(copy, source))?;
        match free < bytes {
            true => Err(not_made(copy, io::ErrorKind::StorageFull.into())),
            false => Ok(()),
        }
    }

    /// The image tells of the new runner what the archive does.
    fn is_in(&self, file: &Ext4<'_>, new: &Archive) -> Result<(), Error> {
        let manifest = file.read(&format!("{}/{MANIFEST}", self.found.dir), MANIFEST_MAX)?;
        if manifest.and_then(|bytes| runner_version(&bytes)).as_ref() == Some(&new.version) {
            return Ok(());
        }
        let problem = format!("{} was not found in it after it was written", new.version);
        Err(Error::Strange { image: self.image.clone(), problem })
    }

    /// The copy becomes the image; the image as it was keeps a name of its own. There is an image at any time.
    fn take_its_name(&self, copy: &Path) -> Result<PathBuf, Error> {
        let failed = |verb: &'static str, path: &Path| {
            let path = path.to_owned();
            move |source| Error::Work { verb, path, source }
        };
        let about = fs::metadata(&self.image).map_err(failed("replace", &self.image))?;
        let like = |copy: &Path| {
            std::os::unix::fs::chown(copy, Some(about.uid()), Some(about.gid()))?;
            fs::set_permissions(copy, fs::Permissions::from_mode(about.mode() & 0o7777))?;
            // A power cut must not leave the name with nothing behind it.
            File::open(copy)?.sync_all()
        };
        like(copy).map_err(failed("make", copy))?;
        let mut kept = self.image.clone().into_os_string();
        kept.push(".old");
        let kept = PathBuf::from(kept);
        files::remove(&kept)
            .and_then(|()| fs::hard_link(&self.image, &kept))
            .map_err(failed("keep", &kept))?;
        fs::rename(copy, &self.image).map_err(failed("replace", &self.image))?;
        let folder = self.image.parent().unwrap_or(Path::new("/"));
        File::open(folder).and_then(|f| f.sync_all()).map_err(failed("replace", &self.image))?;
        Ok(kept)
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        // What is left goes when the next one opens.
        fs::remove_dir_all(&self.folder).ok();
    }
}

/// Everything below these names, each after the folder that it is in.
fn walk(
    top: Vec<(String, Named)>,
    list: impl Fn(&[String]) -> Result<Vec<Vec<Named>>, Error>,
    image: &Path,
) -> Result<Vec<(String, Named)>, Error> {
    let (mut found, mut level) = (Vec::new(), top);
    for _ in 0..DEEPEST {
        let folders = level.iter().filter(|(_, named)| named.is_folder());
        let folders: Vec<String> = folders.map(|(path, _)| path.clone()).collect();
        found.append(&mut level);
        if folders.is_empty() {
            return Ok(found);
        }
        for (folder, names) in folders.iter().zip(list(&folders)?) {
            let below = names.into_iter().map(|n| (format!("{folder}/{}", n.name), n));
            level.extend(below);
        }
    }
    let problem = format!("its folders are more than {DEEPEST} deep");
    Err(Error::Strange { image: image.to_owned(), problem })
}

/// Removes what an update that was killed left.
fn clear(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}
