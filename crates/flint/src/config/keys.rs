//! Every key of the configuration, once: its flag, its variable, its place in the file, what it means.

/// How a value is written in a flag's help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text, a path, a number, a size, a duration, or a list with commas.
    Value(&'static str),
    /// Given or not.
    Switch,
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// Its place in the file: `host.slots`; `profile.` stands for each `[[profile]]`.
    pub path: &'static str,
    /// Its flag without the dashes, if it has one. Its variable is `FLINT_` and the flag in capitals.
    pub flag: Option<&'static str>,
    /// Other spellings of the flag: the original Flint's.
    pub(super) aliases: &'static [&'static str],
    pub(super) kind: Kind,
    /// One line for `--help`.
    pub(super) help: &'static str,
}

impl Key {
    /// The variable's name, if it has one.
    #[must_use]
    pub fn variable(&self) -> Option<String> {
        let flag = self.flag?;
        Some(format!("FLINT_{}", flag.to_ascii_uppercase().replace('-', "_")))
    }

    /// Whether this is its place.
    pub(super) fn is(&self, section: &str, name: &str) -> bool {
        let rest = match section {
            "" => Some(self.path),
            section => self.path.strip_prefix(section).and_then(|rest| rest.strip_prefix('.')),
        };
        // A dot inside of a name is a quoted one's: `"timeouts.boot"` is no `boot` of `timeouts`.
        rest == Some(name) && !name.contains('.')
    }

    /// `host`, `profile.timeouts`, …: the part before the last dot.
    pub(super) fn section(&self) -> &'static str {
        self.path.rsplit_once('.').map_or("", |(section, _)| section)
    }

    /// The part after the last dot.
    pub(super) fn name(&self) -> &'static str {
        self.path.rsplit_once('.').map_or(self.path, |(_, name)| name)
    }
}

const fn key(
    path: &'static str,
    flag: &'static str,
    value: &'static str,
    help: &'static str,
) -> Key {
    Key { path, flag: Some(flag), aliases: &[], kind: Kind::Value(value), help }
}

const fn file_only(path: &'static str, help: &'static str) -> Key {
    Key { path, flag: None, aliases: &[], kind: Kind::Value(""), help }
}

const fn or(key: Key, aliases: &'static [&'static str]) -> Key {
    Key { aliases, ..key }
}

const fn switch(key: Key) -> Key {
    Key { kind: Kind::Switch, ..key }
}

