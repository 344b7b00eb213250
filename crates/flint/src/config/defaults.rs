//! Every default, with its reason. No other room has one.

use crate::net::{Egress, Ipv6};
use flint_core::profile::Timeouts;
use flint_core::units::MiB;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Read when it is there and `--config` names no other.
pub const FILE: &str = "/etc/flint/flint.toml";

/// GitHub's own REST address.
pub const GITHUB_URL: &str = "https://api.github.com";

/// Where its pages are, and what a runner of it must reach.
pub const GITHUB_HOST: &str = "github.com";

/// The group every organization has.
pub const RUNNER_GROUP: u64 = 1;

/// The original Flint's port, on all addresses, as there.
pub const LISTEN: &str = "0.0.0.0:9198";

/// `nobody`: owns no file, and is no user of the host. Its processes cannot look into each other.
pub const SERVER_UID: u32 = 65_534;

/// By the file system hierarchy standard.
pub const STATE_DIR: &str = "/var/lib/flint";

/// By the file system hierarchy standard.
pub const RUN_DIR: &str = "/run/flint";

/// Where a local administrator installs programs.
pub const FIRECRACKER: &str = "/usr/local/bin/firecracker";

/// Beside firecracker.
pub const JAILER: &str = "/usr/local/bin/jailer";

/// The filter is what holds a VMM that its guest has taken over; releases have it.
pub const ALLOW_UNFILTERED_VMM: bool = false;

/// The original Flint's uid, from its manual.
pub const UID_BASE: u32 = 123;

/// The original Flint's gid, from its manual.
pub const GID_BASE: u32 = 100;

/// The original Flint's, for a bridge without another.
pub const BRIDGE_ADDRESS: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 0, 0, 1), 24);

/// More than memory lets run on most hosts; slots only number namespaces, uids and addresses.
pub const SLOTS: u16 = 64;

/// Jobs compile: two microVMs on one CPU take twice as long each.
pub const CPU_OVERCOMMIT: f64 = 1.0;

/// For the host itself: an eighth of its memory, but not less than this.
pub const MEMORY_RESERVE: MiB = MiB(512);

/// For the host itself: of the free disk under the state directory.
pub const DISK_RESERVE: MiB = MiB(2 * 1024);

/// Namespaces are `flint-<slot>`.
pub const NETNS_PREFIX: &str = "flint";

/// 32 768 slots; private, seldom used by routers, and not the guests' own 192.168.241.0/29.
pub const ADDRESS_POOL: &str = "10.241.0.0/16";

/// Public resolvers: guests reach no private address, so the host's own would often not do.
pub const DNS: [&str; 2] = ["1.1.1.1", "9.9.9.9"];

/// GitHub's own runners have none, GitHub itself has none, and it makes the host forward.
pub const IPV6: Ipv6 = Ipv6::Off;

/// Jobs fetch from everywhere; what is private and the host itself are out of reach in any case.
pub const EGRESS: Egress = Egress::internet();

/// Most jobs are shorter; what runs longer outlives the daemon and is taken up again by the next.
pub const DRAIN_TIMEOUT: Duration = Duration::from_mins(5);

/// The profile that is there when the file has none.
pub const PROFILE: &str = "default";

/// GitHub's smallest hosted runner.
pub const VCPUS: u32 = 2;

/// Enough for a compiler; the documented shape of the profile `default`.
pub const MEMORY: MiB = MiB(4 * 1024);

/// About what a hosted runner has free; the file is sparse.
pub const SCRATCH: MiB = MiB(20 * 1024);

/// A warm microVM holds its memory: nobody pays for that without having asked.
pub const WARM: u32 = 0;

/// The deadlines of a profile that names none.
pub const TIMEOUTS: Timeouts = Timeouts {
    // A second with KVM; a busy host without it needs most of a minute.
    boot: Duration::from_mins(2),
    register: Duration::from_mins(2),
    // GitHub removes idle one-job runners after some minutes by itself.
    idle: Duration::from_mins(4),
    // GitHub's limit for its own runners.
    job: Duration::from_hours(6),
};

/// What `runs-on: self-hosted` matches, and this machine's architecture in GitHub's word.
#[must_use]
pub fn labels() -> Vec<String> {
    ["self-hosted", "linux", ARCH].map(str::to_owned).to_vec()
}

/// GitHub's word for this machine's processors.
pub const ARCH: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };

/// The distribution's QEMU for this machine.
#[must_use]
pub fn qemu() -> PathBuf {
    PathBuf::from(format!("/usr/bin/qemu-system-{}", std::env::consts::ARCH))
}

/// Beside the jails, as hard links into them need one file system.
#[must_use]
pub fn kernel(state_dir: &Path) -> PathBuf {
    state_dir.join("kernel/vmlinux")
}

/// Beside the jails, as hard links into them need one file system.
#[must_use]
pub fn image(state_dir: &Path) -> PathBuf {
    state_dir.join("image/rootfs.ext4")
}

/// What is left of the machine's memory for microVMs.
#[must_use]
pub fn memory_capacity(total: MiB) -> MiB {
    MiB(total.0.saturating_sub(MEMORY_RESERVE.0.max(total.0 / 8)))
}
