//! Which VMM runs this host's microVMs, and why, in one line.
//!
//! A KVM that opens and makes machines may still not run a kernel (nested, software or patched ones were seen). So
//! it is trusted only after a canary: the real kernel with the real agent, which must answer. The answer holds for
//! this boot of the host, this kernel and this Firecracker, and is kept in a file.

use crate::sys::kvm;
use crate::vmm::firecracker::{self, Firecracker, Jailer};
use crate::vmm::jail::Jails;
use crate::vmm::qemu::{self, Qemu};
use crate::vmm::{Boot, Channel, Error, Inventory, Vmm};
use flint_core::event::GuestEnd;
use flint_core::id::VmId;
use flint_wire::{PROTOCOL, ToGuest};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

/// A canary that has not answered by then never will: with a working KVM it takes half a second.
const CANARY_MAX: Duration = Duration::from_secs(20);

/// What the user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// Firecracker where KVM can run guests, QEMU elsewhere.
    #[default]
    Auto,
    /// Firecracker or nothing.
    Firecracker,
    /// QEMU or nothing.
    Qemu,
}

/// Both VMMs, as configured.
#[derive(Clone, Debug)]
pub struct Candidates {
    /// Firecracker's programs.
    pub firecracker: firecracker::Options,
    /// QEMU's.
    pub qemu: qemu::Options,
}

/// A microVM that shows whether KVM can run guests.
#[derive(Clone, Debug)]
pub struct Canary {
    /// Kernel and initramfs of a profile; an id that no row has; no network.
    pub boot: Boot,
    /// Where the answer is kept.
    pub cache: PathBuf,
}

/// The VMM of this host.
#[derive(Debug)]
pub enum AnyVmm {
    /// Firecracker.
    Firecracker(Firecracker),
    /// QEMU.
    Qemu(Qemu),
}

/// The VMM, and the one line that says why.
#[derive(Debug)]
pub struct Chosen {
    /// It.
    pub vmm: AnyVmm,
    /// `firecracker 1.12.0: KVM runs guests here`.
    pub why: String,
}

/// Chooses. `auto` asks the canary; an explicit choice is taken at its word once its programs are usable.
///
/// # Errors
/// [`Error`] when what was asked for cannot be used, or under `auto` neither can.
pub async fn choose(
    choice: Choice,
    candidates: Candidates,
    jails: Arc<Jails>,
    canary: Option<Canary>,
) -> Result<Chosen, Error> {
    let trouble = match choice {
        Choice::Qemu => return qemu(candidates.qemu, jails, "asked for".to_owned()).await,
        Choice::Firecracker => {
            let version = Jailer::check(&candidates.firecracker).await?.0;
            probe()?;
            return Ok(firecracker(candidates.firecracker, jails, &version, "asked for"));
        }
        Choice::Auto => match trusted(&candidates.firecracker, &jails, canary).await {
            Ok(version) => {
                let why = "kvm runs guests here";
                return Ok(firecracker(candidates.firecracker, jails, &version, why));
            }
            Err(trouble) => trouble,
        },
    };
    // Both troubles matter then: one of them must be cured, and either will do.
    let first = trouble.to_string();
    match qemu(candidates.qemu, jails, format!("not firecracker: {first}")).await {
        Err(Error::Program { program, why }) => {
            Err(Error::Program { program, why: format!("{why}; nor firecracker: {first}") })
        }
        chosen => chosen,
    }
}

/// Firecracker's version, if its programs are usable and KVM has been shown to run guests.
async fn trusted(
    options: &firecracker::Options,
    jails: &Arc<Jails>,
    canary: Option<Canary>,
) -> Result<String, Error> {
    let version = Jailer::check(options).await?.0;
    probe()?;
    let Some(canary) = canary else {
        return Err(Error::Kvm {
            why: "no canary was there to show that it runs guests".to_owned(),
        });
    };
    let key = key(&canary.boot.kernel, &version);
    let known = std::fs::read_to_string(&canary.cache).unwrap_or_default();
    let answer = match known.strip_prefix(&key).and_then(|rest| rest.strip_prefix('\n')) {
        Some(answer) => answer.to_owned(),
        None => {
            let vmm = Firecracker::new(options.clone(), Arc::clone(jails));
            let answer = fly(&vmm, canary.boot).await;
            keep(&canary.cache, &key, &answer);
            answer
        }
    };
    if answer.is_empty() { Ok(version) } else { Err(Error::Kvm { why: answer }) }
}

