//! The host as it really is, put together from the configuration: VMM, network and disks.

use super::ground::{alone, closed, directory, tell_shared_ids};
use super::{Error, network, options};
use crate::config::{Config, ProfileOptions};
use crate::host::{Host, Layout, Told};
use crate::images::{self, Images, LocalImages, Source};
use crate::net::HostNet;
use crate::net::names::Names;
use crate::sys::alone::Alone;
use crate::vmm::choose::{Canary, Chosen, choose};
use crate::vmm::jail::Jails;
use crate::vmm::{AnyVmm, Boot, Console, DiskRate};
use flint_core::id::{ProfileId, Slot, VmId};
use flint_core::units::{MiB, Resources};
use std::sync::Arc;
use tokio::sync::mpsc;

/// The host as it really is.
pub(super) type RealHost = Host<AnyVmm, HostNet, LocalImages>;

/// Facts of guests that may wait for the door; more make a guest's follower wait, never the guest.
const FACTS: usize = 1_024;

/// No row ever gets this id.
const CANARY: VmId = VmId(u64::MAX);

/// A host, what its guests tell, and why it has the VMM that it has.
pub(super) struct Assembled {
    /// It.
    pub(super) host: Arc<RealHost>,
    /// What its guests tell.
    pub(super) told: mpsc::Receiver<Told>,
    /// Where its microVMs run.
    pub(super) jails: Arc<Jails>,
    /// The VMM, and why that one.
    pub(super) vmm: String,
    /// Keeps another Flint from its slots while it is held.
    pub(super) alone: Alone,
}

/// Looks at every kernel and image first: a daemon that cannot start a single microVM should not start.
///
/// # Errors
/// [`Error`], naming the thing, the cause and the fix.
pub(super) async fn assemble(config: &Config) -> Result<Assembled, Error> {
    let alone = alone(&config.host.netns_prefix)?;
    network::ready(config).await?;
    tell_shared_ids(config);
    let layout = Layout::new(&config.host.state_dir);
    for path in [layout.jails(), layout.logs(), layout.scratch()] {
        closed(&path)?;
    }
    let images = LocalImages::new(&images::Options { state_dir: config.host.state_dir.clone() });
    for (id, profile) in &config.profiles {
        look(&images, id, profile).await?;
    }
    // The directory is covered by the resolver's process for itself; a run by hand may be the first to need it.
    directory(&config.host.run_dir)?;
    let wrong = |source| Error::Net { source };
    let net = HostNet::new(options::net(config)).map_err(wrong)?;
    let net = net.with_names(Names::new(options::names(config))).await.map_err(wrong)?;
    let jails = Jails::new(options::jails(config));
    for limit in jails.unlimited() {
        tracing::warn!(limit, "this host cannot limit it: its cgroup controller is not there");
    }
    let (choice, candidates) = options::vmms(config);
    let canary = canary(config, &images, &layout).await?;
    let chosen = choose(choice, candidates, Arc::clone(&jails), canary).await;
    let Chosen { vmm, why } = chosen.map_err(|source| Error::Vmm { source })?;
    tracing::info!(vmm = %why, "chosen");
    let (tell, told) = mpsc::channel(FACTS);
    let host = Arc::new(Host::new(options::host(config), vmm, net, images, tell));
    Ok(Assembled { host, told, jails, vmm: why, alone })
}

async fn look(images: &LocalImages, id: &ProfileId, profile: &ProfileOptions) -> Result<(), Error> {
    let source = Source { kernel: profile.kernel.clone(), image: profile.image.clone() };
    let wrong = |source| Error::Images { profile: id.to_string(), source };
    images.ensure(&source).await.map(drop).map_err(wrong)
}

/// The first profile's kernel, with no disk that could be written and no network.
async fn canary(
    config: &Config,
    images: &LocalImages,
    layout: &Layout,
) -> Result<Option<Canary>, Error> {
    let Some((id, profile)) = config.profiles.first_key_value() else { return Ok(None) };
    let source = Source { kernel: profile.kernel.clone(), image: profile.image.clone() };
    let wrong = |source| Error::Images { profile: id.to_string(), source };
    let bundle = images.ensure(&source).await.map_err(wrong)?;
    let shape = Resources { vcpus: 1, memory: MiB(256), disk: MiB(0) };
    let boot = Boot {
        vm: CANARY,
        slot: Slot(config.host.slots),
        shape,
        kernel: bundle.kernel,
        initramfs: bundle.initramfs,
        drives: Vec::new(),
        disk_rate: DiskRate::default(),
        nic: None,
        console: Console::Kept,
    };
    Ok(Some(Canary { boot, cache: layout.canary() }))
}
