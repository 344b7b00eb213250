//! Real files in a folder of each test's own.

use super::{Advice, Error, Images, LocalImages, Options, Source};
use flint_core::id::VmId;
use flint_core::units::MiB;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const SIZE: MiB = MiB(10 << 10);

/// A folder with a bundle that is right.
fn bundle() -> (TempDir, Source) {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let mut elf = b"\x7fELF\x02".to_vec();
    elf.resize(64, 0);
    elf[18] = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
    fs::write(at("vmlinux"), elf).unwrap();
    fs::write(at("initramfs.cpio"), "070701 and so on").unwrap();
    ext4(&at("rootfs.ext4"), 1);
    let source = Source { kernel: at("vmlinux"), image: at("rootfs.ext4") };
    (dir, source)
}

fn ext4(path: &Path, size: u64) {
    fs::File::create(path).unwrap().set_len(size << 20).unwrap();
    assert!(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(path).status().unwrap().success());
}

fn images(dir: &TempDir) -> LocalImages {
    LocalImages::new(&Options { state_dir: dir.path().to_owned() })
}

async fn refusal(dir: &TempDir, source: &Source) -> String {
    images(dir).ensure(source).await.unwrap_err().to_string()
}

#[tokio::test]
async fn a_right_bundle_is_taken_with_and_without_modules() {
    let (dir, source) = bundle();
    let images = images(&dir);
    let found = images.ensure(&source).await.unwrap();
    assert_eq!(found.initramfs, dir.path().join("initramfs.cpio"));
    assert_eq!(found.modules, None);
    ext4(&dir.path().join("modules.ext4"), 1);
    let found = images.ensure(&source).await.unwrap();
    assert_eq!(found.modules, Some(dir.path().join("modules.ext4")));
}

#[tokio::test]
async fn an_erofs_image_is_taken() {
    let (dir, mut source) = bundle();
    source.image = dir.path().join("rootfs.erofs");
    // Its superblock alone, as mkfs.erofs writes it: magic, 4 KiB blocks, one of them.
    let mut image = vec![0; 4096];
    image[1024..1028].copy_from_slice(&0xe0f5_e1e2_u32.to_le_bytes());
    image[1036] = 12;
    image[1060] = 1;
    fs::write(&source.image, image).unwrap();
    images(&dir).ensure(&source).await.unwrap();
}

#[tokio::test]
async fn a_missing_file_is_named_with_the_command_that_makes_it() {
    let (dir, source) = bundle();
    fs::remove_file(dir.path().join("initramfs.cpio")).unwrap();
    let error = images(&dir).ensure(&source).await.unwrap_err();
    assert!(matches!(&error, Error::Unreadable { what: "initramfs", .. }), "{error}");
    assert!(error.help().unwrap().contains("make kernel"));
    fs::remove_file(&source.kernel).unwrap();
    assert!(refusal(&dir, &source).await.starts_with("cannot read the kernel `"));
}

#[tokio::test]
async fn a_file_that_is_something_else_is_named_for_what_it_is() {
    let (dir, source) = bundle();
    fs::write(&source.kernel, b"\x1f\x8b\x08").unwrap();
    let error = images(&dir).ensure(&source).await.unwrap_err();
    let said = error.to_string();
    assert!(
        said.ends_with(
            "as the kernel: it is a gzip file, not an uncompressed kernel (`vmlinux`) or a bzImage"
        ),
        "{said}"
    );
    assert!(error.help().unwrap().contains("compressed"));

    let (dir, source) = bundle();
    fs::write(&source.image, "").unwrap();
    assert!(refusal(&dir, &source).await.contains("as the base image: it is an empty file, not"));

    let (dir, mut source) = bundle();
    source.image = dir.path().to_owned();
    assert!(
        refusal(&dir, &source).await.contains("it is a folder, not an ext4 or EROFS file system")
    );

    let (dir, source) = bundle();
    fs::write(dir.path().join("modules.ext4"), "?").unwrap();
    assert!(refusal(&dir, &source).await.contains("as the modules disk: it is something unknown"));
}

#[tokio::test]
async fn an_image_that_is_cut_short_is_refused() {
    let (dir, source) = bundle();
    fs::File::options().write(true).open(&source.image).unwrap().set_len(700_000).unwrap();
    let said = refusal(&dir, &source).await;
    assert!(said.ends_with("it is cut short, 700000 of 1048576 bytes"), "{said}");
}

