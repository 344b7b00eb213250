//! The configuration as each room wants it. Nothing is decided here, only renamed.

use crate::config::{Config, Credentials, GithubOptions, RunnerGroup, Scope, VmmChoice, Webhooks};
use crate::daemon::dispatch::{Recipe, Recipes};
use crate::forge::scale_set::Wanted;
use crate::forge::{self, WebhookAuth};
use crate::host::{self, Layout};
use crate::images::Source;
use crate::net;
use crate::sys::again::SELF;
use crate::vmm::choose::{Candidates, Choice};
use crate::vmm::{firecracker, jail, qemu};
use flint_core::event::Event;
use flint_core::host::Host;
use flint_core::id::{HostId, InstallationId, ProfileId, ScopeId};
use flint_core::units::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// The one host of a daemon that owns one host.
pub(super) const LOCAL: HostId = HostId(0);

/// GitHub's room: the scopes of each entry.
pub(super) fn github(config: &Config) -> Vec<Vec<forge::Options>> {
    let scopes = |entry: &GithubOptions| {
        let scopes = entry.scopes.iter().map(|scope| forge(entry, scope));
        scopes.collect()
    };
    config.github.iter().map(scopes).collect()
}

/// GitHub's room, for one scope of an entry.
pub(super) fn forge(github: &GithubOptions, scope: &Scope) -> forge::Options {
    forge::Options {
        api_url: github.url.as_str().trim_end_matches('/').to_owned(),
        ca_certificates: github.ca_certificates.clone(),
        scope: self::scope(scope),
        credentials: match github.credentials.clone() {
            Credentials::App { id, private_key } => forge::Credentials::App { id, private_key },
            Credentials::Token(token) => forge::Credentials::Token(token),
        },
        webhook: webhook(github),
        runner_group: group(&github.runner_group),
    }
}

/// How deliveries prove that they are of an entry.
pub(super) fn webhook(github: &GithubOptions) -> WebhookAuth {
    match &github.webhooks {
        Webhooks::Signed(secrets) => match secrets.as_slice() {
            [current, others @ ..] => {
                WebhookAuth::Secrets { current: current.clone(), other: others.first().cloned() }
            }
            [] => WebhookAuth::Refused,
        },
        Webhooks::Unsigned => WebhookAuth::Insecure,
        Webhooks::Refused => WebhookAuth::Refused,
    }
}

/// Where runners are registered.
pub(super) fn scope(scope: &Scope) -> forge::Scope {
    match scope.clone() {
        Scope::Organization(login) => forge::Scope::Organization(login),
        Scope::Repository { owner, name } => forge::Scope::Repository { owner, name },
        Scope::Enterprise(slug) => forge::Scope::Enterprise(slug),
    }
}

fn group(group: &RunnerGroup) -> forge::RunnerGroup {
    match group {
        RunnerGroup::Number(number) => forge::RunnerGroup::Number(*number),
        RunnerGroup::Name(name) => forge::RunnerGroup::Name(name.clone()),
    }
}

/// The scale sets of the profiles that have one, and where each is.
pub(super) fn scale_sets(config: &Config) -> BTreeMap<ProfileId, (forge::Scope, Wanted)> {
    let scopes = config.github.iter().flat_map(|entry| {
        let group = group(&entry.runner_group);
        entry.scopes.iter().map(move |scope| (self::scope(scope), group.clone()))
    });
    let scopes: BTreeMap<ScopeId, _> = scopes.map(|(scope, g)| (scope.id(), (scope, g))).collect();
    let wanted = config.profiles.iter().filter_map(|(id, options)| {
        let name = options.scale_set.clone()?;
        let (scope, group) = scopes.get(options.profile.scope.as_ref()?)?.clone();
        let labels = options.profile.labels.clone();
        Some((id.clone(), (scope, Wanted { name, group, labels })))
    });
    wanted.collect()
}

/// Where profiles have scale sets.
#[must_use]
pub fn scopes_of_sets(config: &Config) -> BTreeSet<ScopeId> {
    scale_sets(config).into_values().map(|(scope, _)| scope.id()).collect()
}

/// The network's room.
pub(super) fn net(config: &Config) -> net::Options {
    let host = &config.host;
    net::Options {
        dir: Some(host.run_dir.join("egress")),
        uplink_namespace: host.uplink_netns.as_ref().map(|name| net::namespace_file(name)),
        uplink: host.uplink.clone(),
        dns: host.dns.clone(),
        ipv6: host.ipv6,
        bridge: host.bridge.clone(),
        allow: host.allow.clone(),
        ..net::Options::new(host.netns_prefix.clone(), host.address_pool)
    }
}

/// The resolver for guests that may reach only certain names.
pub(super) fn names(config: &Config) -> net::names::Options {
    let net::Options { allow, deny, .. } = net(config);
    net::names::Options {
        program: SELF.into(),
        uid: config.server.uid,
        confine: config.server.confine,
        directory: config.host.run_dir.clone(),
        allow,
        deny,
    }
}

/// The jails of either VMM.
pub(super) fn jails(config: &Config) -> jail::Options {
    let layout = Layout::new(&config.host.state_dir);
    jail::Options {
        dir: layout.jails(),
        logs: layout.logs(),
        uid_base: config.host.uid_base,
        gid_base: config.host.gid_base,
        // Two daemons on a host have two prefixes: their ids are not each other's.
        cgroup: config.host.netns_prefix.clone(),
        allow_unfiltered: config.host.allow_unfiltered_vmm,
    }
}

/// Both VMMs, and the one that was asked for.
pub(super) fn vmms(config: &Config) -> (Choice, Candidates) {
    let host = &config.host;
    let choice = match host.vmm {
        VmmChoice::Auto => Choice::Auto,
        VmmChoice::Firecracker => Choice::Firecracker,
        VmmChoice::Qemu => Choice::Qemu,
    };
    let (jailer, program) = (host.jailer.clone(), host.firecracker.clone());
    let qemu =
        qemu::Options { program: host.qemu.clone(), accel: qemu::Accel::Tcg, firmware: None };
    (choice, Candidates { firecracker: firecracker::Options::new(jailer, program), qemu })
}

/// The host's room.
pub(super) fn host(config: &Config) -> host::Options {
    let layout = Layout::new(&config.host.state_dir);
    host::Options { id: LOCAL, layout, uid_base: config.host.uid_base }
}

/// What a launch needs of each profile.
pub(super) fn recipes(config: &Config) -> Recipes {
    let recipe = |(id, options): (&ProfileId, &crate::config::ProfileOptions)| {
        let source = Source { kernel: options.kernel.clone(), image: options.image.clone() };
        let recipe = Recipe {
            profile: options.profile.clone(),
            source,
            images: options.images.clone(),
            egress: options.egress.clone(),
            disk_rate: options.disk_rate,
        };
        (id.clone(), recipe)
    };
    Recipes(config.profiles.iter().map(recipe).collect())
}

/// The first fact of a daemon's life.
pub(super) fn started(
    config: &Config,
    (scopes, readers): (BTreeMap<ScopeId, InstallationId>, BTreeSet<InstallationId>),
    now: Timestamp,
) -> Event {
    let profiles = config.profiles.iter();
    let profiles = profiles.map(|(id, options)| (id.clone(), options.profile.clone()));
    let host = Host {
        capacity: config.host.capacity,
        slots: config.host.slots,
        draining: false,
        seen: now,
        scan_at: now,
    };
    Event::Started {
        profiles: profiles.collect(),
        hosts: BTreeMap::from([(LOCAL, host)]),
        limits: config.limits.clone(),
        scopes,
        readers,
    }
}