fn probe() -> Result<(), Error> {
    kvm::probe().map_err(|e| Error::Kvm { why: format!("`/dev/kvm`: {e}") })
}

/// Boots the canary and removes it. Empty: its agent answered; else what went wrong.
async fn fly(vmm: &Firecracker, boot: Boot) -> String {
    let vm = boot.vm;
    let outcome = match vmm.boot(boot).await {
        Err(e) => Some(chain(&e)),
        Ok(()) => tokio::select! {
            () = heard(vmm, vm) => None,
            end = vmm.exited(vm) => Some(format!("a test guest ended at once: {end:?}")),
            () = tokio::time::sleep(CANARY_MAX) => {
                let seconds = CANARY_MAX.as_secs();
                Some(format!("a test guest's agent did not answer within {seconds} s"))
            }
        },
    };
    if let Err(error) = vmm.kill(vm).await {
        tracing::warn!(%vm, %error, "cannot remove the canary");
    }
    outcome.unwrap_or_default()
}

/// Returns when the agent has answered.
async fn heard(vmm: &Firecracker, vm: VmId) {
    loop {
        if let Ok(stream) = vmm.channel(vm).await
            && answers(stream).await
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether an agent says anything that carries our nonce.
async fn answers(stream: Channel) -> bool {
    let nonce = format!("canary-{}", std::process::id());
    let hello = ToGuest::Hello { protocol: PROTOCOL, nonce: nonce.clone() };
    let Ok(mut line) = serde_json::to_vec(&hello) else { return false };
    line.push(b'\n');
    let mut stream = BufReader::new(stream);
    if stream.write_all(&line).await.is_err() {
        return false;
    }
    let mut answer = String::new();
    let mut bounded = stream.take(flint_wire::LINE_MAX as u64);
    bounded.read_line(&mut answer).await.is_ok() && answer.contains(&nonce)
}

fn firecracker(
    options: firecracker::Options,
    jails: Arc<Jails>,
    version: &str,
    why: &str,
) -> Chosen {
    let vmm = AnyVmm::Firecracker(Firecracker::new(options, jails));
    Chosen { vmm, why: format!("firecracker {version}: {why}") }
}

async fn qemu(options: qemu::Options, jails: Arc<Jails>, why: String) -> Result<Chosen, Error> {
    let version = Qemu::check(&options).await?;
    let accel = match options.accel {
        qemu::Accel::Kvm => "kvm",
        qemu::Accel::Tcg => "emulated",
    };
    let version = version.trim_start_matches("QEMU emulator version ").to_owned();
    let vmm = AnyVmm::Qemu(Qemu::new(options, jails));
    Ok(Chosen { vmm, why: format!("qemu {version}, {accel}: {why}") })
}

/// What an answer holds for. A file's number, size and time stand for its content.
fn key(kernel: &Path, version: &str) -> String {
    let meta = kernel.metadata().map(|m| (m.ino(), m.size(), m.mtime(), m.mtime_nsec()));
    format!("{} {version} {:?}", firecracker::boot_id(), meta.unwrap_or_default())
}

fn keep(cache: &Path, key: &str, answer: &str) {
    if let Err(error) = std::fs::write(cache, format!("{key}\n{answer}")) {
        tracing::warn!(cache = %cache.display(), %error, "the canary flies again next time");
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

impl Vmm for AnyVmm {
    async fn boot(&self, boot: Boot) -> Result<(), Error> {
        match self {
            AnyVmm::Firecracker(vmm) => vmm.boot(boot).await,
            AnyVmm::Qemu(vmm) => vmm.boot(boot).await,
        }
    }

    async fn exited(&self, vm: VmId) -> GuestEnd {
        match self {
            AnyVmm::Firecracker(vmm) => vmm.exited(vm).await,
            AnyVmm::Qemu(vmm) => vmm.exited(vm).await,
        }
    }

    async fn kill(&self, vm: VmId) -> Result<(), Error> {
        match self {
            AnyVmm::Firecracker(vmm) => vmm.kill(vm).await,
            AnyVmm::Qemu(vmm) => vmm.kill(vm).await,
        }
    }

    async fn channel(&self, vm: VmId) -> Result<Channel, Error> {
        match self {
            AnyVmm::Firecracker(vmm) => vmm.channel(vm).await,
            AnyVmm::Qemu(vmm) => vmm.channel(vm).await,
        }
    }

    async fn inventory(&self) -> Result<Inventory, Error> {
        match self {
            AnyVmm::Firecracker(vmm) => vmm.inventory().await,
            AnyVmm::Qemu(vmm) => vmm.inventory().await,
        }
    }
}
