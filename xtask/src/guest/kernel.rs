//! The kernel bundle, from the distribution's kernel package.

use super::cpio::Cpio;
use super::tools::{
    Temporary, build_static, make_ext4, progress, run, sha256, sha256_of, write_whole,
};
use super::{KernelArgs, modules, packages, vmlinux};
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The most that the agent may weigh: it is in every guest's memory.
const AGENT_MAX: usize = 3 * 1024 * 1024;

/// Raised when the same package must give another bundle.
const RECIPE: u32 = 1;

/// `kernel.json`: what a bundle was made of, and what it consists of.
#[derive(Serialize, Deserialize)]
struct Bundle {
    /// Which recipe made it.
    recipe: u32,
    /// The distribution's package.
    package: String,
    /// Its version.
    package_version: String,
    /// `uname -r`.
    release: String,
    /// SHA-256 of the parts.
    sha256: Sums,
}

#[derive(Serialize, Deserialize)]
struct Sums {
    vmlinux: String,
    modules: String,
    initramfs: String,
    agent: String,
}

/// Builds what is not up to date.
pub(crate) fn build(args: &KernelArgs) -> Result<()> {
    fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let distribution = packages::Distribution::here()?;
    let wanted = args.package.clone().unwrap_or_else(|| distribution.kernel_package());
    let (package, version) = packages::resolve_kernel(&wanted)?;
    let agent = agent(args)?;
    let path = args.out.join("kernel.json");
    let old: Option<Bundle> =
        fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let mut bundle = match old {
        Some(old) if is_of(&old, &package, &version) && has_all(&args.out) => {
            progress(&format!("kernel: {package} {version} is up to date"));
            old
        }
        _ => make_kernel(&args.out, package, version)?,
    };
    let agent_sum = sha256(&agent);
    if bundle.sha256.agent != agent_sum || !args.out.join("initramfs.cpio").exists() {
        progress("kernel: packing the agent into initramfs.cpio");
        let initramfs = pack(&args.out.join("early-modules"), &agent)?;
        bundle.sha256.initramfs = sha256(&initramfs);
        write_whole(&args.out.join("initramfs.cpio"), &initramfs)?;
        bundle.sha256.agent = agent_sum;
    }
    write_whole(&path, &serde_json::to_vec_pretty(&bundle)?)?;
    progress(&format!("kernel: {} in {}", bundle.release, args.out.display()));
    Ok(())
}

fn is_of(bundle: &Bundle, package: &str, version: &str) -> bool {
    bundle.recipe == RECIPE && bundle.package == package && bundle.package_version == version
}

fn has_all(out: &Path) -> bool {
    ["vmlinux", "modules.ext4", "early-modules/order"].iter().all(|name| out.join(name).exists())
}

/// The agent's bytes: given, or built static against glibc.
fn agent(args: &KernelArgs) -> Result<Vec<u8>> {
    let path = match &args.agent {
        Some(path) => path.clone(),
        None => build_agent()?,
    };
    let agent = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    if agent.len() > AGENT_MAX {
        bail!("the agent has {} bytes; it may have {AGENT_MAX}", agent.len());
    }
    Ok(agent)
}

fn build_agent() -> Result<PathBuf> {
    progress("kernel: building the agent");
    build_static(&["--profile", "agent", "--package", "flint-agent"], "agent/flint-agent")
}

fn make_kernel(out: &Path, package: String, version: String) -> Result<Bundle> {
    progress(&format!("kernel: downloading {package} {version}"));
    let work = Temporary::below(out)?;
    let tree = work.path().join("tree");
    fs::create_dir_all(&tree)?;
    packages::unpack(&package, work.path(), &tree)?;
    let release =
        package.trim_start_matches("linux-image-").trim_start_matches("unsigned-").to_owned();

    let image = tree.join("boot").join(format!("vmlinuz-{release}"));
    let image = fs::read(&image).with_context(|| format!("cannot read {}", image.display()))?;
    // arm64 (not tested): a VMM boots the package's Image itself.
    let kernel = if cfg!(target_arch = "x86_64") { vmlinux::extract(&image)? } else { image };

    let modules = modules_tree(&tree, &package, &release, work.path())?;
    progress("kernel: making modules.ext4");
    run(Command::new("depmod").arg("-b").arg(&modules).arg(&release))?;
    let made = work.path().join("modules.ext4");
    make_ext4(&modules.join("lib/modules"), &made, "flint-modules")?;
    fs::set_permissions(&made, fs::Permissions::from_mode(0o444))?;

    keep_early_modules(&modules.join("lib/modules").join(&release), &out.join("early-modules"))?;
    let sums = Sums {
        vmlinux: sha256(&kernel),
        modules: sha256_of(&made)?,
        initramfs: String::new(),
        agent: String::new(),
    };
    write_whole(&out.join("vmlinux"), &kernel)?;
    fs::rename(made, out.join("modules.ext4")).context("cannot put modules.ext4 in place")?;
    Ok(Bundle { recipe: RECIPE, package, package_version: version, release, sha256: sums })
}

/// A directory with `lib/modules/<release>`. Debian has the modules in the image's package, Ubuntu beside it.
fn modules_tree(tree: &Path, package: &str, release: &str, work: &Path) -> Result<PathBuf> {
    for lib in ["lib/modules", "usr/lib/modules"] {
        let modules = tree.join(lib).join(release);
        if !modules.join("kernel").exists() {
            let other = format!("linux-modules-{release}");
            if package.starts_with("linux-image-unsigned-") || !tree.join("lib/modules").exists() {
                packages::unpack(&other, work, tree)?;
            }
        }
        if modules.join("kernel").exists() {
            let root = work.join("modules");
            fs::create_dir_all(root.join("lib/modules"))?;
            let to = root.join("lib/modules").join(release);
            fs::rename(modules, to).context("cannot move the modules")?;
            return Ok(root);
        }
    }
    bail!("`{package}` brings no modules")
}

/// Keeps the plain modules, so that a new agent needs no new download.
fn keep_early_modules(directory: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to).with_context(|| format!("cannot replace {}", to.display()))?;
    }
    fs::create_dir_all(to)?;
    let mut order = String::new();
    for module in modules::collect(directory)? {
        fs::write(to.join(&module.name), &module.content)?;
        order += &format!("{}\n", module.name);
    }
    write_whole(&to.join("order"), order.as_bytes())
}

fn pack(modules: &Path, agent: &[u8]) -> Result<Vec<u8>> {
    let mut cpio = Cpio::new();
    cpio.directory("dev");
    // The kernel gives the first process this as its output, before there is any mount.
    cpio.character_device("dev/console", 5, 1);
    cpio.file("init", 0o755, agent);
    cpio.directory("modules");
    let order =
        fs::read_to_string(modules.join("order")).context("cannot read the modules' order")?;
    cpio.file("modules/order", 0o644, order.as_bytes());
    for name in order.lines() {
        let module = fs::read(modules.join(name)).with_context(|| format!("cannot read {name}"))?;
        cpio.file(&format!("modules/{name}"), 0o644, &module);
    }
    Ok(cpio.finish())
}
