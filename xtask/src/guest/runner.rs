//! GitHub's runner for the image: from a file, a download, or a directory.

use super::FilesystemArgs;
use super::tools::{progress, run, sha256_of};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the agent looks for it in a guest.
pub(crate) const DIRECTORY: &str = "opt/actions-runner";

/// Puts the runner that was asked for into a root; without one, says so and leaves its place empty.
pub(crate) fn put_into(root: &Path, args: &FilesystemArgs, cache: &Path) -> Result<()> {
    let place = root.join(DIRECTORY);
    fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
    if let Some(directory) = &args.fake_runner {
        progress(&format!("filesystem: using the runner in {}", directory.display()));
        run(Command::new("cp").arg("-a").arg(directory.join(".")).arg(&place))?;
    } else if let Some(archive) = archive(args, cache)? {
        run(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(&place))?;
    } else {
        progress(
            "WARNING: the image has NO RUNNER: it boots, but no job can run in it.\n\
             WARNING: set RUNNER_TARBALL=FILE, or --runner-version with --runner-sha256.",
        );
        return Ok(());
    }
    if !place.join("bin/Runner.Listener").exists() {
        bail!("the runner has no bin/Runner.Listener");
    }
    Ok(())
}

/// The runner's archive, checked.
fn archive(args: &FilesystemArgs, cache: &Path) -> Result<Option<PathBuf>> {
    let archive = match (&args.runner_tarball, &args.runner_version) {
        (Some(archive), _) => archive.clone(),
        (None, Some(version)) => download(version, cache)?,
        (None, None) => return Ok(None),
    };
    let sum = sha256_of(&archive)?;
    match &args.runner_sha256 {
        Some(expected) if !expected.eq_ignore_ascii_case(&sum) => {
            let archive = archive.display();
            bail!("{archive} has SHA-256 {sum}, not {expected}: it is not used")
        }
        Some(_) => {}
        None => progress(&format!("filesystem: the runner's SHA-256 is {sum} (not checked)")),
    }
    Ok(Some(archive))
}

fn download(version: &str, cache: &Path) -> Result<PathBuf> {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    let name = format!("actions-runner-linux-{architecture}-{version}.tar.gz");
    let archive = cache.join(&name);
    if archive.exists() {
        return Ok(archive);
    }
    progress(&format!("filesystem: downloading {name}"));
    let part = archive.with_added_extension("part");
    let url = format!("https://github.com/actions/runner/releases/download/v{version}/{name}");
    run(Command::new("curl")
        .args(["--fail", "--location", "--silent", "--show-error", "-o"])
        .arg(&part)
        .arg(url))?;
    fs::rename(&part, &archive).context("cannot keep the runner's archive")?;
    Ok(archive)
}
