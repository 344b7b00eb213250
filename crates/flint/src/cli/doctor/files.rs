//! The files that microVMs are made of: programs, kernels, images, and the file system they live on.

use super::Line;
use crate::cli::files::{Looked, Role, look as look_at};
use crate::config::{Config, HostOptions, VmmChoice};
use crate::host::Layout;
use crate::store::{self, Health};
use crate::sys::accounts::Accounts;
use crate::sys::host_facts::Mount;
use crate::sys::readings::{self, Readings};
use crate::sys::{host_facts, program, tree};
use crate::vmm::qemu::known_firmware;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// All lines about files.
pub(super) fn look(config: &Config, readings: &Readings) -> Vec<Line> {
    let mut lines = Vec::new();
    if config.host.vmm != VmmChoice::Qemu || config.host.firecracker.exists() {
        lines.extend(firecracker(&config.host));
    }
    if config.host.vmm != VmmChoice::Firecracker {
        lines.extend(qemu(&config.host.qemu));
    }
    let mount = host_facts::mount_of(&config.host.state_dir);
    lines.push(state_dir(&config.host.state_dir, mount, config.host.vmm));
    lines.push(free_disk(&config.host.state_dir));
    lines.push(store_in(&config.host.state_dir));
    lines.push(jails(&Layout::new(&config.host.state_dir).jails()));
    lines.push(seccomp(&Layout::new(&config.host.state_dir).jails()));
    lines.push(ids(&config.host, &readings.accounts));
    for (item, role) in [("kernel file", Role::Kernel), ("image", Role::Image)] {
        lines.extend(
            look_at(config, role).iter().map(|file| named(item, file, &config.host.state_dir)),
        );
    }
    lines
}

fn firecracker(host: &HostOptions) -> Vec<Line> {
    let both = [("firecracker", &host.firecracker), ("jailer", &host.jailer)];
    let mut lines: Vec<Line> = both.iter().map(|(item, path)| static_program(item, path)).collect();
    if let [Some(firecracker), Some(jailer)] = both.map(|(_, path)| version(path)) {
        lines.push(match firecracker == jailer {
            true => Line::ok("versions", firecracker),
            false => {
                let reading = format!("firecracker {firecracker}, jailer {jailer}");
                Line::bad("versions", reading, "take both from one release")
            }
        });
    }
    lines
}

/// A program that needs a loader cannot start in a jail that has none, and has no seccomp filter of its own.
fn static_program(item: &'static str, path: &Path) -> Line {
    let shown = path.display();
    match std::fs::read(path) {
        Err(error) => {
            let fix = format!("install Firecracker's release, or give --{item}");
            Line::warn(item, format!("{shown}: {error}"), &fix)
        }
        Ok(bytes) => match is_static(&bytes) {
            None => Line::bad(
                item,
                format!("{shown} is no program for this kind of machine"),
                "install the release",
            ),
            Some(false) => {
                let fix = "take the static (musl) release: this one cannot start in its jail";
                Line::bad(item, format!("{shown} is dynamically linked"), fix)
            }
            Some(true) => match tree::writable_by_others(path) {
                Ok(None) => Line::ok(item, shown.to_string()),
                Ok(Some(open)) => {
                    let reading =
                        format!("{shown}: others than root can write `{}`", open.display());
                    Line::bad(item, reading, "chown root and chmod go-w: it is started as root")
                }
                Err(error) => Line::warn(item, format!("{shown}: {error}"), "look at its rights"),
            },
        },
    }
}

