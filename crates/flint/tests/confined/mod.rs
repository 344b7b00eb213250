//! How the kernel shows a process that reads what strangers send: nobody, without rights, files or a way to get any.

use std::fs;

/// A line of `/proc/PID/status`.
fn status(pid: i32, name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.expect("the kernel shows it").trim().to_owned()
}

/// Ends the test where the process has anything but so many files at most.
pub(crate) fn has_nothing(pid: i32, name: &str, open_files: &str) {
    for (field, value) in [
        ("Name", name),
        ("Uid", "65534\t65534\t65534\t65534"),
        ("Gid", "65534\t65534\t65534\t65534"),
        ("Groups", ""),
        ("CapInh", "0000000000000000"),
        ("CapPrm", "0000000000000000"),
        ("CapEff", "0000000000000000"),
        ("CapBnd", "0000000000000000"),
        ("CapAmb", "0000000000000000"),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
        ("Threads", "1"),
    ] {
        assert_eq!(status(pid, field), value, "{field}");
    }
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).expect("it runs");
    for (limit, most) in [
        ("Max core file size", "0"),
        ("Max processes", "0"),
        ("Max open files", open_files),
        ("Max address space", "1073741824"),
    ] {
        let line = limits.lines().find_map(|line| line.strip_prefix(limit)).expect("it is shown");
        assert_eq!(line.split_ascii_whitespace().nth(1), Some(most), "{limit}");
    }
    assert_eq!(fs::read(format!("/proc/{pid}/environ")).expect("it runs"), b"");
    assert_eq!(fs::read_dir(format!("/proc/{pid}/root/")).expect("it runs").count(), 0);
    for space in ["mnt", "net", "ipc", "uts"] {
        let of = |who: &str| fs::read_link(format!("/proc/{who}/ns/{space}")).expect("it runs");
        assert_ne!(of(&pid.to_string()), of("self"), "{space}");
    }
}