#[tokio::test]
async fn a_file_that_changed_is_looked_at_again() {
    let (dir, source) = bundle();
    let images = images(&dir);
    images.ensure(&source).await.unwrap();
    fs::write(&source.kernel, "no kernel any more").unwrap();
    assert!(images.ensure(&source).await.is_err());
}

#[tokio::test]
async fn shared_files_that_others_may_change_are_advised_about() {
    let (dir, source) = bundle();
    let bundle = images(&dir).ensure(&source).await.unwrap();
    let modes = |mode| {
        for path in [&bundle.kernel, &bundle.initramfs, &bundle.base] {
            fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
        }
    };
    modes(0o444);
    fs::set_permissions(&bundle.base, Permissions::from_mode(0o664)).unwrap();
    let advice = Advice::of(&bundle);
    let base = advice.iter().find(|advice| advice.path == bundle.base).unwrap();
    assert_eq!(base.mode, 0o664);
    assert!(base.help().contains("chmod 0444"));
}

#[tokio::test]
async fn a_scratch_disk_is_large_sparse_private_and_a_file_system() {
    let dir = tempfile::tempdir().unwrap();
    let path = images(&dir).scratch_for(VmId(42), SIZE).await.unwrap();
    assert_eq!(path, dir.path().join("scratch/vm-42.ext4"));
    let about = fs::metadata(&path).unwrap();
    assert_eq!(about.len(), 10 << 30);
    assert!(about.blocks() * 512 < 1 << 20, "{} blocks", about.blocks());
    assert_eq!(about.mode() & 0o777, 0o600);
    let checked = Command::new("e2fsck").arg("-fn").arg(&path).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    let groups = Command::new("dumpe2fs").arg(&path).output().unwrap().stdout;
    let groups = String::from_utf8(groups).unwrap();
    // Or each guest would zero the inode tables in the background, and the file would fill up.
    assert_eq!(groups.matches("ITABLE_ZEROED").count(), 80);
}

#[tokio::test]
async fn making_it_again_gives_an_empty_one() {
    let dir = tempfile::tempdir().unwrap();
    let images = images(&dir);
    let path = images.scratch_for(VmId(1), SIZE).await.unwrap();
    let empty = first_mib(&path);
    fs::File::options().write(true).open(&path).unwrap().set_len(5).unwrap();
    images.scratch_for(VmId(1), SIZE).await.unwrap();
    assert!(first_mib(&path) == empty);
}

fn first_mib(path: &PathBuf) -> Vec<u8> {
    use std::io::Read;
    let mut bytes = Vec::new();
    fs::File::open(path).unwrap().take(1 << 20).read_to_end(&mut bytes).unwrap();
    bytes
}

#[tokio::test]
async fn held_disks_are_those_of_microvms_and_go_one_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let images = images(&dir);
    assert!(images.held().await.unwrap().is_empty());
    images.scratch_for(VmId(1), SIZE).await.unwrap();
    images.scratch_for(VmId(22), MiB(64)).await.unwrap();
    fs::write(dir.path().join("scratch/notes.txt"), "").unwrap();
    assert_eq!(images.held().await.unwrap(), [VmId(1), VmId(22)].into());
    images.drop_for(VmId(1)).await.unwrap();
    images.drop_for(VmId(1)).await.unwrap();
    images.drop_for(VmId(999)).await.unwrap();
    assert_eq!(images.held().await.unwrap(), [VmId(22)].into());
}

#[tokio::test]
async fn a_half_made_template_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("scratch");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("template-1-64.unfinished"), "killed here").unwrap();
    images(&dir).scratch_for(VmId(1), MiB(64)).await.unwrap();
    assert!(!folder.join("template-1-64.unfinished").exists());
}

#[tokio::test]
async fn an_impossible_size_is_refused_in_mkfs_own_words() {
    let dir = tempfile::tempdir().unwrap();
    let error = images(&dir).scratch_for(VmId(1), MiB(0)).await.unwrap_err();
    assert!(matches!(&error, Error::Mkfs { said, .. } if !said.is_empty()), "{error:?}");
    let left: Vec<_> = fs::read_dir(dir.path().join("scratch")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn free_space_is_told_before_the_folder_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let images = LocalImages::new(&Options { state_dir: dir.path().join("not/yet/there") });
    assert!(images.free().unwrap() > MiB(0));
}
