//! The one profile and the one host of the hour.

use crate::demo::Source;
use anyhow::Result;
use flint::daemon::dispatch::Recipe;
use flint::images;
use flint::net::Egress;
use flint::vmm::DiskRate;
use flint_core::event::Event;
use flint_core::id::{HostId, InstallationId, ProfileId, ScopeId};
use flint_core::limits::Limits;
use flint_core::policy::Admits;
use flint_core::profile::{Profile, Timeouts};
use flint_core::units::{MiB, Resources, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// More than run at one time.
const SLOTS: u16 = 64;
const SHAPE: Resources = Resources { vcpus: 1, memory: MiB(1_024), disk: MiB(1_024) };

pub(super) fn profile_id() -> Result<ProfileId> {
    Ok(ProfileId::new("flint")?)
}

fn profile(source: Source, scope: Option<ScopeId>) -> Profile {
    let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
    let (boot, register, idle, job) = (minutes(2), minutes(2), minutes(4), minutes(360));
    Profile {
        source: match source {
            Source::Webhook => flint_core::scale_set::Source::Webhook,
            Source::ScaleSet => flint_core::scale_set::Source::ScaleSet,
        },
        scope: scope.filter(|_| matches!(source, Source::ScaleSet)),
        labels: ["flint".to_owned()].into(),
        shape: SHAPE,
        warm: 0,
        max: u32::from(SLOTS),
        priority: 0,
        admits: Admits::default(),
        repositories: flint_core::policy::Repositories::default(),
        timeouts: Timeouts { boot, register, idle, job },
        sizes: None,
        made_of: None,
    }
}

pub(super) fn recipe(source: Source) -> Recipe {
    let files = images::Source { kernel: "/k/vmlinux".into(), image: "/i/rootfs.ext4".into() };
    Recipe {
        profile: profile(source, None),
        source: files,
        images: BTreeMap::new(),
        egress: Egress::internet(),
        disk_rate: DiskRate::default(),
    }
}

pub(super) fn started(
    source: Source,
    (scopes, readers): (BTreeMap<ScopeId, InstallationId>, BTreeSet<InstallationId>),
    now: Timestamp,
) -> Result<Event> {
    let scope = scopes.keys().next().cloned();
    let all = u32::from(SLOTS);
    let capacity =
        Resources { vcpus: all, memory: MiB(1_024 * u64::from(all)), disk: MiB(1 << 20) };
    let host =
        flint_core::host::Host { capacity, slots: SLOTS, draining: false, seen: now, scan_at: now };
    Ok(Event::Started {
        profiles: BTreeMap::from([(profile_id()?, profile(source, scope))]),
        hosts: BTreeMap::from([(HostId(0), host)]),
        limits: Limits::default(),
        scopes,
        readers,
    })
}