/// Whether a 64-bit little-endian ELF file names no loader (`PT_INTERP`); `None` if it is no such file.
pub(super) fn is_static(elf: &[u8]) -> Option<bool> {
    const PT_INTERP: u32 = 3;
    let number = |at: usize, len: usize| -> Option<usize> {
        let bytes = elf.get(at..at.checked_add(len)?)?;
        Some(bytes.iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    };
    if elf.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let (table, size, count) = (number(0x20, 8)?, number(0x36, 2)?, number(0x38, 2)?);
    for index in 0..count {
        let kind = number(table.checked_add(index.checked_mul(size)?)?, 4)?;
        if u32::try_from(kind) == Ok(PT_INTERP) {
            return Some(false);
        }
    }
    Some(true)
}

/// The version in the first line of `--version`: `Firecracker v1.13.1`.
fn version(file: &Path) -> Option<String> {
    let output = program::tool(file).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut words = text.lines().next()?.split_whitespace();
    words.rfind(|word| word.contains('.')).map(str::to_owned)
}

fn qemu(program: &Path) -> Vec<Line> {
    let found = match version_line(program) {
        Some(line) => Line::ok("qemu", line),
        None => Line::warn(
            "qemu",
            format!("{} does not run", program.display()),
            "apt install qemu-system-x86",
        ),
    };
    let rom = match known_firmware() {
        Some(path) => Line::ok("qboot.rom", path.display().to_string()),
        None => Line::warn(
            "qboot.rom",
            "not found",
            "apt install qemu-system-data: its microvm needs this firmware",
        ),
    };
    vec![found, rom]
}

fn version_line(file: &Path) -> Option<String> {
    let output = program::tool(file).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().next().map(str::to_owned)
}

/// Of the VMMs only Firecracker has its program and its devices in the jail.
fn state_dir(directory: &Path, mount: Option<Mount>, vmm: VmmChoice) -> Line {
    let Some(mount) = mount else {
        return Line::warn(
            "state dir",
            directory.display().to_string(),
            "its file system is unknown",
        );
    };
    let reading =
        format!("{} on {} ({})", directory.display(), mount.kind, mount.options.join(","));
    let has = |option: &str| mount.options.iter().any(|has| has == option);
    let fix = "Firecracker's jails hold devices and a program: mount it with dev,exec, or set `[host] state_dir`";
    match (has("nodev") || has("noexec"), vmm) {
        _ if has("ro") => {
            Line::bad("state dir", reading, "it is read-only: set `[host] state_dir`")
        }
        (true, VmmChoice::Firecracker) => Line::bad("state dir", reading, fix),
        (true, VmmChoice::Auto) => {
            Line::warn("state dir", format!("{reading}: microVMs run under QEMU"), fix)
        }
        (true, VmmChoice::Qemu) | (false, _) => Line::ok("state dir", reading),
    }
}

fn free_disk(directory: &Path) -> Line {
    let free = host_facts::free_disk_mib(directory).unwrap_or(0);
    match free {
        0..10_240 => {
            Line::warn("free disk", format!("{free} MiB"), "a job's scratch disk may need 20 GiB")
        }
        _ => Line::ok("free disk", format!("{} GiB", free / 1024)),
    }
}

/// As a start would find it, but nothing is written and a running daemon is left alone.
fn store_in(directory: &Path) -> Line {
    match store::look(directory) {
        Ok(Some(Health { reading, damage: None })) => Line::ok("store", reading),
        Ok(Some(Health { reading, damage: Some(damage) })) => {
            let fix =
                "the world is whole and flint goes on; what it cannot read of its history is lost";
            Line::warn("store", format!("{reading}, with damage in its history: {damage}"), fix)
        }
        Ok(None) => Line::ok("store", "none yet: the first start makes it"),
        Err(error) => {
            let fix =
                error.help().unwrap_or_else(|| "`flint serve` would refuse it too".to_owned());
            Line::bad("store", crate::error::chain(&error), &fix)
        }
    }
}

/// Whoever can write above a jail can put another program into it.
fn jails(dir: &Path) -> Line {
    let fix = "it and each directory above must be root's, and `chmod go-w`";
    match tree::writable_by_others(dir) {
        Ok(None) => Line::ok("jails", dir.display().to_string()),
        Ok(Some(open)) => {
            Line::bad("jails", format!("others than root can write `{}`", open.display()), fix)
        }
        Err(error) => Line::warn("jails", format!("{}: {error}", dir.display()), fix),
    }
}

/// The microVMs that run now. A start looks at each new one too.
fn seccomp(jails: &Path) -> Line {
    let engines = tree::entries(jails).unwrap_or_default();
    let dirs = engines.iter().flat_map(|engine| tree::entries(engine).unwrap_or_default());
    let counts =
        dirs.filter_map(|dir| Some((readings::unfiltered_threads(&dir.join("process"))?, dir)));
    let counts: Vec<_> = counts.collect();
    let open = counts.iter().filter(|(threads, _)| *threads > 0);
    let open: Vec<String> = open.map(|(_, dir)| dir.display().to_string()).collect();
    match (counts.len(), open.is_empty()) {
        (0, _) => Line::note(
            "seccomp",
            "cannot be read: no microVM runs",
            "each is looked at when it starts",
        ),
        (count, true) => {
            Line::ok("seccomp", format!("a filter on every thread of {count} microVMs"))
        }
        (_, false) => Line::bad(
            "seccomp",
            format!("no filter on a thread of {}", open.join(", ")),
            "take the static release of Firecracker, and unset `[host] allow_unfiltered_vmm`",
        ),
    }
}

/// A user of the host with a microVM's uid could read its disk and signal its process; so could a user whose
/// containers get that uid.
fn ids(host: &HostOptions, accounts: &Accounts) -> Line {
    let [uids, gids] = host.ids();
    let taken = accounts.among(&uids, &gids);
    let reading =
        format!("{} to {}, gids {} to {}", uids.start(), uids.end(), gids.start(), gids.end());
    if !taken.is_empty() {
        let reading = format!("{reading}, among them {}", taken.join(", "));
        let fix = "set `[host] uid_base` and `gid_base` to a range that nobody has, such as 900000";
        return Line::warn("uids", reading, fix);
    }
    match accounts.unread() {
        unread if unread.is_empty() => Line::ok("uids", reading),
        unread => {
            let reading = format!("{reading}; {} cannot be read", unread.join(", "));
            Line::note("uids", reading, "users of another directory service are not seen either")
        }
    }
}

/// Hard links into a jail need one file system; elsewhere the file is copied at each launch.
fn named(item: &'static str, file: &Looked, state_dir: &Path) -> Line {
    let shown = format!("{}: {}", file.path.display(), file.found);
    if !file.good {
        let fix =
            "`make kernel` and `make filesystem` build both; --kernel and --filesystem name them";
        return Line::bad(item, shown, fix);
    }
    let device =
        |path: &Path| path.ancestors().find_map(|dir| dir.metadata().ok()).map(|meta| meta.dev());
    match device(&file.path) == device(state_dir) {
        true => Line::ok(item, shown),
        false => Line::warn(
            item,
            shown,
            "put it on the state directory's file system: jails hard-link it",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// An ELF header with one program header of this kind.
    fn elf(kind: u32) -> Vec<u8> {
        let mut file = vec![0u8; 128];
        file[..6].copy_from_slice(b"\x7fELF\x02\x01");
        file[0x20] = 64;
        file[0x36] = 56;
        file[0x38] = 1;
        file[64..68].copy_from_slice(&kind.to_le_bytes());
        file
    }

    #[test]
    fn a_program_that_names_a_loader_is_dynamic() {
        assert_eq!(is_static(&elf(3)), Some(false));
        assert_eq!(is_static(&elf(1)), Some(true));
    }

    fn host() -> HostOptions {
        let options = crate::config::check(
            &crate::config::Sources::default(),
            &crate::config::Machine {
                cpus: 1,
                memory: flint_core::units::MiB(1),
                free_disk: |_| None,
            },
            crate::config::Purpose::Local,
        );
        options.config.unwrap().host
    }

    #[test]
    fn a_user_and_a_group_with_a_microvms_id_are_named_beside_both_ranges() {
        let read = |passwd, group| {
            let texts = [("/etc/passwd", Some(passwd)), ("/etc/group", Some(group))];
            ids(&host(), &Accounts::of(&texts))
        };
        let free = read("root:x:0:0::/root:/bin/sh\n", "root:x:0:\n");
        assert_eq!(free.reading, "123 to 187, gids 100 to 164");
        let taken = read("someone:x:125:125::/:/bin/sh\n", "users:x:100:\nlater:x:165:\n");
        let among = "among them someone of /etc/passwd, users of /etc/group";
        assert_eq!(taken.reading, format!("{}, {among}", free.reading));
        assert_eq!(taken.verdict, crate::cli::doctor::Verdict::Warn);
    }

    #[test]
    fn a_list_of_users_that_cannot_be_read_proves_nothing() {
        let line = ids(&host(), &Accounts::of(&[("/etc/passwd", None)]));
        assert_eq!(line.verdict, crate::cli::doctor::Verdict::Note);
        assert!(line.reading.ends_with("; /etc/passwd cannot be read"), "{line:?}");
    }

    #[test]
    fn a_file_system_without_devices_or_programs_is_bad_for_firecracker_alone() {
        use crate::cli::doctor::Verdict;
        let verdict = |option: &str, vmm| {
            let options = vec!["rw".to_owned(), option.to_owned()];
            let mount = Mount { point: "/s".into(), kind: "ext4".to_owned(), options };
            state_dir(Path::new("/s"), Some(mount), vmm).verdict
        };
        for option in ["nodev", "noexec"] {
            assert_eq!(verdict(option, VmmChoice::Firecracker), Verdict::Bad);
            assert_eq!(verdict(option, VmmChoice::Auto), Verdict::Warn);
            assert_eq!(verdict(option, VmmChoice::Qemu), Verdict::Ok);
        }
        assert_eq!(verdict("nosuid", VmmChoice::Firecracker), Verdict::Ok);
        assert_eq!(verdict("ro", VmmChoice::Qemu), Verdict::Bad);
    }

    #[test]
    fn a_directory_above_the_jails_that_others_can_write_is_bad() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path().join("jail");
        std::fs::create_dir(&base).unwrap();
        assert_eq!(jails(&base).verdict, crate::cli::doctor::Verdict::Ok);
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o757)).unwrap();
        let line = jails(&base);
        assert_eq!(line.verdict, crate::cli::doctor::Verdict::Bad);
        assert!(line.reading.ends_with(&format!("`{}`", dir.path().display())), "{line:?}");
    }

    #[test]
    fn a_store_that_no_daemon_would_take_is_bad_and_says_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let verdict = || store_in(directory.path());
        assert_eq!(verdict().reading, "none yet: the first start makes it");
        drop(store::Sqlite::open(directory.path()).unwrap());
        assert!(verdict().reading.ends_with("schema 3"), "{}", verdict().reading);
        let path = directory.path().join("flint.db");
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let bad = verdict();
        assert_eq!(bad.verdict, crate::cli::doctor::Verdict::Bad);
        assert!(bad.reading.contains("cannot trust the store"), "{}", bad.reading);
        assert!(bad.fix.unwrap().contains("destroyed as strays"));
    }

    #[test]
    fn a_script_or_a_cut_file_is_no_program() {
        assert_eq!(is_static(b"#!/bin/sh\n"), None);
        assert_eq!(is_static(&elf(1)[..66]), None);
        let mut wild = elf(1);
        wild[0x20..0x28].fill(0xff);
        assert_eq!(is_static(&wild), None);
    }
}
