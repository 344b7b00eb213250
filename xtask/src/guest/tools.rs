//! Commands, hashes and temporary directories for the builders.

use crate::cargo::cargo;
use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Says on standard error what is being done.
#[expect(
    clippy::print_stderr,
    reason = "progress of a tool for people; standard output stays free"
)]
pub(crate) fn progress(line: &str) {
    eprintln!("{line}");
}

/// Runs a command to its end; its output is for people.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    // What it prints is progress, so it goes where progress goes.
    let status = command
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("cannot run `{name}`: is it installed?"))?;
    if !status.success() {
        bail!("`{name}` failed ({status}); the whole command was {command:?}");
    }
    Ok(())
}

/// Runs a command and gives its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run `{name}`: is it installed?"))?;
    if !output.status.success() {
        bail!("`{name}` failed ({}); the whole command was {command:?}", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{name}` printed no UTF-8"))
}

/// The SHA-256 of bytes, in hex.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The SHA-256 of a file, in hex.
pub(crate) fn sha256_of(path: &Path) -> Result<String> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut reader = BufReader::with_capacity(1 << 20, file);
    let mut hash = Sha256::new();
    let mut bytes = vec![0; 1 << 16];
    loop {
        match reader.read(&mut bytes).with_context(|| format!("cannot read {}", path.display()))? {
            0 => return Ok(hex(&hash.finalize())),
            count => hash.update(&bytes[..count]),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A directory that is gone when this is dropped, whatever happened.
pub(crate) struct Temporary(PathBuf);

impl Temporary {
    /// A new one below `parent`, on the same file system as what will be made of it.
    pub(crate) fn below(parent: &Path) -> Result<Self> {
        let path = parent.join(format!(".making-{}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        // Absolute, because tools run in other directories.
        Ok(Temporary(path.canonicalize()?))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            progress(&format!("warning: cannot remove {}: {error}", self.0.display()));
        }
    }
}

/// Writes a file so that it is there whole or not at all.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let part = path.with_added_extension("part");
    fs::write(&part, bytes)
        .and_then(|()| fs::rename(&part, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// `mkfs.ext4` of a directory, for a disk that is only ever read: no journal, nothing reserved.
pub(crate) fn make_ext4(from: &Path, image: &Path, label: &str) -> Result<()> {
    let size = output(Command::new("du").args(["--summarize", "--block-size=1M"]).arg(from))?;
    let used: u64 = size
        .split_whitespace()
        .next()
        .and_then(|text| text.parse().ok())
        .context("cannot read what `du` printed")?;
    // Metadata and the rounding of small files; an image that is too small makes mkfs fail, not lie.
    let megabytes = used + used / 8 + 32;
    run(Command::new("mkfs.ext4")
        .args(["-q", "-F", "-O", "^has_journal", "-m", "0", "-L", label, "-d"])
        .arg(from)
        .arg(image)
        .arg(format!("{megabytes}M")))
}

/// Builds a program of the workspace static against glibc, so that it runs in any image, and gives its path.
pub(crate) fn build_static(arguments: &[&str], program: &str) -> Result<PathBuf> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut build = cargo(&["build", "--quiet", "--target", &target]);
    // An explicit target keeps the flags away from build scripts and macros.
    run(build.env("RUSTFLAGS", "-C target-feature=+crt-static").args(arguments))?;
    let metadata =
        output(&mut cargo(&["metadata", "--no-deps", "--format-version", "1", "--offline"]))?;
    let metadata: serde_json::Value = serde_json::from_str(&metadata)?;
    let directory =
        metadata["target_directory"].as_str().context("cargo names no target directory")?;
    Ok(Path::new(directory).join(target).join(program))
}
