//! Which VMM runs this host's microVMs, and why, in one line.
//!
//! A KVM that opens and makes machines may still not run a kernel (nested, software or patched ones were seen). So
//! it is trusted only after a canary, under each VMM on its own: what one of them asks of KVM the other may not.

use crate::sys::kvm;
use crate::vmm::firecracker::{self, Firecracker, Jailer};
use crate::vmm::jail::Jails;
use crate::vmm::qemu::{self, Accel, Qemu};
use crate::vmm::{Boot, Channel, Error, Inventory, Vmm};
use flint_core::event::GuestEnd;
use flint_core::id::VmId;
use std::sync::Arc;

pub use crate::vmm::canary::{Canary, known};

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
    /// QEMU's. Who runs its guests' code is found out: KVM where it can, else QEMU itself.
    pub qemu: qemu::Options,
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

/// Chooses. `auto` asks the canary about Firecracker; who asked for it by name is taken at their word once its
/// programs are usable. QEMU uses KVM where the canary lived under it, and needs nothing of the host elsewhere.
///
/// # Errors
/// [`Error`] when what was asked for cannot be used, or under `auto` neither can.
pub async fn choose(
    choice: Choice,
    candidates: Candidates,
    jails: Arc<Jails>,
    canary: Option<Canary>,
) -> Result<Chosen, Error> {
    jails.check()?;
    let ground = Ground { jails, canary };
    let trouble = match choice {
        Choice::Qemu => return qemu(candidates.qemu, &ground, "asked for").await,
        Choice::Firecracker => {
            let version = Jailer::check(&candidates.firecracker).await?.0;
            ground.jails.check_mount()?;
            probe()?;
            let vmm = Firecracker::new(candidates.firecracker, ground.jails);
            return Ok(chosen_firecracker(vmm, &version, "asked for"));
        }
        Choice::Auto => match trusted(&candidates.firecracker, &ground).await {
            Ok((vmm, version)) => {
                return Ok(chosen_firecracker(vmm, &version, "KVM runs guests here"));
            }
            Err(trouble) => trouble,
        },
    };
    // Both troubles matter then: one of them must be cured, and either will do.
    match qemu(candidates.qemu, &ground, &format!("not firecracker: {trouble}")).await {
        Err(Error::Program { program, why }) => {
            Err(Error::Program { program, why: format!("{why}; nor firecracker: {trouble}") })
        }
        chosen => chosen,
    }
}

/// What a VMM is tried on.
struct Ground {
    jails: Arc<Jails>,
    canary: Option<Canary>,
}

impl Ground {
    /// Whether KVM runs guests under this VMM.
    async fn kvm<V: Vmm>(&self, vmm: &V, version: &str) -> Result<(), Error> {
        probe()?;
        let Some(canary) = &self.canary else {
            let why = "no canary was there to show that it runs guests".to_owned();
            return Err(Error::Kvm { why });
        };
        canary.lives(vmm, version, &self.jails).await
    }
}

/// Firecracker and its version, if its programs are usable and KVM has been shown to run guests under it.
async fn trusted(
    options: &firecracker::Options,
    ground: &Ground,
) -> Result<(Firecracker, String), Error> {
    let version = Jailer::check(options).await?.0;
    ground.jails.check_mount()?;
    let vmm = Firecracker::new(options.clone(), Arc::clone(&ground.jails));
    ground.kvm(&vmm, &format!("firecracker {version}")).await?;
    Ok((vmm, version))
}

fn probe() -> Result<(), Error> {
    kvm::probe().map_err(|e| Error::Kvm { why: format!("`/dev/kvm`: {e}") })
}

fn chosen_firecracker(vmm: Firecracker, version: &str, why: &str) -> Chosen {
    Chosen { vmm: AnyVmm::Firecracker(vmm), why: format!("firecracker {version}: {why}") }
}

/// QEMU with KVM if it runs guests, else without.
async fn qemu(options: qemu::Options, ground: &Ground, why: &str) -> Result<Chosen, Error> {
    let line = Qemu::check(&options).await?;
    let version = line.trim_start_matches("QEMU emulator version ");
    let with =
        |accel| Qemu::new(qemu::Options { accel, ..options.clone() }, Arc::clone(&ground.jails));
    let vmm = with(Accel::Kvm);
    Ok(match ground.kvm(&vmm, &line).await {
        Ok(()) => Chosen { vmm: AnyVmm::Qemu(vmm), why: format!("qemu {version}, kvm: {why}") },
        Err(trouble) => {
            let why = emulated(why, &trouble.to_string());
            let vmm = AnyVmm::Qemu(with(Accel::Tcg));
            Chosen { vmm, why: format!("qemu {version}, emulated: {why}") }
        }
    })
}

/// Why this VMM and why without KVM; what both have in common is said once.
fn emulated(why: &str, trouble: &str) -> String {
    if why.contains(trouble) { why.to_owned() } else { format!("{why}; {trouble}") }
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

#[cfg(test)]
mod tests {
    use super::emulated;

    #[test]
    fn one_trouble_is_told_once_and_two_are_both_told() {
        let no_kvm = "cannot use KVM: `/dev/kvm`: No such file or directory";
        let why = format!("not firecracker: {no_kvm}");
        assert_eq!(emulated(&why, no_kvm), why);
        assert_eq!(emulated("asked for", no_kvm), format!("asked for; {no_kvm}"));
    }
}
