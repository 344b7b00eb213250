//! Checks that the daemon's root half has no socket that faces the network, and that the front has nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Everything about this daemon's two halves that is not as it should be, in words.
pub(super) fn wrong(daemon: u32, port: u16) -> Vec<String> {
    let mut wrong = Vec::new();
    let listening = listening(daemon, port);
    if listening.len() != 1 {
        wrong.push(format!("{} sockets listen on port {port}", listening.len()));
    }
    let limits = fs::read_to_string(proc(daemon).join("limits")).unwrap_or_default();
    let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size"));
    if core.is_none_or(|core| core.split_whitespace().next() != Some("1")) {
        wrong.push(format!("the root half {daemon} may leave a core dump"));
    }
    if !sockets(daemon).is_disjoint(&listening) {
        wrong.push(format!("the root half {daemon} has the socket of port {port}"));
    }
    let fronts: Vec<u32> = children(daemon).into_iter().filter(|pid| is_front(*pid)).collect();
    let [front] = fronts.as_slice() else {
        wrong.push(format!("{} processes face the network", fronts.len()));
        return wrong;
    };
    if !listening.is_subset(&sockets(*front)) {
        wrong.push(format!("the front {front} has no socket of port {port}"));
    }
    let none = "0000000000000000";
    let wanted = [
        ("Uid", "65534"),
        ("CapEff", none),
        ("CapBnd", none),
        ("NoNewPrivs", "1"),
        ("Seccomp", "2"),
    ];
    for (name, value) in wanted {
        let found = field(*front, name).unwrap_or_default();
        if found != value {
            wrong.push(format!("the front has {name} {found}, not {value}"));
        }
    }
    wrong
}

fn proc(pid: u32) -> std::path::PathBuf {
    Path::new("/proc").join(pid.to_string())
}

/// The inodes of sockets that listen on this port, where this process lives.
fn listening(pid: u32, port: u16) -> BTreeSet<String> {
    let tables = ["tcp", "tcp6"].map(|name| fs::read_to_string(proc(pid).join("net").join(name)));
    let tables: String = tables.into_iter().map(Result::unwrap_or_default).collect();
    let rows = tables.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    let port = format!(":{port:04X}");
    // 0A is LISTEN.
    let rows = rows.filter(|row| row.get(3) == Some(&"0A"));
    rows.filter(|row| row.get(1).is_some_and(|local| local.ends_with(&port)))
        .filter_map(|row| row.get(9).map(|inode| (*inode).to_owned()))
        .collect()
}

/// The inodes of the sockets that a process has open.
fn sockets(pid: u32) -> BTreeSet<String> {
    let entries = fs::read_dir(proc(pid).join("fd")).into_iter().flatten().flatten();
    let targets = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    let inode = |target: std::path::PathBuf| {
        let text = target.to_string_lossy().into_owned();
        Some(text.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
    };
    targets.filter_map(inode).collect()
}

/// Not every kernel has a list of them.
fn children(of: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| field(*pid, "PPid").as_deref() == Some(&of.to_string())).collect()
}

/// The first word of a line of its status.
fn field(pid: u32, name: &str) -> Option<String> {
    let status = fs::read_to_string(proc(pid).join("status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_ascii_whitespace().next().map(str::to_owned)
}

fn is_front(pid: u32) -> bool {
    let argv = fs::read(proc(pid).join("cmdline")).unwrap_or_default();
    argv.split(|byte| *byte == 0).nth(1) == Some(b"front")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_listens_itself_is_found() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = wrong(std::process::id(), port);
        assert!(found.iter().any(|text| text.contains("root half")), "{found:?}");
        assert!(found.iter().any(|text| text == "0 processes face the network"), "{found:?}");
    }
}
