//! The profiles: one per `[[profile]]`, or `default` when there is none.

use super::check::table;
use super::reader::{Found, Reader, Section};
use super::report::Origin;
use super::{
    HostOptions, ProfileOptions, defaults, disks, egress, labels, scale_sets, scopes, sizes, values,
};
use flint_core::id::{ProfileId, ScopeId};
use flint_core::policy::{Admits, Repositories};
use flint_core::profile::{Profile, Timeouts};
use flint_core::units::{MiB, Resources};
use serde_spanned::Spanned;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;
use toml::de::{DeTable, DeValue};

/// Firecracker's own limit.
const VCPUS_MAX: u64 = 32;

/// Less does not boot a distribution's kernel with its initramfs and the runner.
const MEMORY_MIN: MiB = MiB(256);

/// Less does not hold a checkout.
const SCRATCH_MIN: MiB = MiB(256);

/// Where microVMs are, and where their jobs come from.
#[derive(Clone, Copy)]
pub(super) struct Places<'p> {
    pub(super) host: &'p HostOptions,
    /// The hosts that runners must reach.
    pub(super) githubs: &'p BTreeSet<String>,
    /// Where runners are registered, if that is known.
    pub(super) scopes: Option<&'p [ScopeId]>,
}

/// Reads all profiles. Never empty.
pub(super) fn read<'a>(
    reader: &mut Reader<'a>,
    root: &'a DeTable<'a>,
    places: Places<'_>,
) -> BTreeMap<ProfileId, ProfileOptions> {
    let mut profiles = BTreeMap::new();
    for entry in entries(reader, root) {
        let section = Section { name: "profile", table: table(reader, "profile", entry) };
        reader.refuse_unknown(section);
        let name = name(reader, section, entry);
        let called = name.as_ref().map_or(defaults::PROFILE, |found| found.value.as_str());
        let options = read_one(reader, section, called, places);
        let Some(name) = name else { continue };
        if profiles.insert(name.value.clone(), options).is_some() {
            let message = format!("a second profile is called `{}`", name.value);
            reader.error(name.origin, message, "give each profile a name of its own".to_owned());
        }
    }
    if profiles.is_empty() {
        let section = Section { name: "profile", table: None };
        let name = ProfileId::new(defaults::PROFILE).expect("the default profile's name is a name");
        let options = read_one(reader, section, defaults::PROFILE, places);
        profiles.insert(name, options);
    }
    labels::warn_of_overlaps(reader, &profiles);
    scale_sets::refuse_shared(reader, &profiles);
    labels::refuse_plain_sizes(reader, &profiles);
    labels::warn_of_sizes(reader, &profiles);
    profiles
}

fn entries<'a>(reader: &mut Reader<'a>, root: &'a DeTable<'a>) -> Vec<&'a Spanned<DeValue<'a>>> {
    let Some(value) = root.get("profile") else { return Vec::new() };
    match value.get_ref() {
        DeValue::Array(items) => items.iter().collect(),
        _ => {
            let message = "`profile` is not a list of tables".to_owned();
            let help = "write `[[profile]]`, with two brackets on each side".to_owned();
            reader.error(value.span().into(), message, help);
            Vec::new()
        }
    }
}

fn name<'a>(
    reader: &mut Reader<'a>,
    section: Section<'a>,
    entry: &Spanned<DeValue<'a>>,
) -> Option<Found<ProfileId>> {
    if section.table.is_some() && reader.origin(section, "name").is_none() {
        let help = "add `name = \"linux-4cpu\"`, for instance".to_owned();
        reader.error(entry.span().into(), "a profile has no name".to_owned(), help);
        return None;
    }
    reader.text(section, "name", |text| ProfileId::new(text).map_err(|bad| bad.wanted.to_owned()))
}

