//! Flags, environment and file become one checked configuration; all defaults stand here.
//!
//! [`Sources::gather`] reads, [`check`] decides. `check` never stops at the first problem: it returns all of them,
//! each at its line, and a configuration only if none of them is an error. It gives every room its options as
//! plain data; it knows no room.

pub(crate) mod ca;
mod check;
mod credentials;
pub mod defaults;
mod disks;
mod egress;
pub mod error;
mod flags;
mod github;
mod host;
mod keys;
mod labels;
mod limits;
mod profiles;
mod reader;
pub mod report;
mod scale_sets;
mod scopes;
mod secrets;
mod server;
mod sizes;
mod source;
#[cfg(test)]
mod tests;
pub(crate) mod values;

pub use check::{Checked, check, load};
pub use error::Error;
pub use flags::Flags;
pub use keys::{KEYS, Key};
pub use report::{Problem, Report, Severity};
pub use source::{File, Sources};

use crate::net::{Bridge, Cidr, Egress, Ipv6};
use crate::vmm::DiskRate;
use flint_core::id::{ProfileId, ScopeId};
use flint_core::limits::Limits;
use flint_core::profile::Profile;
use flint_core::units::{MiB, Resources};
use flint_wire::Secret;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A configuration without an error.
#[derive(Clone)]
pub struct Config {
    /// Who sends jobs; empty only for [`Purpose::Local`]. No repository is in reach of two scopes, be they of one entry or of
    /// two, and all scopes of an owner are of one entry.
    pub github: Vec<GithubOptions>,
    /// Where webhooks arrive.
    pub server: ServerOptions,
    /// The machine.
    pub host: HostOptions,
    /// How much of the machine a repository or an organization may have.
    pub limits: Limits,
    /// What it serves; at least one.
    pub profiles: BTreeMap<ProfileId, ProfileOptions>,
}

/// GitHub, and one App or token there.
#[derive(Clone)]
pub struct GithubOptions {
    /// The REST address; ends with `/`, so that paths can be joined.
    pub url: url::Url,
    /// Authorities that are trusted beside the system's, PEM.
    pub ca_certificates: Option<String>,
    /// Whose jobs; at least one.
    pub scopes: Vec<Scope>,
    /// Who Flint is there.
    pub credentials: Credentials,
    /// How webhooks prove where they come from.
    pub webhooks: Webhooks,
    /// The runner group.
    pub runner_group: RunnerGroup,
}

/// Who Flint is at GitHub.
#[derive(Clone)]
pub enum Credentials {
    /// A GitHub App.
    App {
        /// Its id or client id: the `iss` of its tokens.
        id: String,
        /// Its private key: PEM, PKCS#1 or PKCS#8.
        private_key: Secret,
    },
    /// A person, by an access token.
    Token(Secret),
}

/// How webhooks prove where they come from.
#[derive(Clone)]
pub enum Webhooks {
    /// By any of these secrets, one or two.
    Signed(Vec<Secret>),
    /// Not at all: anyone who reaches the port can start microVMs.
    Unsigned,
    /// No profile hears of its jobs by webhooks: all are refused.
    Refused,
}

/// A runner group: which repositories reach its runners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunnerGroup {
    /// By GitHub's number.
    Number(u64),
    /// By its name.
    Name(String),
}

/// Whose jobs Flint serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All repositories of an organization that its runner group admits.
    Organization(String),
    /// One repository.
    Repository {
        /// Its owner.
        owner: String,
        /// Its name.
        name: String,
    },
    /// All organizations of an enterprise that its runner group admits, by its slug. Only scale sets hear of their jobs.
    Enterprise(String),
}

impl Scope {
    /// Its name in the world.
    #[must_use]
    pub fn id(&self) -> ScopeId {
        match self {
            Scope::Organization(login) => ScopeId::organization(login),
            Scope::Repository { owner, name } => ScopeId::repository(owner, name),
            Scope::Enterprise(slug) => ScopeId::enterprise(slug),
        }
    }

