//! The bare boot: the same kernel, initramfs, image and VMM as a job gets, but no daemon, no store, no network.
//!
//! As many guests at once as the demo has jobs, and of the same shapes: a busy processor slows both alike.

use anyhow::{Context, Result, bail};
use flint::host::Layout;
use flint::images::{self, Bundle, Images, LocalImages, Source};
use flint::vmm::choose::{Canary, Candidates, Choice, Chosen, choose};
use flint::vmm::jail::{self, Jails};
use flint::vmm::qemu::{self, Accel};
use flint::vmm::{AnyVmm, Boot, Channel, Console, DiskRate, Drive, Vmm, firecracker};
use flint_core::id::{Slot, VmId};
use flint_core::units::{MiB, Resources};
use flint_wire::frame::{self, Decoder, Resync};
use flint_wire::{FromGuest, Said, Secret, ToGuest};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The demo's three profiles: vCPUs and MiB of memory.
const SHAPES: [(u16, u64); 3] = [(1, 512), (1, 768), (2, 1024)];

/// As in the demo.
const SCRATCH: MiB = MiB(2048);

/// A guest that is silent that long will stay so.
const PATIENCE: Duration = Duration::from_secs(120);

/// Between two tries to reach an agent, as in Flint's host.
const RETRY: Duration = Duration::from_millis(20);

/// How long one try may take, as in Flint's host.
const TRY_MAX: Duration = Duration::from_secs(5);

/// What is booted.
#[derive(Clone, Debug)]
pub struct Guests {
    /// The kernel; its initramfs and modules lie beside it.
    pub kernel: PathBuf,
    /// The image.
    pub image: PathBuf,
    /// Where state goes while it runs.
    pub scratch: PathBuf,
}

/// The times of one round.
#[derive(Clone, Debug, Serialize)]
pub struct Boots {
    /// The VMM, and why it.
    pub vmm: String,
    /// From the order to start the process to the agent's `ready`, in milliseconds, one for each guest.
    pub millis: Vec<f64>,
}

/// Boots one guest of each shape, all at once, and removes them.
///
/// # Errors
/// When there is no VMM, or a guest does not get ready.
pub async fn boots(guests: &Guests) -> Result<Boots> {
    let state = tempfile::Builder::new().prefix("bench-").tempdir_in(&guests.scratch)?;
    let layout = Layout::new(state.path());
    for folder in [layout.jails(), layout.logs(), layout.scratch()] {
        std::fs::create_dir_all(folder)?;
    }
    let images = LocalImages::new(&images::Options { state_dir: state.path().to_owned() });
    let source = Source { kernel: guests.kernel.clone(), image: guests.image.clone() };
    let bundle = images.ensure(&source).await?;
    let jails = Jails::new(jail::Options {
        dir: layout.jails(),
        logs: layout.logs(),
        uid_base: 61_000,
        gid_base: 61_000,
        // Not a daemon's: its microVMs have the same names.
        cgroup: "flintbench".to_owned(),
        allow_unfiltered: false,
    });
    let measured = all(&layout, &images, &bundle, std::sync::Arc::clone(&jails)).await;
    jails.leave();
    measured
}

/// One round, over these jails.
async fn all(
    layout: &Layout,
    images: &LocalImages,
    bundle: &Bundle,
    jails: std::sync::Arc<Jails>,
) -> Result<Boots> {
    let Chosen { vmm, why } = vmm(layout, bundle, jails).await?;
    let mut orders = Vec::new();
    for (number, (vcpus, memory)) in (1..).zip(SHAPES) {
        let shape = Resources { vcpus: vcpus.into(), memory: MiB(memory), disk: SCRATCH };
        let scratch = images.scratch_for(VmId(number), SCRATCH).await?;
        let drives = drives(bundle, scratch);
        orders.push(Boot { shape, drives, ..order(bundle, VmId(number)) });
    }
    let [first, second, third] = <[Boot; 3]>::try_from(orders).ok().context("three shapes")?;
    let (first, second, third) =
        tokio::join!(boot(&vmm, first), boot(&vmm, second), boot(&vmm, third));
    Ok(Boots { vmm: why, millis: vec![first?, second?, third?] })
}

