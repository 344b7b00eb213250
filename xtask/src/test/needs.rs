//! What a tier needs from the machine, looked at before it runs, so that what cannot run is named and not failed.

use super::tiers::Need;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What the demo boots, relative to the workspace.
const KERNEL: &[&str] = &["build/kernel/linux/vmlinux", "build/kernel/linux/initramfs.cpio"];
const IMAGE: &[&str] = &[crate::demo::IMAGE];
/// Where distributions keep QEMU's smallest firmware, without which `microvm` does not load a kernel.
const QBOOT: &[&str] = &["/usr/share/qemu/qboot.rom", "/usr/share/seabios/qboot.rom"];

/// Why a need is not met, in words that follow "not run:"; `None` when it is met.
pub(crate) fn missing(need: Need) -> Option<String> {
    match need {
        Need::Root => (!is_root()).then(|| "needs root".to_owned()),
        Need::Tun => cannot_open("/dev/net/tun"),
        Need::Namespaces => no_namespaces(),
        Need::Program(name) => find(name).is_none().then(|| format!("no `{name}` in PATH")),
        Need::Systemd => {
            let found = Path::new("/lib/systemd/systemd").exists();
            (!found).then(|| "no /lib/systemd/systemd (package systemd)".to_owned())
        }
        Need::Cgroup2 => {
            let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
            let writable = mounts.contains(" cgroup2 rw");
            (!writable).then(|| "no cgroup2 is mounted to be written".to_owned())
        }
        Need::Qboot => {
            let found = QBOOT.iter().any(|path| Path::new(path).exists());
            (!found).then(|| "no qboot.rom (package qemu-system-x86)".to_owned())
        }
        Need::Kernel => made_or_why(&["kernel"], KERNEL),
        Need::Image => made_or_why(&["demo", "--prepare"], IMAGE),
        Need::Kvm => cannot_open("/dev/kvm"),
        Need::Binary { variable, name } => no_binary(variable, name),
    }
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn cannot_open(path: &str) -> Option<String> {
    let opened = OpenOptions::new().read(true).write(true).open(path);
    opened.err().map(|error| format!("cannot open {path}: {error}"))
}

fn no_namespaces() -> Option<String> {
    let mut command = Command::new("unshare");
    command.args(["--net", "true"]).stdout(Stdio::null()).stderr(Stdio::null());
    let made = command.status().is_ok_and(|status| status.success());
    (!made).then(|| "cannot make a network namespace".to_owned())
}

/// The program's path, looked up as a shell does.
fn find(name: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    let sbin = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let mut places = std::env::split_paths(&folders).chain(sbin);
    places.find_map(|folder| Some(folder.join(name)).filter(|path| path.is_file()))
}

fn no_binary(variable: &str, name: &str) -> Option<String> {
    match std::env::var_os(variable) {
        Some(path) if Path::new(&path).is_file() => None,
        Some(path) => Some(format!("{variable} names no file: `{}`", path.to_string_lossy())),
        None => find(name).is_none().then(|| format!("no {name} binary found")),
    }
}

/// Makes what is not up to date by a command of these tools: an agent of yesterday would be tested in place of today's.
fn made_or_why(command: &[&str], files: &[&str]) -> Option<String> {
    let root = crate::root();
    let is_made = || files.iter().all(|file| root.join(file).is_file());
    crate::say(&format!("making what the tests boot: cargo xtask {}", command.join(" ")));
    let made = std::env::current_exe()
        .and_then(|program| Command::new(program).args(command).current_dir(&root).status());
    match made {
        Ok(status) if status.success() && is_made() => None,
        _ => Some(format!("`cargo xtask {}` did not make {}", command.join(" "), files.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_there_is_found_and_others_are_named() {
        assert_eq!(missing(Need::Program("sh")), None);
        let wanted = Some("no `flint-has-no-such-program` in PATH".to_owned());
        assert_eq!(missing(Need::Program("flint-has-no-such-program")), wanted);
    }

    #[test]
    fn a_device_that_cannot_be_opened_is_named_with_the_cause() {
        let told = cannot_open("/dev/flint-has-no-such-device").unwrap();
        assert!(told.starts_with("cannot open /dev/flint-has-no-such-device: "), "{told}");
    }

    #[test]
    fn a_binary_nobody_names_is_looked_for_in_the_path() {
        let need = Need::Binary { variable: "FLINT_HAS_NO_SUCH_VARIABLE", name: "flint-nowhere" };
        assert_eq!(missing(need), Some("no flint-nowhere binary found".to_owned()));
    }
}