    /// Whether GitHub sends webhooks of its jobs to Flint.
    #[must_use]
    pub fn has_webhooks(&self) -> bool {
        !matches!(self, Scope::Enterprise(_))
    }
}

/// The webhook server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerOptions {
    /// Where it listens.
    pub listen: SocketAddr,
    /// For TLS; `None` is plain.
    pub tls: Option<TlsOptions>,
    /// The user and group of the process that faces the network.
    pub uid: u32,
    /// Whether that process must have all of its confinement.
    pub confine: bool,
}

/// Files for TLS, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// The certificate, then its chain.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

/// The machine that runs microVMs.
#[derive(Clone, Debug, PartialEq)]
pub struct HostOptions {
    /// What must survive: store, jails, scratch disks.
    pub state_dir: PathBuf,
    /// What need not: the API socket.
    pub run_dir: PathBuf,
    /// Which VMM.
    pub vmm: VmmChoice,
    /// The firecracker program.
    pub firecracker: PathBuf,
    /// The jailer program.
    pub jailer: PathBuf,
    /// The QEMU program.
    pub qemu: PathBuf,
    /// Whether a VMM may run without a seccomp filter.
    pub allow_unfiltered_vmm: bool,
    /// Slot n runs as this uid + n.
    pub uid_base: u32,
    /// Slot n runs as this gid + n.
    pub gid_base: u32,
    /// How many microVMs at most.
    pub slots: u16,
    /// What may be handed out, after overcommit.
    pub capacity: Resources,
    /// Namespaces are `<prefix>-<slot>`.
    pub netns_prefix: String,
    /// The namespace that leads out; `None`: Flint's own.
    pub uplink_netns: Option<String>,
    /// The device that leads out; `None`: the default route's.
    pub uplink: Option<String>,
    /// IPv4, two addresses per slot.
    pub address_pool: Cidr,
    /// The guests' resolvers.
    pub dns: Vec<IpAddr>,
    /// Whether guests have IPv6.
    pub ipv6: Ipv6,
    /// Classic mode: the bridge that slots are ports of.
    pub bridge: Option<Bridge>,
    /// Private networks that guests may reach all the same.
    pub allow: Vec<Cidr>,
    /// How long the end of the daemon waits for running jobs.
    pub drain_timeout: Duration,
}

impl HostOptions {
    /// The uids and the gids of microVMs. The test guest that tries KVM has those behind the last slot.
    #[must_use]
    pub fn ids(&self) -> [RangeInclusive<u32>; 2] {
        let last = u32::from(self.slots);
        [self.uid_base, self.gid_base].map(|base| base..=base.saturating_add(last))
    }
}

/// Which VMM runs microVMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VmmChoice {
    /// Firecracker where a canary boots, else QEMU.
    Auto,
    /// Firecracker or nothing.
    Firecracker,
    /// QEMU or nothing.
    Qemu,
}

/// One profile and the files its microVMs boot from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileOptions {
    /// What the core knows of it.
    pub profile: Profile,
    /// Where its microVMs may go.
    pub egress: Egress,
    /// Its scale set's name, if it hears of its jobs by one.
    pub scale_set: Option<String>,
    /// How much of each disk its guests may have.
    pub disk_rate: DiskRate,
    /// The base image: ext4 or EROFS.
    pub image: PathBuf,
    /// Others, by the names that jobs may ask for.
    pub images: BTreeMap<String, PathBuf>,
    /// The kernel; `initramfs.cpio` and `modules.ext4` lie beside it.
    pub kernel: PathBuf,
}

/// What the configuration is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The daemon: needs GitHub and a secret.
    Serve,
    /// One microVM by hand, or a look at the machine: needs neither.
    Local,
}

/// What the defaults need to know of the machine.
#[derive(Clone, Copy)]
pub struct Machine {
    /// How many CPUs it has.
    pub cpus: u32,
    /// Its memory.
    pub memory: MiB,
    /// The free disk where a path is, or would be.
    pub free_disk: fn(&Path) -> Option<MiB>,
}
