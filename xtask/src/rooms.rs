//! The tables that tidy holds the code to: which room may import which, and who alone may use what.

/// A room of crate `flint` and what it may import. `room` means all of it, `room::Item` only that item.
/// What is not listed is forbidden; every room may use `flint_core` and `flint_wire`.
pub(crate) const ROOMS: &[(&str, &[&str])] = &[
    // `host_facts`: what configuration's checks are told about the machine.
    ("cli", &["api", "assemble", "config", "error", "init", "replay", "sys::host_facts", "text"]),
    // Of `config` only what a value may be, and the defaults; of `front` only its bounded server, for one page on loopback.
    (
        "init",
        &[
            "config::ca",
            "config::defaults",
            "config::values",
            "error",
            "forge",
            "front::server",
            "front::tls",
            "text",
        ],
    ),
    // The one place where the real rooms are plugged into the seams; it decides nothing.
    (
        "assemble",
        &[
            "api",
            "config",
            "daemon",
            "error",
            "forge",
            // The keeper of the half that faces the network, and that half's own `main`; never its server.
            "front::Error",
            "front::half",
            "front::keeper",
            "front::tls_files",
            "front::words",
            "host",
            "images",
            "net",
            "store",
            "sys",
            "vmm",
        ],
    ),
    // The daemon names the seams of `host`'s three rooms, to be generic over them, and nothing else of them.
    (
        "daemon",
        &[
            "api",
            "error",
            "forge",
            // The words of the half that faces the network, never its server.
            "front::desk",
            "front::words",
            "host",
            "steps",
            "store",
            "images::Error",
            "images::Images",
            "images::Source",
            "net::Egress",
            "net::Error",
            "net::Net",
            "vmm::Console",
            "vmm::DiskRate",
            "vmm::Error",
            "vmm::Vmm",
        ],
    ),
    ("host", &["vmm", "net", "images", "steps", "sys", "text"]),
    ("vmm", &["error", "sys"]),
    ("net", &["error", "sys", "vmm::Nic"]),
    ("images", &["sys"]),
    ("forge", &["text"]),
    // The half that faces the network. Of `forge` it has the reader of payloads and whose jobs are served.
    ("front", &["error", "sys", "forge::Scope", "forge::WebhookAuth", "forge::payload", "text"]),
    // `error`: what it cannot do besides a commit is only logged.
    ("store", &["error"]),
    // It knows the words of the store's log, and opens none: an exported file is all it reads.
    ("replay", &["error", "store::Entry", "text"]),
    // Configuration names the plain options of a room, never its doers.
    (
        "config",
        &[
            "forge::Options",
            "host::Options",
            "images::Options",
            // Plain words, too: what a network and a list of names are is said in one place.
            "net::BadCidr",
            "net::Bridge",
            "net::Cidr",
            "net::DENIED",
            "net::Egress",
            "net::Ipv6",
            "net::Options",
            "net::egress",
            "vmm::DiskRate",
            "vmm::Options",
        ],
    ),
    // Three rooms of plain words: what the API socket says, how a chain of causes is told, and what may be shown of a
    // stranger's text.
    ("api", &[]),
    ("error", &["text"]),
    ("text", &[]),
    // The steps at which a test may kill the daemon: names, and one call that is nothing without its feature.
    ("steps", &["sys::kill_point"]),
    // What another process writes becomes lines of our log only when nothing in it can mislead.
    ("sys", &["text"]),
];

/// A file that may do more than its room, and why.
pub(crate) struct Exception {
    /// The module's path in crate `flint`, and all below it.
    pub(crate) module: &'static [&'static str],
    /// What it may import besides.
    pub(crate) may: &'static [&'static str],
}

/// The few files that look where their room does not.
pub(crate) const EXCEPTIONS: &[Exception] = &[
    // `flint export` reads the store of a daemon that may be down.
    Exception { module: &["cli", "export"], may: &["store"] },
    // `flint doctor` looks at everything a daemon would need.
    Exception {
        module: &["cli", "doctor"],
        may: &["forge", "host", "vmm", "net", "images", "store", "sys"],
    },
];

/// Something that only some places may name.
pub(crate) struct Fence {
    /// The beginning of a path: a crate, or a module or item of one.
    pub(crate) path: &'static [&'static str],
    /// Who may: a crate (`agent`), a room of one (`flint/sys`), or a part of a room.
    pub(crate) only: &'static [&'static str],
}

/// Who may start a program with whatever is in the environment: in crate `flint`, the file that empties it.
const STARTERS: &[&str] = &["flint/sys/program", "agent", "sim", "xtask"];

/// Crates that stand behind one room. Tests are free.
pub(crate) const FENCES: &[Fence] = &[
    Fence { path: &["libc"], only: &["flint/sys", "agent", "sim/intruder"] },
    // HTTP is served in the front's own process, and to root on the API's UNIX socket; and for `flint init`, on loopback,
    // while somebody sits before it.
    Fence { path: &["hyper", "server"], only: &["flint/front/server", "sim"] },
    Fence {
        path: &["axum"],
        only: &[
            "flint/front/server",
            "flint/front/webhook",
            "flint/front/bodies",
            "flint/front/pages",
            "flint/daemon/api",
            "flint/daemon/logs",
            "flint/assemble/faces",
            "flint/init/server",
            "sim",
        ],
    },
    Fence { path: &["tokio_rustls"], only: &["flint/front/server"] },
    Fence { path: &["rustls", "ServerConfig"], only: &["flint/front/tls"] },
    Fence { path: &["seccompiler"], only: &["flint/sys"] },
    Fence { path: &["rusqlite"], only: &["flint/store"] },
    Fence { path: &["rtnetlink"], only: &["flint/net"] },
    Fence { path: &["netlink_packet_route"], only: &["flint/net"] },
    // Programs are started where their remains are removed.
    Fence {
        path: &["std", "process", "Command"],
        only: &["flint/sys", "flint/net", "flint/images", "agent", "sim", "xtask"],
    },
    Fence { path: &["tokio", "process", "Command"], only: &["flint/sys", "sim"] },
    // And in one place, which gives them nothing of the daemon's environment: secrets may stand there.
    Fence { path: &["Command", "new"], only: STARTERS },
    Fence { path: &["process", "Command", "new"], only: STARTERS },
    Fence { path: &["std", "process", "Command", "new"], only: STARTERS },
    Fence { path: &["tokio", "process", "Command", "new"], only: STARTERS },
    Fence { path: &["reqwest"], only: &["flint/forge", "sim"] },
    Fence { path: &["comfy_table"], only: &["flint/cli"] },
];

/// What crate `core` may depend on: this keeps it pure.
pub(crate) const CORE_DEPENDENCIES: &[&str] = &["serde", "thiserror"];

/// The kernel's text files, which only `sys` of crate `flint` may name.
pub(crate) const SYS_PATHS: &[&str] = &["/proc/", "/sys/"];

/// Words of the domain, which `sys` does not know.
pub(crate) const DOMAIN_WORDS: &[&str] = &["vm", "vms", "microvm", "runner", "job", "github"];
