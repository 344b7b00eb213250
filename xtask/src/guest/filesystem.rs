//! The default image: the distribution's packages, the user `runner`, and GitHub's runner, as one ext4 file.

use super::tools::{Temporary, make_ext4, progress, run, sha256};
use super::{FilesystemArgs, packages, runner};
use anyhow::{Context, Result, bail};
use serde_json::json;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The runner's user, with the number that GitHub's own images use.
const USER: (&str, u32) = ("runner", 1001);

/// Raised when the same packages must give another base.
const RECIPE: u32 = 1;

/// Builds the image.
pub(crate) fn build(args: &FilesystemArgs) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("building an image needs root: its files belong to root and other users");
    }
    let out =
        args.out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let cache = Path::new("build/cache");
    for directory in [out, cache] {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
    }
    let base = base(args, cache)?;
    let work = Temporary::below(out)?;
    let root = work.path().join("root");
    fs::create_dir_all(&root)?;
    progress("filesystem: unpacking the base");
    run(Command::new("tar")
        .args(["--extract", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--file"])
        .arg(&base)
        .arg("-C")
        .arg(&root)
        // Devices come from the kernel; making them would need more than root in a container.
        .args(["--exclude=./dev/*"]))?;
    runner::put_into(&root, args, cache)?;
    furnish(&root)?;
    progress("filesystem: making the ext4 file");
    let made = work.path().join("rootfs.ext4");
    make_ext4(&root, &made, "flint-rootfs")?;
    fs::set_permissions(&made, fs::Permissions::from_mode(0o444))?;
    fs::rename(&made, &args.out).with_context(|| format!("cannot write {}", args.out.display()))?;
    progress(&format!("filesystem: {}", args.out.display()));
    Ok(())
}

/// The base's archive, from the cache unless the package list or the suite changed.
fn base(args: &FilesystemArgs, cache: &Path) -> Result<PathBuf> {
    let distribution = packages::Distribution::here()?;
    let suite = args.suite.as_ref().unwrap_or(&distribution.suite);
    let list = fs::read_to_string(&args.packages)
        .with_context(|| format!("cannot read {}", args.packages.display()))?;
    let key = format!("{RECIPE} {} {suite} {} {list}", distribution.id, distribution.architecture);
    let base = cache.join(format!("base-{suite}-{}.tar", &sha256(key.as_bytes())[..16]));
    if base.exists() {
        progress(&format!("filesystem: using {}", base.display()));
        return Ok(base);
    }
    let packages = choose(&list, |name| {
        let show = Command::new("apt-cache").args(["show", name]).stderr(Stdio::null()).output();
        show.is_ok_and(|show| show.status.success() && !show.stdout.is_empty())
    });
    progress(&format!("filesystem: installing {} packages of {suite}", packages.len()));
    let part = base.with_extension("part.tar");
    let made = bootstrap(suite, &packages, &distribution.sources(suite)?, &part);
    if made.is_err() {
        // Best effort: mmdebstrap removes its own directories.
        let _absent = fs::remove_file(&part);
    }
    made?;
    fs::rename(&part, &base).with_context(|| format!("cannot write {}", base.display()))?;
    Ok(base)
}

/// The packages of a list; of alternatives (`a|b`) the first that is available, else the first.
fn choose(list: &str, available: impl Fn(&str) -> bool) -> Vec<&str> {
    let lines = list.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    lines
        .filter(|line| !line.is_empty())
        .filter_map(|line| {
            let mut names = line.split('|').map(str::trim);
            names.clone().find(|name| available(name)).or_else(|| names.next())
        })
        .collect()
}

fn bootstrap(suite: &str, packages: &[&str], sources: &str, archive: &Path) -> Result<()> {
    let mut command = Command::new("mmdebstrap");
    command
        .args(["--variant=minbase", "--mode=auto", "--quiet"])
        .arg(r#"--aptopt=APT::Install-Recommends "false""#)
        .arg(format!("--include={}", packages.join(",")));
    for kind in ["man", "doc", "locale", "info"] {
        command.arg(format!("--dpkgopt=path-exclude=/usr/share/{kind}/*"));
    }
    let mut child = command
        .arg(suite)
        .arg(archive)
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(std::io::stderr())
        .spawn()
        .context("cannot run `mmdebstrap`: is it installed?")?;
    let input = child.stdin.take();
    input.context("mmdebstrap has no input")?.write_all(sources.as_bytes())?;
    let status = child.wait()?;
    if !status.success() {
        bail!("`mmdebstrap` failed ({status})");
    }
    Ok(())
}

/// The user, its rights, and what the image says about itself.
fn furnish(root: &Path) -> Result<()> {
    let (name, id) = USER;
    append(root, "etc/passwd", &format!("{name}:x:{id}:{id}::/home/{name}:/bin/bash\n"))?;
    append(root, "etc/group", &format!("{name}:x:{id}:\n"))?;
    // Locked: `!` is no password. The agent sets one in a guest's overlay for `--interactive` only.
    append(root, "etc/shadow", &format!("{name}:!:19000:0:99999:7:::\n"))?;
    append(root, "etc/gshadow", &format!("{name}:!::\n"))?;

    let home = root.join("home").join(name);
    run(Command::new("cp").arg("-a").arg(root.join("etc/skel")).arg(&home))?;
    // The runner writes its registration and its work folder beside its programs.
    run(Command::new("chown")
        .args(["-R", &format!("{id}:{id}")])
        .arg(&home)
        .arg(root.join(runner::DIRECTORY)))?;

    let sudoers = root.join("etc/sudoers.d/90-runner");
    fs::write(&sudoers, format!("{name} ALL=(ALL) NOPASSWD:ALL\n"))?;
    fs::set_permissions(&sudoers, fs::Permissions::from_mode(0o440))?;

    fs::create_dir_all(root.join("etc/flint"))?;
    let image = json!({ "runner_dir": format!("/{}", runner::DIRECTORY), "env": {} });
    fs::write(root.join("etc/flint/image.json"), serde_json::to_vec_pretty(&image)?)?;
    fs::create_dir_all(root.join("lib/modules"))?;
    Ok(())
}

fn append(root: &Path, file: &str, line: &str) -> Result<()> {
    let path = root.join(file);
    let mut file = fs::File::options()
        .append(true)
        .create(true)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    file.write_all(line.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::choose;

    #[test]
    fn a_list_has_comments_and_alternatives() {
        let list = "# all\ngit # tool\n\nlibicu72|libicu74\nlibssl3|libssl3t64\n";
        let available = |name: &str| ["git", "libicu74"].contains(&name);
        assert_eq!(choose(list, available), ["git", "libicu74", "libssl3"]);
    }
}
