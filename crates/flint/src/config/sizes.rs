//! `[profile.sizes]`: what a profile's jobs may ask for by a label.

use super::check::table;
use super::reader::{Reader, Section};
use super::{HostOptions, defaults, values};
use flint_core::size::Sizes;
use flint_core::units::{MiB, Resources};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Firecracker's own limit of vCPUs.
const VCPUS_MAX: u64 = 32;

/// Reads the table of one profile; and the images that may be asked for, by their names.
pub(super) fn read<'a>(
    reader: &mut Reader<'a>,
    section: Section<'a>,
    host: &HostOptions,
    (name, max): (&str, u32),
) -> (Option<Sizes>, BTreeMap<String, PathBuf>) {
    let inner = section.table.and_then(|entries| entries.get("sizes"));
    let Some(inner) = inner.and_then(|value| table(reader, "profile.sizes", value)) else {
        return (None, BTreeMap::new());
    };
    let section = Section { name: "profile.sizes", table: Some(inner) };
    reader.refuse_unknown(section);
    let prefix = reader.text(section, "prefix", prefix);
    let images = reader.list(section, "images", image).map(|found| found.value);
    let images: BTreeMap<String, PathBuf> = images.unwrap_or_default().into_iter().collect();
    let sizes = Sizes {
        prefix: prefix.map_or_else(|| name.to_owned(), |found| found.value),
        max: most(reader, section, host),
        count: reader.number(section, "max", 1..=4096).map_or(max, |found| found.value),
        arch: defaults::ARCH.to_owned(),
        images: images.keys().cloned().collect(),
        warm: reader.number(section, "warm", 0..=4096).map_or(0, |found| found.value),
    };
    (Some(sizes), images)
}

/// Everything the host hands out, unless the file says less.
fn most<'a>(reader: &mut Reader<'a>, section: Section<'a>, host: &HostOptions) -> Resources {
    let has = host.capacity;
    let vcpus = reader.number(section, "vcpus", 1..=VCPUS_MAX);
    let own = u32::try_from(VCPUS_MAX).unwrap_or(u32::MAX).min(has.vcpus);
    let mut size = |name: &str, has: MiB| {
        let found = reader.text(section, name, values::size);
        found.map_or(has, |found| found.value)
    };
    let max = Resources {
        memory: size("memory", has.memory),
        disk: size("scratch", has.disk),
        vcpus: vcpus.map_or(own, |found| found.value),
    };
    for (name, has) in super::host::exceeds(&max, host) {
        let message = format!("`profile.sizes.{name}` is more than this host hands out: {has}");
        if let Some(origin) = reader.origin(section, name) {
            reader.error(origin, message, "a job that asks for it would wait for ever".to_owned());
        }
    }
    max
}

/// It begins a label, and a `-` ends it.
fn prefix(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = (1..=24).contains(&text.len()) && text.chars().all(plain);
    if fits {
        Ok(text.to_owned())
    } else {
        Err("1 to 24 of a-z and 0-9, such as `flint`".to_owned())
    }
}

/// `ubuntu24=/var/lib/flint/image/ubuntu24.ext4`.
fn image(text: &str) -> Result<(String, PathBuf), String> {
    let wanted = || "`ubuntu24=/PATH/TO/ubuntu24.ext4`, the name of a-z and 0-9".to_owned();
    let (name, path) = text.split_once('=').ok_or_else(wanted)?;
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = (1..=24).contains(&name.len()) && name.chars().all(plain) && path.starts_with('/');
    if fits { Ok((name.to_owned(), path.into())) } else { Err(wanted()) }
}
