//! Brings the distribution's kernel package, without installing it.

use super::run::{run, text};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A kernel package, unpacked.
pub(super) struct Unpacked {
    /// Where: `boot/`, `lib/modules/`.
    pub(super) root: PathBuf,
    /// `linux-image-6.1.0-56-cloud-amd64 6.1.192-2`.
    pub(super) package: String,
}

/// Fetches and unpacks the newest kernel for virtual machines, or takes it from `cache`.
pub(super) fn fetch(cache: &Path) -> Result<Unpacked> {
    let image = resolve(meta_package()?)?;
    let version = candidate(&image)?;
    let package = format!("{image} {version}");
    let root = cache.join(package.replace([' ', ':', '~'], "_"));
    if root.join("complete").is_file() {
        return Ok(Unpacked { root, package });
    }
    let part = cache.join("part");
    if part.exists() {
        fs::remove_dir_all(&part).with_context(|| format!("cannot remove `{}`", part.display()))?;
    }
    let debs = part.join("debs");
    fs::create_dir_all(&debs).with_context(|| format!("cannot make `{}`", debs.display()))?;
    let unpacked = part.join("root");
    for name in std::iter::once(image.clone()).chain(modules_packages(&image)?) {
        eprintln!("fetching {name}");
        run(Command::new("apt-get").args(["download", "-q", &name]).current_dir(&debs))?;
    }
    for deb in fs::read_dir(&debs)? {
        run(Command::new("dpkg-deb").arg("-x").arg(deb?.path()).arg(&unpacked))?;
    }
    fs::write(unpacked.join("complete"), &package)?;
    fs::rename(&unpacked, &root)?;
    fs::remove_dir_all(&part)?;
    Ok(Unpacked { root, package })
}

/// The package that depends on the newest kernel for guests.
fn meta_package() -> Result<String> {
    let release = fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
    let arch = text(Command::new("dpkg").arg("--print-architecture"))?;
    let ubuntu = release.lines().any(|line| line == "ID=ubuntu");
    Ok(if ubuntu { "linux-image-virtual".to_owned() } else { format!("linux-image-cloud-{arch}") })
}

/// Follows a meta package to the package that holds the kernel.
fn resolve(meta: String) -> Result<String> {
    let depends = text(Command::new("apt-cache").args(["depends", "--important", &meta]))?;
    let names = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    let image = names.into_iter().find(|name| name.starts_with("linux-image-"));
    match image {
        Some(image) => Ok(image.to_owned()),
        None => bail!("`{meta}` names no kernel package; run `apt-get update` first"),
    }
}

/// Ubuntu keeps the modules in a package of their own.
fn modules_packages(image: &str) -> Result<Vec<String>> {
    let depends = text(Command::new("apt-cache").args(["depends", "--important", image]))?;
    let names = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    let modules = names.filter(|name| name.starts_with("linux-modules-"));
    Ok(modules.map(str::to_owned).collect())
}

fn candidate(package: &str) -> Result<String> {
    let policy = text(Command::new("apt-cache").args(["policy", package]))?;
    let mut lines = policy.lines().map(str::trim);
    let version = lines.find_map(|line| line.strip_prefix("Candidate: "));
    let version = version.with_context(|| format!("apt knows no version of `{package}`"))?;
    Ok(version.to_owned())
}