/// QEMU as the daemon would start it here.
async fn vmm(layout: &Layout, bundle: &Bundle, jails: std::sync::Arc<Jails>) -> Result<Chosen> {
    let program = PathBuf::from("qemu-system-x86_64");
    let candidates = Candidates {
        firecracker: firecracker::Options::new("jailer".into(), "firecracker".into()),
        qemu: qemu::Options { program, accel: Accel::Tcg, firmware: None },
    };
    let canary = Canary { boot: order(bundle, VmId(u64::MAX)), cache: layout.canary() };
    Ok(choose(Choice::Qemu, candidates, jails, Some(canary)).await?)
}

fn order(bundle: &Bundle, vm: VmId) -> Boot {
    Boot {
        vm,
        slot: Slot(u16::try_from(vm.0).unwrap_or_default()),
        shape: Resources { vcpus: 1, memory: MiB(256), disk: MiB(0) },
        kernel: bundle.kernel.clone(),
        initramfs: bundle.initramfs.clone(),
        drives: Vec::new(),
        disk_rate: DiskRate::default(),
        nic: None,
        console: Console::Kept,
    }
}

fn drives(bundle: &Bundle, scratch: PathBuf) -> Vec<Drive> {
    let read_only = |path: &Path| Drive { path: path.to_owned(), writable: false };
    let mut drives = vec![read_only(&bundle.base), Drive { path: scratch, writable: true }];
    drives.extend(bundle.modules.as_deref().map(read_only));
    drives
}

/// One guest from the start of its process to its agent's `ready`, in milliseconds.
async fn boot(vmm: &AnyVmm, boot: Boot) -> Result<f64> {
    let vm = boot.vm;
    let began = Instant::now();
    let ready = async {
        vmm.boot(boot).await?;
        loop {
            if let Ok(Ok(())) = tokio::time::timeout(TRY_MAX, ready(vmm, vm)).await {
                return anyhow::Ok(began.elapsed());
            }
            tokio::time::sleep(RETRY).await;
        }
    };
    let ended = tokio::time::timeout(PATIENCE, ready).await;
    vmm.kill(vm).await?;
    Ok(ended.with_context(|| format!("{vm} was not ready in time"))??.as_secs_f64() * 1000.0)
}

/// One conversation: hello, who the guest is, ready.
async fn ready(vmm: &AnyVmm, vm: VmId) -> Result<()> {
    let mut channel = vmm.channel(vm).await?;
    let nonce = format!("bench-{vm}");
    channel.write_all(&frame::opening(&nonce)?).await?;
    let (mut decoder, mut resync) = (Decoder::<Said>::new(), Resync::new(nonce));
    loop {
        while let Some(next) = decoder.next_message() {
            let Some(said) = resync.admit(next) else { continue };
            match said?.message {
                FromGuest::Hello { .. } => channel.write_all(&configure(vm)?).await?,
                FromGuest::Ready { .. } => return Ok(()),
                FromGuest::Failed { step, error } => bail!("{step}: {error}"),
                _ => {}
            }
        }
        read(&mut channel, &mut decoder).await?;
    }
}

async fn read(channel: &mut Channel, decoder: &mut Decoder<Said>) -> Result<()> {
    let mut buffer = [0; 4096];
    match channel.read(&mut buffer).await? {
        0 => bail!("the guest has closed its channel"),
        length => decoder.push(&buffer[..length]),
    }
    Ok(())
}

fn configure(vm: VmId) -> Result<impl std::ops::Deref<Target = Vec<u8>>> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(frame::encode(&ToGuest::Configure {
        hostname: vm.to_string(),
        time_unix_ns: u64::try_from(now.as_nanos())?,
        // It protects nothing: this guest does no work.
        entropy: Secret::new("00".repeat(32)),
        network: None,
    })?)
}
