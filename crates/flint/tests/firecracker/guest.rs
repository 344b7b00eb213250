//! Builds the test guest from its C sources with the host's gcc.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Freestanding, no vector registers, no red zone; one segment at the place that `guest.ld` names.
const FLAGS: &[&str] = &[
    "-std=gnu11",
    "-O1",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-ffreestanding",
    "-fno-pic",
    "-fno-pie",
    "-no-pie",
    "-mno-red-zone",
    "-mgeneral-regs-only",
    "-fcf-protection=none",
    "-fno-stack-protector",
    "-fno-asynchronous-unwind-tables",
    "-mcmodel=small",
    "-nostdlib",
    "-static",
    "-Wl,-n,--build-id=none",
];

/// Builds it into `directory`; returns the ELF file.
///
/// # Panics
/// When gcc is missing or does not like the sources.
pub(crate) fn build(directory: &Path) -> PathBuf {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/firecracker/guest");
    let elf = directory.join("guest.elf");
    let built = Command::new("gcc")
        .args(FLAGS)
        .arg("-T")
        .arg(sources.join("guest.ld"))
        .arg("-o")
        .arg(&elf)
        .args(files_to_compile(&sources))
        .output()
        .expect("gcc is needed to build the test guest");
    let complaints = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "cannot build the test guest: {complaints}");
    elf
}

fn files_to_compile(sources: &Path) -> Vec<PathBuf> {
    let listed =
        std::fs::read_dir(sources).expect("the guest's sources are part of the repository");
    let mut files: Vec<_> = listed.map(|file| file.unwrap().path()).collect();
    files.retain(|file| {
        file.extension().is_some_and(|ext| ext == OsStr::new("c") || ext == OsStr::new("S"))
    });
    files.sort();
    files
}
