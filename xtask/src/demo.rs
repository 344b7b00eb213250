//! `cargo xtask demo`, `kill-matrix` and `escape`: make what the made-up GitHub's jobs need, then run them.

use crate::cargo::{cargo, run};
use crate::guest::{self, FilesystemArgs, KernelArgs};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The demo's image: the default one with a runner that speaks GitHub's protocol to a made-up GitHub.
pub(crate) const IMAGE: &str = "build/demo/rootfs.ext4";

/// The demo's kernel is the one that `make kernel` makes.
pub(crate) const KERNEL: &str = "build/kernel/linux/vmlinux";

/// Builds what is missing, and says whether the demo went well.
pub(crate) fn demo(arguments: &[String]) -> Result<bool> {
    prepare()?;
    let mut demo = cargo(&["run", "--quiet", "--package", "flint-sim", "--bin", "demo", "--"]);
    Ok(demo.args(arguments).status()?.success())
}

/// Builds what is missing, and says whether every kill was survived.
pub(crate) fn kill_matrix(arguments: &[String]) -> Result<bool> {
    let with = ["--package", "flint-sim", "--features", "kill-points", "--bin"];
    run(&mut cargo(&[&["build"], &with[..], &["killable"]].concat()))?;
    guests()?;
    let mut matrix = cargo(&[&["run", "--quiet"], &with[..], &["kill-matrix", "--"]].concat());
    Ok(matrix.args(arguments).status()?.success())
}

/// Builds what is missing, and says whether the intruder got hold of nothing.
pub(crate) fn escape(arguments: &[String]) -> Result<bool> {
    prepare()?;
    let mut escape = cargo(&["run", "--quiet", "--package", "flint-sim", "--bin", "escape", "--"]);
    Ok(escape.args(arguments).status()?.success())
}

/// Programs, kernel and image; what is up to date stays as it is.
pub(crate) fn prepare() -> Result<()> {
    run(&mut cargo(&["build", "--package", "flint", "--package", "flint-sim", "--bins"]))?;
    guests()
}

fn guests() -> Result<()> {
    guest::kernel(&KernelArgs::into(Path::new(KERNEL)))?;
    let runner = runner()?;
    guest::filesystem(&FilesystemArgs::with_runner(Path::new(IMAGE), &runner))
}

/// A folder with the fake runner and the intruder of `escape`, or the one that the user put in its place.
fn runner() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("FLINT_RUNNER_DIR") {
        return Ok(PathBuf::from(folder));
    }
    let folder = PathBuf::from("build/demo/runner");
    fs::create_dir_all(folder.join("bin"))?;
    let package = ["--package", "flint-sim", "--no-default-features", "--profile", "agent"];
    for (name, place) in [("fake-runner", "Runner.Listener"), ("intruder", "intruder")] {
        let arguments = [&package[..], &["--bin", name]].concat();
        let program = guest::build_static(&arguments, &format!("agent/{name}"))?;
        let to = folder.join("bin").join(place);
        fs::copy(&program, &to).with_context(|| format!("cannot write `{}`", to.display()))?;
    }
    tell_version(&folder)?;
    Ok(folder)
}

/// Beside GitHub's own runner lies a list that names its version.
fn tell_version(folder: &Path) -> Result<()> {
    let listener = folder.join("bin/Runner.Listener");
    let told = Command::new(&listener).arg("--version").output();
    let told = told.with_context(|| format!("cannot run `{}`", listener.display()))?;
    let version = String::from_utf8(told.stdout).context("it told no text")?;
    let parts = serde_json::json!({ (format!("Runner.Listener/{}", version.trim())): {} });
    let manifest = serde_json::json!({ "targets": { "fake": parts } });
    let to = folder.join("bin/Runner.Listener.deps.json");
    fs::write(&to, manifest.to_string()).with_context(|| format!("cannot write `{}`", to.display()))
}
