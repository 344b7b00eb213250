//! What of the machine itself microVMs need: KVM, devices, the firewall's tool, switches of the kernel.

use super::Line;
use crate::host::Layout;
use crate::sys::{host_facts, program, scope};
use crate::vmm::choose::known;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

/// All lines about the machine.
pub(super) fn look(run_dir: &Path, state_dir: &Path) -> Vec<Line> {
    vec![
        user(),
        kvm(&known(&Layout::new(state_dir).canary())),
        kernel(),
        device(),
        program("nft", "apt install nftables"),
        program("mkfs.ext4", "apt install e2fsprogs"),
        swap(),
        merging(),
        smt(),
        scopes(),
        socket_path(run_dir),
    ]
}

fn user() -> Line {
    match rustix::process::geteuid().is_root() {
        true => Line::ok("user", "root"),
        false => Line::bad(
            "user",
            "not root",
            "run flint as root: it makes jails, namespaces and devices",
        ),
    }
}

/// That the kernel makes a machine does not prove that a guest boots in it: nested and software KVMs differ.
/// `known` is what test guests have shown in this boot.
fn kvm(known: &[(String, bool)]) -> Line {
    match host_facts::try_kvm() {
        Ok(()) => proved(known),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let fix = "turn virtualization on in the firmware and load kvm_intel or kvm_amd; `vmm = \"qemu\"` works without, slowly";
            Line::warn("kvm", "/dev/kvm is not there", fix)
        }
        Err(error) => {
            let fix =
                "flint falls back to QEMU without KVM, slowly; is /dev/kvm open to this user?";
            Line::warn("kvm", format!("/dev/kvm: {error}"), fix)
        }
    }
}

fn proved(known: &[(String, bool)]) -> Line {
    let under = |lives: bool| -> Vec<&str> {
        known
            .iter()
            .filter(|(_, answered)| *answered == lives)
            .map(|(vmm, _)| vmm.as_str())
            .collect()
    };
    match (under(true), under(false)) {
        (lives, dead) if lives.is_empty() && dead.is_empty() => Line::ok(
            "kvm",
            "makes a machine; whether guests boot in it is proved by a canary when flint starts",
        ),
        (lives, dead) if dead.is_empty() => Line::ok(
            "kvm",
            format!("runs guests: one answered in this boot under {}", lives.join(", ")),
        ),
        (_, dead) => Line::warn(
            "kvm",
            format!(
                "makes a machine, but no guest answered in this boot under {}",
                dead.join(", ")
            ),
            "flint falls back to QEMU without KVM, slowly; once it is cured, remove `canary` in the state directory and restart",
        ),
    }
}

/// 5.10 is the oldest kernel that Firecracker is validated on.
fn kernel() -> Line {
    let release = host_facts::kernel_release();
    let mut numbers = release.split(['.', '-']).map_while(|part| part.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) if (major, minor) >= (5, 10) => Line::ok("kernel", release),
        _ => Line::warn("kernel", release, "Firecracker is validated on 5.10, 6.1 and newer"),
    }
}

fn device() -> Line {
    match std::fs::OpenOptions::new().read(true).write(true).open("/dev/net/tun") {
        Ok(_) => Line::ok("tun", "/dev/net/tun"),
        Err(error) => Line::bad(
            "tun",
            format!("/dev/net/tun: {error}"),
            "modprobe tun; in a container, pass the device in",
        ),
    }
}

fn program(name: &'static str, fix: &str) -> Line {
    match on_path(name) {
        Some(path) => Line::ok(name, path.display().to_string()),
        None => Line::bad(name, "not on the PATH", fix),
    }
}

fn on_path(name: &str) -> Option<PathBuf> {
    let search = program::search();
    std::env::split_paths(&search).map(|dir| dir.join(name)).find(|file| file.is_file())
}

fn merging() -> Line {
    let fix = "echo 0 > /sys/kernel/mm/ksm/run: merged pages leak between tenants";
    switch("ksm", host_facts::page_merging(), "0", fix)
}

fn swap() -> Line {
    match host_facts::has_swap() {
        false => Line::ok("swap", "off"),
        true => Line::warn(
            "swap",
            "on",
            "swapoff -a: a guest's memory, secrets too, can reach the disk",
        ),
    }
}

fn switch(item: &'static str, value: Option<String>, good: &str, fix: &str) -> Line {
    match value {
        Some(value) if value == good => Line::ok(item, value),
        Some(value) => Line::warn(item, format!("{value} instead of {good}"), fix),
        None => Line::ok(item, "this kernel has none"),
    }
}

fn smt() -> Line {
    match host_facts::smt_active().as_deref() {
        Some("1") => Line::warn(
            "smt",
            "on",
            "jobs of different tenants can share a core: boot with nosmt if that matters",
        ),
        _ => Line::ok("smt", "off"),
    }
}

/// Who makes the group of each microVM. Only a scope that was really made proves that systemd does.
fn scopes() -> Line {
    if !scope::booted() {
        return Line::ok(
            "scopes",
            "systemd does not manage this host: Flint makes each microVM's group itself",
        );
    }
    match scope::try_one() {
        Ok(()) => Line::ok("scopes", "systemd makes a scope for each microVM"),
        Err(error) => Line::warn(
            "scopes",
            format!("Flint makes each microVM's group itself: {error}"),
            "run flint as root, with `systemd-run` (236 or newer) on the PATH and /run/systemd/private there",
        ),
    }
}

/// A UNIX socket's address has 107 bytes.
fn socket_path(run_dir: &Path) -> Line {
    let socket = run_dir.join(crate::api::SOCKET);
    match socket.as_os_str().len() {
        0..=107 => Line::ok("socket", socket.display().to_string()),
        _ => Line::bad(
            "socket",
            "its path is longer than 107 bytes",
            "set a shorter `[host] run_dir`",
        ),
    }
}

/// Whether the webhook's port can be had.
pub(super) fn port(address: SocketAddr) -> Line {
    match TcpListener::bind(address) {
        Ok(_) => Line::ok("port", format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Line::warn(
            "port",
            format!("{address} is in use"),
            "fine if it is flint; else set `[server] listen`",
        ),
        Err(error) => Line::bad("port", format!("{address}: {error}"), "set `[server] listen`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Verdict;

    #[test]
    fn what_test_guests_have_shown_in_this_boot_is_told() {
        let [good, bad] = [true, false].map(|lives| (format!("a VMM that is {lives}"), lives));
        assert!(proved(&[]).reading.contains("is proved by a canary"));
        let line = proved(std::slice::from_ref(&good));
        assert_eq!(line.verdict, Verdict::Ok);
        assert!(line.reading.ends_with("under a VMM that is true"), "{line:?}");
        let line = proved(&[good, bad]);
        assert_eq!(line.verdict, Verdict::Warn);
        assert!(line.reading.ends_with("under a VMM that is false"), "{line:?}");
    }
}