fn read_one<'a>(
    reader: &mut Reader<'a>,
    section: Section<'a>,
    name: &str,
    places: Places<'_>,
) -> ProfileOptions {
    let host = places.host;
    let default_max = u32::from(host.slots);
    let max = reader.number(section, "max", 1..=4096).map_or(default_max, |found| found.value);
    let warm = reader.number(section, "warm", 0..=4096);
    if let Some(found) = warm.as_ref().filter(|found| found.value > max) {
        let message = format!("`profile.warm` is more than its `max` of {max}");
        reader.error(found.origin.clone(), message, None);
    }
    let (sizes, images) = sizes::read(reader, section, host, (name, max));
    let source = scale_sets::source(reader, section, sizes.is_some());
    let scale_set = scale_sets::name(reader, section, (source, name));
    let scope = scopes::of_profile(reader, section, (source, places.scopes));
    let repositories = repositories(reader, section);
    scopes::warn_of_strangers(reader, section, &repositories, (scope.as_ref(), places.scopes));
    let image: Option<Found<PathBuf>> = reader.word(section, "image");
    let kernel: Option<Found<PathBuf>> = reader.word(section, "kernel");
    ProfileOptions {
        profile: Profile {
            scope,
            labels: labels::read(reader, section, scale_set.as_deref()),
            shape: shape(reader, section, host),
            warm: warm.map_or(defaults::WARM, |found| found.value),
            max,
            priority: reader.number(section, "priority", 0..=100).map_or(0, |found| found.value),
            admits: Admits {
                public: allowed(reader, section, "public_repositories"),
                forks: allowed(reader, section, "fork_pull_requests"),
            },
            repositories,
            timeouts: timeouts(reader, section),
            sizes,
            made_of: None,
            source,
        },
        egress: egress::read(reader, section, (host, places.githubs)),
        scale_set,
        disk_rate: disks::rate(reader, section),
        image: image.map_or_else(|| defaults::image(&host.state_dir), |found| found.value),
        images,
        kernel: kernel.map_or_else(|| defaults::kernel(&host.state_dir), |found| found.value),
    }
}

/// Nothing but what is allowed by name.
fn allowed<'a>(reader: &mut Reader<'a>, section: Section<'a>, name: &str) -> bool {
    let found = reader.text(section, name, |text| match text {
        "allow" => Ok(true),
        "refuse" => Ok(false),
        _ => Err("`refuse` or `allow`".to_owned()),
    });
    found.is_some_and(|found| found.value)
}

/// Whose jobs it serves, by `owner/name` or `owner/*`.
fn repositories<'a>(reader: &mut Reader<'a>, section: Section<'a>) -> Repositories {
    let name = |text: &str| match text.split_once('/') {
        Some((owner, "*")) => values::organization(owner).map(|owner| format!("{owner}/*")),
        _ => values::repository(text).map(|(owner, name)| format!("{owner}/{name}")),
    };
    let mut list = |key: &str| {
        let found = reader.list(section, key, |text| {
            let wanted = || "`owner/name`, or `owner/*` for all of an owner".to_owned();
            name(text).map(|name| name.to_ascii_lowercase()).map_err(|_| wanted())
        });
        found.map(|found| found.value.into_iter().collect()).unwrap_or_default()
    };
    Repositories { only: list("repositories"), except: list("repositories_except") }
}

fn shape<'a>(reader: &mut Reader<'a>, section: Section<'a>, host: &HostOptions) -> Resources {
    let vcpus = reader.number(section, "vcpus", 1..=VCPUS_MAX);
    let shape = Resources {
        vcpus: vcpus.map_or(defaults::VCPUS, |found| found.value),
        memory: size(reader, section, "memory", MEMORY_MIN, defaults::MEMORY),
        disk: size(reader, section, "scratch", SCRATCH_MIN, defaults::SCRATCH),
    };
    for (name, has) in super::host::exceeds(&shape, host) {
        let message = format!("`profile.{name}` is more than this host hands out: {has}");
        match reader.origin(section, name) {
            Some(origin) => reader.error(origin, message, None),
            None => {
                let message = format!("{message}; a job of it would wait for ever");
                let help = format!("write a smaller `{name}` into a `[[profile]]`");
                reader.warn(Origin::Nowhere, message, help);
            }
        }
    }
    shape
}

fn size<'a>(
    reader: &mut Reader<'a>,
    section: Section<'a>,
    name: &str,
    least: MiB,
    default: MiB,
) -> MiB {
    let found = reader.text(section, name, |text| match values::size(text)? {
        size if size < least => Err(format!("{least} or more")),
        size => Ok(size),
    });
    found.map_or(default, |found| found.value)
}

fn timeouts<'a>(reader: &mut Reader<'a>, section: Section<'a>) -> Timeouts {
    let inner = section.table.and_then(|entries| entries.get("timeouts"));
    let inner = inner.and_then(|value| table(reader, "profile.timeouts", value));
    let section = Section { name: "profile.timeouts", table: inner };
    reader.refuse_unknown(section);
    let mut one = |name: &str, default: Duration| {
        reader.text(section, name, values::duration).map_or(default, |found| found.value)
    };
    Timeouts {
        boot: one("boot", defaults::TIMEOUTS.boot),
        register: one("register", defaults::TIMEOUTS.register),
        idle: one("idle", defaults::TIMEOUTS.idle),
        job: one("job", defaults::TIMEOUTS.job),
    }
}
