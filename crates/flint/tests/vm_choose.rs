//! The choice of a VMM with a real canary. Run by name: `cargo test -p flint --test vm_choose`. Needs what `vm` needs.

#![expect(clippy::unwrap_used, reason = "a test ends where its machine is not as it must be")]

use flint::host::Layout;
use flint::vmm::choose::{Canary, Candidates, Choice, Chosen, choose};
use flint::vmm::jail::{self, Jails};
use flint::vmm::qemu::{self, Accel};
use flint::vmm::{AnyVmm, Boot, Console, DiskRate, Vmm, firecracker};
use flint_core::id::{Slot, VmId};
use flint_core::units::{MiB, Resources};
use std::path::{Path, PathBuf};

fn kernel() -> PathBuf {
    let built = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../build/kernel/linux/vmlinux");
    std::env::var_os("FLINT_TEST_KERNEL").map_or_else(built, PathBuf::from)
}

async fn chosen(choice: Choice, layout: &Layout) -> Chosen {
    let jails = Jails::new(jail::Options {
        dir: layout.jails(),
        logs: layout.logs(),
        uid_base: 61_000,
        gid_base: 61_000,
        cgroup: format!("flint-test-choose{}", std::process::id()),
        allow_unfiltered: false,
    });
    let program = PathBuf::from("qemu-system-x86_64");
    let candidates = Candidates {
        firecracker: firecracker::Options::new("/nowhere/jailer".into(), "/nowhere/fc".into()),
        qemu: qemu::Options { program, accel: Accel::Tcg, firmware: None },
    };
    let boot = Boot {
        vm: VmId(u64::MAX),
        slot: Slot(1),
        shape: Resources { vcpus: 1, memory: MiB(256), disk: MiB(0) },
        initramfs: kernel().with_file_name("initramfs.cpio"),
        kernel: kernel(),
        drives: Vec::new(),
        disk_rate: DiskRate::default(),
        nic: None,
        console: Console::Kept,
    };
    let canary = Canary { boot, cache: layout.canary() };
    choose(choice, candidates, jails, Some(canary)).await.unwrap()
}

fn remove_cgroups() {
    let name = format!("flint-test-choose{}", std::process::id());
    let root = Path::new("/sys/fs/cgroup");
    let below = std::fs::read_dir(root).unwrap().flatten().map(|entry| entry.path());
    for parent in below.chain([root.to_owned()]).map(|dir| dir.join(&name)) {
        if parent.exists() {
            std::fs::remove_dir(&parent).unwrap();
        }
    }
}

#[tokio::test]
async fn qemu_uses_kvm_only_where_the_canary_lived_and_says_why_not_elsewhere() {
    let state = tempfile::tempdir().unwrap();
    let layout = Layout::new(state.path());
    for folder in [layout.jails(), layout.logs()] {
        std::fs::create_dir_all(folder).unwrap();
    }
    for (choice, reason) in [(Choice::Qemu, "asked for"), (Choice::Auto, "not firecracker: ")] {
        let Chosen { vmm, why } = chosen(choice, &layout).await;
        assert!(matches!(vmm, AnyVmm::Qemu(_)));
        assert!(why.starts_with("qemu ") && !why.contains('\n'), "{why}");
        let without = why.contains(", emulated: ") && why.contains("cannot use KVM: ");
        assert!(why.contains(reason) && (why.contains(", kvm: ") || without), "{why}");
        assert!(vmm.inventory().await.unwrap().present.is_empty());
    }
    remove_cgroups();
}
