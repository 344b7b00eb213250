//! `cargo xtask kernel`: the distribution's kernel, an initramfs with the agent, and a disk of modules.

use super::cpio::Archive;
use super::modules::{self, Module};
use super::package::{self, Unpacked};
use super::run::{run, text};
use super::vmlinux;
use anyhow::{Context, Result, bail};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `cargo xtask kernel`.
#[derive(clap::Args)]
pub(crate) struct Kernel {
    /// Where vmlinux, initramfs.cpio, modules.ext4 and kernel.json go.
    #[arg(long, default_value = "build/kernel/linux")]
    out: PathBuf,
    /// Where packages are kept between runs.
    #[arg(long, default_value = "build/cache/kernel")]
    cache: PathBuf,
}

/// What `kernel.json` says.
#[derive(Serialize)]
struct Manifest<'a> {
    package: &'a str,
    release: &'a str,
    vmlinux_sha256: String,
    agent_sha256: String,
    modules: Vec<&'a str>,
}

/// The agent holds itself to this; every guest carries it.
const AGENT_MAX: usize = 3 << 20;

/// Builds all of it; what has not changed is kept.
pub(crate) fn kernel(args: &Kernel) -> Result<()> {
    let agent = build_agent()?;
    fs::create_dir_all(&args.out).with_context(|| format!("cannot make `{}`", args.out.display()))?;
    fs::create_dir_all(&args.cache)?;
    let Unpacked { root, package } = package::fetch(&args.cache)?;
    let folder = modules::folder(&root)?;
    let release = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let boot = modules::boot_modules(&folder)?;

    let image = fs::read(kernel_image(&root, &release)?)?;
    let vmlinux = vmlinux::extract(&image).context("cannot extract the kernel")?;
    let manifest = Manifest {
        package: &package,
        release: &release,
        vmlinux_sha256: hex(&Sha256::digest(&vmlinux)),
        agent_sha256: hex(&Sha256::digest(&agent)),
        modules: boot.iter().map(|module| module.name.as_str()).collect(),
    };
    let manifest = serde_json::to_string_pretty(&manifest)?;
    let written = args.out.join("kernel.json");
    let parts = ["vmlinux", "initramfs.cpio", "modules.ext4"];
    let whole = parts.iter().all(|part| args.out.join(part).is_file());
    if whole && fs::read_to_string(&written).is_ok_and(|old| old == manifest) {
        eprintln!("{} is up to date ({package})", args.out.display());
        return Ok(());
    }
    replace(&args.out.join("vmlinux"), &vmlinux)?;
    replace(&args.out.join("initramfs.cpio"), &initramfs(&agent, &boot))?;
    modules_disk(&folder, &args.out.join("modules.ext4"))?;
    replace(&written, manifest.as_bytes())?;
    eprintln!("{}: {package}, agent {} KiB", args.out.display(), agent.len() / 1024);
    Ok(())
}

/// Static, so that it runs in any image: glibc with `crt-static` needs no other toolchain.
pub(crate) fn build_agent() -> Result<Vec<u8>> {
    let program = build_static(&["-p", "flint-agent", "--profile", "agent"], "agent/flint-agent")?;
    let agent = fs::read(&program)?;
    if agent.len() > AGENT_MAX {
        bail!("the agent has {} bytes; its budget is {AGENT_MAX}", agent.len());
    }
    Ok(agent)
}

/// Builds a static program for this machine and gives its path.
pub(crate) fn build_static(args: &[&str], program: &str) -> Result<PathBuf> {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--target", &target]).args(args);
    // The explicit target keeps build scripts and macros out of it.
    run(command.env("RUSTFLAGS", "-C target-feature=+crt-static"))?;
    let folder = text(Command::new("cargo").args(["metadata", "--no-deps", "--format-version=1"]))?;
    let folder: serde_json::Value = serde_json::from_str(&folder)?;
    let folder = folder["target_directory"].as_str().context("cargo names its target folder")?;
    Ok(Path::new(folder).join(target).join(program))
}

fn kernel_image(root: &Path, release: &str) -> Result<PathBuf> {
    let names = [format!("boot/vmlinuz-{release}"), format!("usr/lib/modules/{release}/vmlinuz")];
    let found = names.iter().map(|name| root.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("the package has no kernel image for {release}"))
}

/// `/init` is the agent; `/modules/order` names what it loads, a line each.
fn initramfs(agent: &[u8], boot: &[Module]) -> Vec<u8> {
    let mut archive = Archive::default();
    for folder in ["dev", "proc", "sys", "run", "mnt", "modules"] {
        archive.folder(folder);
    }
    archive.device("dev/console", 0o600, (5, 1));
    archive.file("init", 0o755, agent);
    let order: String = boot.iter().map(|module| format!("{}\n", module.name)).collect();
    archive.file("modules/order", 0o644, order.as_bytes());
    for module in boot {
        archive.file(&format!("modules/{}", module.name), 0o644, &module.content);
    }
    archive.finish()
}

/// The whole tree, so that a job may load what it likes (docker wants a dozen).
fn modules_disk(folder: &Path, to: &Path) -> Result<()> {
    let parent = folder.parent().context("modules lie in lib/modules")?;
    let used = text(Command::new("du").args(["-sm", "--apparent-size"]).arg(folder))?;
    let used: u64 = used.split_whitespace().next().unwrap_or("0").parse()?;
    let part = to.with_extension("part");
    let size = format!("{}M", used + used / 4 + 8);
    run(Command::new("/sbin/mkfs.ext4")
        .args(["-q", "-F", "-m", "0", "-O", "^has_journal", "-U", "00000000-0000-0000-0000-000000000000"])
        .arg("-d").arg(parent).arg(&part).arg(size))?;
    publish(&part, to)
}

/// Writes beside and renames: who opens the file sees all of it.
pub(crate) fn replace(to: &Path, content: &[u8]) -> Result<()> {
    let part = to.with_extension("part");
    fs::write(&part, content).with_context(|| format!("cannot write `{}`", part.display()))?;
    publish(&part, to)
}

/// Read only, for many microVMs at once.
pub(crate) fn publish(part: &Path, to: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(part, fs::Permissions::from_mode(0o444))?;
    fs::rename(part, to).with_context(|| format!("cannot write `{}`", to.display()))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
