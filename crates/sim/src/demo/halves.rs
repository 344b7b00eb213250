//! Checks that nothing reaches the daemon's root half from the network, and that the front has nothing but its socket.

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
    wrong.extend(reached(daemon, port));
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

/// The sockets of the root half by which it can be spoken to unasked, and the namespaces that are not as it was started.
fn reached(daemon: u32, port: u16) -> Vec<String> {
    let ours = sockets(daemon);
    let ours = |socket: &Socket| ours.contains(&socket.inode);
    let open = TABLES.iter().flat_map(|table| table.read(daemon)).filter(ours);
    let open = open.filter(|socket| !socket.is_outgoing(port));
    let mut wrong: Vec<String> = open
        .map(|socket| format!("the root half {daemon} can be spoken to: {}", socket.row))
        .collect();
    let place = |pid: &str, kind: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok();
    // The demo gives it a network, and nothing else.
    for (kind, same) in [("net", false), ("mnt", true), ("pid", true), ("user", true)] {
        if (place(&daemon.to_string(), kind) == place("self", kind)) != same {
            wrong.push(format!("the root half {daemon} has not the {kind} namespace of its start"));
        }
    }
    wrong
}

/// A table of `/proc/net`, and its column of inodes.
struct Table(&'static str, usize);

/// Of packet sockets there is no column of addresses: any of them hears everything.
const TABLES: [Table; 7] = [
    Table("tcp", 9),
    Table("tcp6", 9),
    Table("udp", 9),
    Table("udp6", 9),
    Table("raw", 9),
    Table("raw6", 9),
    Table("packet", 8),
];

struct Socket {
    table: &'static str,
    inode: String,
    row: String,
}

impl Table {
    /// Its rows where this process lives.
    fn read(&self, pid: u32) -> Vec<Socket> {
        let Table(table, column) = *self;
        let text = fs::read_to_string(proc(pid).join("net").join(table)).unwrap_or_default();
        let socket = |row: &str| {
            let inode = row.split_ascii_whitespace().nth(column)?.to_owned();
            Some(Socket { table, inode, row: format!("{table} {}", row.trim()) })
        };
        text.lines().filter_map(socket).collect()
    }
}

impl Socket {
    fn field(&self, number: usize) -> &str {
        // The name of the table comes before the row.
        self.row.split_ascii_whitespace().nth(number + 1).unwrap_or_default()
    }

    /// Of TCP and UDP, 01 is a connection; to the webhooks' port it is somebody else who made it. 0A is LISTEN, and 07 a
    /// datagram socket that takes anybody's.
    fn is_outgoing(&self, port: u16) -> bool {
        let connected = !matches!(self.field(3), "0A" | "07");
        let asked = !self.field(1).ends_with(&format!(":{port:04X}"));
        connected && asked && matches!(self.table, "tcp" | "tcp6" | "udp" | "udp6")
    }
}

fn proc(pid: u32) -> std::path::PathBuf {
    Path::new("/proc").join(pid.to_string())
}

/// The inodes of sockets that listen on this port, where this process lives.
fn listening(pid: u32, port: u16) -> BTreeSet<String> {
    let port = format!(":{port:04X}");
    let tcp = TABLES.iter().filter(|table| table.0.starts_with("tcp"));
    let rows = tcp.flat_map(|table| table.read(pid));
    // 0A is LISTEN.
    let rows = rows.filter(|row| row.field(3) == "0A" && row.field(1).ends_with(&port));
    rows.map(|row| row.inode).collect()
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
    fn a_root_half_that_can_be_spoken_to_is_found_and_one_that_asks_is_not() {
        let pid = std::process::id();
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let asked = std::net::TcpStream::connect(address).unwrap();
        let open = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let rows: Vec<String> =
            reached(pid, 1).into_iter().filter(|text| text.contains("spoken to")).collect();
        let told = |port: u16| {
            rows.iter()
                .any(|row| row.split(' ').any(|word| word.ends_with(&format!(":{port:04X}"))))
        };
        assert!(told(address.port()) && told(open.local_addr().unwrap().port()), "{rows:?}");
        assert!(!told(asked.local_addr().unwrap().port()), "{rows:?}");
    }

    #[test]
    fn a_process_that_listens_itself_is_found() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = wrong(std::process::id(), port);
        assert!(found.iter().any(|text| text.contains("root half")), "{found:?}");
        assert!(found.iter().any(|text| text == "0 processes face the network"), "{found:?}");
    }
}
