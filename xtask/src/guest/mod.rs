//! What a guest is made of: the kernel bundle and the default image.
//!
//! Both are built from the packages of the machine's own distribution, with the machine's own mirrors.

mod cpio;
mod filesystem;
mod kernel;
mod modules;
mod packages;
mod runner;
mod tools;
mod vmlinux;

pub(crate) use tools::build_static;

use anyhow::Result;
use std::path::{Path, PathBuf};

/// Builds the kernel bundle: vmlinux, initramfs.cpio with the agent, modules.ext4, kernel.json.
#[derive(clap::Args)]
pub(crate) struct KernelArgs {
    /// Where the bundle goes.
    #[arg(long, default_value = "build/kernel/linux")]
    out: PathBuf,
    /// A kernel package instead of the distribution's usual one for virtual machines.
    #[arg(long)]
    package: Option<String>,
    /// A static agent that was built elsewhere, instead of building it here.
    #[arg(long)]
    agent: Option<PathBuf>,
}

/// Builds the default image, an ext4 file with everything a runner needs.
#[derive(clap::Args)]
pub(crate) struct FilesystemArgs {
    /// The image file.
    #[arg(long, default_value = "build/rootfs/rootfs.ext4")]
    out: PathBuf,
    /// The package list.
    #[arg(long, default_value = "guest/packages.txt")]
    packages: PathBuf,
    /// The distribution's suite; that of this machine unless given.
    #[arg(long)]
    suite: Option<String>,
    /// GitHub's runner as a downloaded `.tar.gz`.
    #[arg(long, env = "RUNNER_TARBALL")]
    runner_tarball: Option<PathBuf>,
    /// Download this version of GitHub's runner; needs `--runner-sha256`.
    #[arg(long, env = "RUNNER_VERSION", requires = "runner_sha256")]
    runner_version: Option<String>,
    /// The SHA-256 that the runner's archive must have.
    #[arg(long, env = "RUNNER_SHA256")]
    runner_sha256: Option<String>,
    /// A directory to use as the runner's, such as the demo's fake one.
    #[arg(long, env = "FLINT_RUNNER_DIR", conflicts_with_all = ["runner_tarball", "runner_version"])]
    fake_runner: Option<PathBuf>,
}

impl KernelArgs {
    /// The usual bundle, beside this kernel.
    pub(crate) fn into(kernel: &Path) -> Self {
        let out = kernel.parent().unwrap_or(Path::new(".")).to_owned();
        KernelArgs { out, package: None, agent: None }
    }
}

impl FilesystemArgs {
    /// The usual image with the runner in this folder.
    pub(crate) fn with_runner(out: &Path, runner: &Path) -> Self {
        FilesystemArgs {
            out: out.to_owned(),
            packages: "guest/packages.txt".into(),
            suite: None,
            runner_tarball: None,
            runner_version: None,
            runner_sha256: None,
            fake_runner: Some(runner.to_owned()),
        }
    }
}

/// Builds the kernel bundle.
pub(crate) fn kernel(args: &KernelArgs) -> Result<()> {
    kernel::build(args)
}

/// Builds the default image.
pub(crate) fn filesystem(args: &FilesystemArgs) -> Result<()> {
    filesystem::build(args)
}
