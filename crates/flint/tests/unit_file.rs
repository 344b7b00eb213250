//! The service's unit file: what Flint cannot do without, and what would break it in silence.

#![expect(clippy::unwrap_used, reason = "a test ends where the unit file is not as it must be")]

use std::collections::BTreeSet;

/// The values of a directive, over all its lines, in words.
fn words(name: &str) -> BTreeSet<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/flint.service");
    let text = std::fs::read_to_string(path).unwrap();
    let values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    values.flat_map(str::split_whitespace).map(str::to_owned).collect()
}

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn the_service_has_the_capabilities_that_jails_networks_and_disks_need_and_no_other() {
    let needed = [
        // Namespaces, mounts, cgroups, the jailer's `pivot_root`.
        "CAP_SYS_ADMIN",
        // Taps, addresses, rules, switches of a namespace.
        "CAP_NET_ADMIN",
        // The jailer's `chroot` and device nodes.
        "CAP_SYS_CHROOT",
        "CAP_MKNOD",
        // A user per slot, and files that belong to it.
        "CAP_SETUID",
        "CAP_SETGID",
        "CAP_CHOWN",
        "CAP_FOWNER",
        // Into jails of mode 0700, and to end their processes.
        "CAP_DAC_OVERRIDE",
        "CAP_KILL",
        // What the front takes from itself.
        "CAP_SETPCAP",
    ];
    assert_eq!(words("CapabilityBoundingSet"), set(&needed));
}

#[test]
fn nothing_gives_the_service_mounts_of_its_own_which_a_restart_would_lose() {
    let breaks = [
        "BindPaths",
        "BindReadOnlyPaths",
        "DynamicUser",
        "ExecPaths",
        "InaccessiblePaths",
        "LogNamespace",
        "MountFlags",
        "NoExecPaths",
        "PrivateIPC",
        "PrivateMounts",
        "PrivateTmp",
        "ProcSubset",
        "ProtectControlGroups",
        "ProtectHome",
        "ProtectHostname",
        "ProtectKernelLogs",
        "ProtectKernelModules",
        "ProtectKernelTunables",
        "ProtectProc",
        "ProtectSystem",
        "ReadOnlyPaths",
        "ReadWritePaths",
        "RootDirectory",
        "TemporaryFileSystem",
    ];
    for directive in breaks {
        assert_eq!(words(directive), set(&[]), "{directive}");
    }
}

#[test]
fn nothing_takes_devices_networks_or_users_away() {
    let breaks = [
        "DeviceAllow",
        "DevicePolicy",
        "PrivateDevices",
        "PrivateNetwork",
        "PrivateUsers",
        "ProtectClock",
    ];
    for directive in breaks {
        assert_eq!(words(directive), set(&[]), "{directive}");
    }
    assert_eq!(words("RestrictNamespaces"), set(&["net", "mnt", "ipc", "uts"]));
    // Sockets of the API and of guests' channels, GitHub and guests' DNS, links and rules.
    let families = set(&["AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK"]);
    assert_eq!(words("RestrictAddressFamilies"), families);
}

#[test]
fn nobody_but_root_looks_into_the_services_directories() {
    assert_eq!(words("StateDirectoryMode"), set(&["0700"]));
    assert_eq!(words("RuntimeDirectoryMode"), set(&["0700"]));
    assert_eq!(words("UMask"), set(&["0077"]));
}

#[test]
fn a_restart_ends_no_job_and_the_service_may_make_groups() {
    assert_eq!(words("KillMode"), set(&["process"]));
    assert_eq!(words("Delegate"), set(&["yes"]));
    assert_eq!(words("RuntimeDirectoryPreserve"), set(&["restart"]));
    assert_eq!(
        (words("StateDirectory"), words("RuntimeDirectory")),
        (set(&["flint"]), set(&["flint"]))
    );
}
