//! A disk that is really full: a tmpfs of few KiB, mounted for the test. Needs root and says so.
#![cfg(test)]

use flint::images::runner::{self, Workshop};
use flint::images::{Error, Images, LocalImages, Options};
use flint_core::id::VmId;
use flint_core::units::MiB;
use flint_sim::archives;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::ffi::CString;
use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

const SIZE: MiB = MiB(1 << 10);

/// A small file system that goes with its test.
struct Small(TempDir);

impl Small {
    fn of_kib(size: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = CString::new(format!("size={size}k")).unwrap();
        let mounted =
            mount("flint-test", dir.path(), "tmpfs", MountFlags::empty(), options.as_c_str());
        mounted.unwrap_or_else(|error| panic!("cannot mount a tmpfs ({error}): run as root"));
        Small(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn images(&self) -> LocalImages {
        LocalImages::new(&Options { state_dir: self.path().to_owned() })
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path().join("scratch")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        unmount(self.path(), UnmountFlags::DETACH).ok();
    }
}

fn is_full(error: &Error) -> bool {
    matches!(error, Error::DiskFull { .. })
        && error.help().is_some_and(|help| help.contains("free some room"))
}

#[tokio::test]
async fn a_full_disk_is_named_when_the_template_does_not_fit() {
    let disk = Small::of_kib(32);
    let error = disk.images().scratch_for(VmId(1), SIZE).await.unwrap_err();
    assert!(is_full(&error), "{error:?}");
    assert_eq!(disk.names(), [""; 0]);
}

#[tokio::test]
async fn a_full_disk_is_named_when_the_copy_does_not_fit_and_nothing_is_left() {
    let disk = Small::of_kib(16 << 10);
    let images = disk.images();
    images.scratch_for(VmId(1), SIZE).await.unwrap();
    let room = usize::try_from(images.free().unwrap().0).unwrap() << 20;
    // What is left over after whole MiBs still takes a copy or two.
    fs::write(disk.path().join("ballast"), vec![1; room]).unwrap();
    let mut vm = 2;
    let error = loop {
        match images.scratch_for(VmId(vm), SIZE).await {
            Ok(_) => vm += 1,
            Err(error) => break error,
        }
    };
    assert!(is_full(&error), "{error:?}");
    assert!(!disk.names().contains(&format!("vm-{vm}.ext4")));
    assert!(!images.held().await.unwrap().contains(&VmId(vm)));

    // With room again, it works again.
    fs::remove_file(disk.path().join("ballast")).unwrap();
    images.scratch_for(VmId(vm), SIZE).await.unwrap();
}

#[test]
fn an_image_keeps_its_runner_when_the_disk_has_no_room_for_another() {
    let elsewhere = tempfile::tempdir().unwrap();
    let bin = elsewhere.path().join("root/opt/actions-runner/bin");
    fs::create_dir_all(&bin).unwrap();
    fs::write(bin.join("Runner.Listener"), archives::program()).unwrap();
    fs::write(bin.join("Runner.Listener.deps.json"), archives::manifest("2.336.0")).unwrap();
    let archive = elsewhere.path().join("runner.tar.gz");
    let new = archives::runner("2.337.0").file("externals/node", 0o755, &vec![7; 3 << 20]);
    fs::write(&archive, new.gz()).unwrap();
    // Too small to unpack it; and large enough for that and for a copy of the image, but not for the runner in it.
    for kib in [2 << 10, 5 << 10] {
        let disk = Small::of_kib(kib);
        let image = disk.path().join("rootfs.ext4");
        let mut mkfs = Command::new("mkfs.ext4");
        mkfs.args(["-q", "-F", "-O^has_journal", "-d"]).arg(elsewhere.path().join("root"));
        assert!(mkfs.arg(&image).arg("16M").status().unwrap().success());
        let before = fs::read(&image).unwrap();
        let shop = Workshop::beside(&image).unwrap();
        let error = shop.update(&archive, None, None, &|_| {}).unwrap_err();
        assert!(matches!(&error, runner::Error::DiskFull { .. }), "{error:?}");
        assert!(error.help().is_some_and(|help| help.contains("free some room")));
        drop(shop);
        assert!(fs::read(&image).unwrap() == before);
        assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 1);
    }
}