/// All of them, in the order of the manual.
#[rustfmt::skip]
pub const KEYS: &[Key] = &[
    key("github.url", "github-url", "URL", "GitHub's REST address; GHES: https://HOST/api/v3"),
    key("github.ca_certificate", "ca-certificate", "FILE", "The authority of this GitHub, if public ones do not know it (PEM)"),
    key("github.organization", "organization", "NAMES", "Serve an organization's jobs, or those of several"),
    key("github.repository", "repository", "OWNER/NAMES", "Serve a repository's jobs, or those of several"),
    key("github.enterprise", "enterprise", "SLUG", "Serve an enterprise's jobs, by scale sets"),
    or(key("github.app_id", "app-id", "ID", "The GitHub App's id or client id"), &["appID", "appId"]),
    or(key("github.private_key", "private-key", "FILE", "The GitHub App's private key (PEM)"), &["privateKey"]),
    key("github.token_file", "token-file", "FILE", "A file that holds a personal access token, in place of an App"),
    or(key("github.webhook_secret", "webhook-secret", "TEXT",
        "The webhook's secret. Every user of the host can read a flag: prefer --webhook-secret-file"), &["webhookSecret"]),
    or(key("github.webhook_secret_file", "webhook-secret-file", "FILE", "A file that holds the webhook's secret"),
        &["webhookSecretFile"]),
    file_only("github.webhook_secrets", "Two secrets, while one is being replaced"),
    switch(key("github.insecure_no_secret", "insecure-no-secret", "", "Take webhooks from anyone: for tests only")),
    key("github.runner_group", "runner-group", "GROUP", "The runner group's number or name; 1 is the default group"),
    or(key("server.listen", "listen", "ADDRESS", "Where webhooks arrive, such as 127.0.0.1:9198 or :9198"), &["address"]),
    key("server.tls_certificate", "tls-certificate", "FILE", "The certificate for TLS and its chain (PEM)"),
    key("server.tls_key", "tls-key", "FILE", "The certificate's key (PEM)"),
    file_only("server.uid", "The user and group of the process that faces the network"),
    file_only("server.confine", "Whether that process must have all of its confinement"),
    key("host.state_dir", "state-dir", "DIR", "What must survive: the store, jails, scratch disks"),
    key("host.run_dir", "run-dir", "DIR", "What need not: the API socket"),
    key("host.vmm", "vmm", "WHICH", "auto, firecracker or qemu"),
    key("host.firecracker", "firecracker", "FILE", "The firecracker program"),
    key("host.jailer", "jailer", "FILE", "The jailer program"),
    key("host.qemu", "qemu", "FILE", "The QEMU program"),
    file_only("host.allow_unfiltered_vmm", "Run a VMM that has no seccomp filter all the same"),
    key("host.uid_base", "uid-base", "UID", "Slot n runs as user base + n"),
    key("host.gid_base", "gid-base", "GID", "Slot n runs as group base + n"),
    key("host.slots", "slots", "COUNT", "How many microVMs at once at most"),
    key("host.vcpus", "vcpus", "COUNT", "CPUs to hand out, before overcommit"),
    key("host.memory", "memory", "SIZE", "Memory to hand out, such as '24 GiB'"),
    key("host.disk", "disk", "SIZE", "Scratch disk to hand out, such as '200 GiB'"),
    key("host.cpu_overcommit", "cpu-overcommit", "FACTOR", "Virtual CPUs handed out per CPU"),
    key("host.netns_prefix", "netns-prefix", "NAME", "Slot n's network namespace is NAME-n"),
    key("host.uplink_netns", "uplink-netns", "NAME", "The network namespace that leads out, if not Flint's own"),
    key("host.uplink", "uplink", "DEVICE", "The device that leads out, if not the default route's"),
    key("host.address_pool", "address-pool", "CIDR", "IPv4 addresses between slots and host, two per slot"),
    key("host.dns", "dns", "ADDRESSES", "The guests' resolvers"),
    key("host.ipv6", "ipv6", "WHICH", "off, nat, or an IPv6 prefix that is routed to this host"),
    key("host.bridge", "bridge", "NAME", "Classic mode: slots are ports of this bridge, such as br-flint"),
    key("host.bridge_address", "bridge-address", "ADDRESS", "The bridge's IPv4 address with its network's prefix"),
    key("host.allow", "allow", "CIDRS", "Private networks that guests may reach all the same"),
    key("host.drain_timeout", "drain-timeout", "TIME", "How long SIGTERM waits for running jobs"),
    key("limits.per_repository", "per-repository", "COUNT", "MicroVMs at once for one repository at most"),
    key("limits.per_owner", "per-owner", "COUNT", "MicroVMs at once for one organization or user at most"),
    file_only("limits.repositories", "Other limits for some: OWNER/NAME=COUNT"),
    file_only("limits.owners", "Other limits for some: NAME=COUNT"),
    file_only("profile.name", "1 to 24 of a-z, 0-9 and inner -"),
    file_only("profile.source", "How it hears of its jobs: webhook or scale-set"),
    file_only("profile.github", "Where its scale set is: an organization, a repository or an enterprise"),
    file_only("profile.scale_set", "The scale set's name; runs-on can ask for it. The profile's name by default"),
    file_only("profile.labels", "What its runners advertise"),
    file_only("profile.vcpus", "Virtual CPUs of one microVM"),
    file_only("profile.memory", "Memory of one microVM"),
    file_only("profile.scratch", "Writable disk of one microVM"),
    or(key("profile.image", "filesystem", "FILE", "The base image, for every profile"), &["image"]),
    key("profile.kernel", "kernel", "FILE", "The kernel, for every profile; initramfs and modules lie beside it"),
    file_only("profile.warm", "Booted microVMs kept ready"),
    file_only("profile.max", "MicroVMs at once at most"),
    file_only("profile.priority", "Its jobs come before those of profiles with a lower number"),
    file_only("profile.public_repositories", "Whether jobs of public repositories are let in"),
    file_only("profile.fork_pull_requests", "Whether jobs of forks are let in"),
    file_only("profile.repositories", "The repositories whose jobs it serves: OWNER/NAME or OWNER/*; all by default"),
    file_only("profile.repositories_except", "Repositories whose jobs it does not serve"),
    file_only("profile.egress", "Where its microVMs may go: internet, github, none, or a list of names and networks"),
    file_only("profile.egress_audit", "Let through what is not listed, and note it"),
    file_only("profile.bandwidth", "Network traffic of one microVM, each way, at most"),
    file_only("profile.connections", "Connections of one microVM at once, at most"),
    file_only("profile.disk_bandwidth", "Reads and writes of one microVM on each of its disks, bytes, at most"),
    file_only("profile.disk_operations", "Reads and writes of one microVM on each of its disks, in number, at most"),
    file_only("profile.inbound", "Networks that may begin connections to its microVMs' public IPv6 addresses"),
    file_only("profile.sizes.prefix", "The first part of labels that ask for a size"),
    file_only("profile.sizes.vcpus", "The most that a job may ask for"),
    file_only("profile.sizes.memory", "The most that a job may ask for"),
    file_only("profile.sizes.scratch", "The most that a job may ask for"),
    file_only("profile.sizes.max", "MicroVMs of sizes at once, all together, at most"),
    file_only("profile.sizes.warm", "How many sizes are kept booted for jobs that ask for that"),
    file_only("profile.sizes.images", "Images that a job may ask for: NAME=FILE"),
    file_only("profile.timeouts.boot", "From the order to the agent's answer"),
    file_only("profile.timeouts.register", "From the registration to a listening runner"),
    file_only("profile.timeouts.idle", "Listening without a job"),
    file_only("profile.timeouts.job", "The longest job"),
];

/// The key at this place in the file.
pub(super) fn find(section: &str, name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.is(section, name))
}
