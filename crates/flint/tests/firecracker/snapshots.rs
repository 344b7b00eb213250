//! A guest that is frozen and thawed in other jails: what warm pools will stand on.

use super::by_hand::{begin, configure, refusal};
use super::lab::{EVERYWHERE, Lab, SLOT, VM, within};
use super::talk::Talk;
use flint::net::Net;
use flint::sys::process::Ended;
use flint::vmm::firecracker::{Api, ApiError};
use flint::vmm::{Boot, Drive, Vmm};
use flint_core::event::GuestEnd;
use flint_core::id::{Slot, VmId};
use serde_json::json;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

/// A guest's state and memory, as files that its clones share.
struct Frozen {
    state: PathBuf,
    memory: PathBuf,
}

impl Frozen {
    /// Boots a guest with this network, freezes it once it listens, and keeps it.
    async fn take(lab: &Lab, with_disk: bool) -> Frozen {
        let nic = lab.attach().await.nic;
        // The limit of files is that of the largest disk: the memory file needs it.
        let drives = ["vda", "vdb", "vdc"].map(|name| room(lab, name)).to_vec();
        let boot = Boot { nic: Some(nic.clone()), drives, ..lab.boot() };
        let (api, _) = lab.enter(&boot).await;
        configure(&api, "agent", Some(&nic)).await;
        if with_disk {
            // A place that no clone's jail has.
            let disk = json!({"drive_id": "vdc", "path_on_host": "vdc", "is_root_device": false,
                "is_read_only": false});
            api.put("/drives/vdc", &disk).await.unwrap();
        }
        let config = json!({"network_interfaces": ["net0"], "version": "V2"});
        api.put("/mmds/config", &config).await.unwrap();
        begin(&api).await;
        lab.printed("flint-guest: listening").await;

        let files =
            json!({"snapshot_type": "Diff", "snapshot_path": "state", "mem_file_path": "memory"});
        assert_eq!(refusal(api.put("/snapshot/create", &files).await).0, 400, "it runs");
        api.patch("/vm", &json!({"state": "Paused"})).await.unwrap();
        api.put("/snapshot/create", &files).await.unwrap();
        let root = lab.jail().join("root");
        let keep = |name: &str| {
            let kept = lab.file_path(name);
            fs::copy(root.join(name), &kept).unwrap();
            fs::set_permissions(&kept, fs::Permissions::from_mode(0o444)).unwrap();
            kept
        };
        let frozen = Frozen { state: keep("state"), memory: keep("memory") };
        lab.destroy().await;
        frozen
    }

    /// What a clone's jail holds: state and memory in the places of its disks, shared and read-only.
    fn boot(&self, lab: &Lab, vm: VmId, slot: Slot) -> Boot {
        let shared = |path: &Path| Drive { path: path.to_owned(), writable: false };
        Boot { vm, slot, drives: vec![shared(&self.state), shared(&self.memory)], ..lab.boot() }
    }
}

/// Thaws what lies in a jail.
async fn thaw(api: &Api) -> Result<(), ApiError> {
    let load = json!({"snapshot_path": "vda", "resume_vm": true,
        "mem_backend": {"backend_type": "File", "backend_path": "vdb"}});
    api.put("/snapshot/load", &load).await
}

/// A large disk that takes no room.
fn room(lab: &Lab, name: &str) -> Drive {
    let path = lab.file(name, b"");
    fs::File::options().write(true).open(&path).unwrap().set_len(256 << 20).unwrap();
    Drive { path, writable: true }
}

#[tokio::test]
async fn three_clones_share_their_files_and_each_has_its_own_data_and_end() {
    let lab = Lab::new("agent");
    let frozen = Frozen::take(&lab, false).await;
    let (mut clones, mut generations) = (Vec::new(), BTreeSet::new());
    for n in 1..=3_u16 {
        let (vm, slot) = (VmId(50 + u64::from(n)), Slot(SLOT.0 + n));
        let uid = lab.uid() + u32::from(n);
        let nic = within("attaching", lab.net.attach(slot, uid, &EVERYWHERE)).await.unwrap().nic;
        let boot = Boot { nic: Some(nic), ..frozen.boot(&lab, vm, slot) };
        let (api, _) = lab.enter(&boot).await;
        // Before the clone's first instruction.
        api.put("/mmds", &json!({"job": n})).await.unwrap();
        thaw(&api).await.unwrap();
        // What is connected before that is lost.
        lab.printed_by(vm, "flint-guest: transport reset").await;
        generations.insert(generation(&lab, vm));
        let channel = within("listening", lab.vmm.channel(vm)).await.unwrap();
        let (mut talk, configured) = Talk::open(channel).await;
        assert!(!configured, "it was frozen before");
        talk.make_ready(&vm.to_string(), None).await;
        assert_eq!(api.get("/mmds").await.unwrap(), format!("{{\"job\":{n}}}"));
        clones.push((vm, slot, talk));
    }
    // By these a kernel knows that its random numbers are another's too.
    assert_eq!(generations.len(), 3, "{generations:?}");
    let (first, slot, _) = clones.remove(0);
    within("killing", lab.vmm.kill(first)).await.unwrap();
    within("detaching", lab.net.detach(slot)).await.unwrap();
    for (vm, slot, mut talk) in clones {
        talk.command(&["exit", "7"]).await;
        assert_eq!(talk.rest().await.1, 7);
        assert_eq!(within("ending", lab.vmm.exited(vm)).await, GuestEnd::ShutDown);
        within("killing", lab.vmm.kill(vm)).await.unwrap();
        within("detaching", lab.net.detach(slot)).await.unwrap();
    }
    lab.assert_nothing_left().await;
}

/// The 16 bytes that the VMM has given to this clone, as the guest reads them.
fn generation(lab: &Lab, vm: VmId) -> String {
    let console = lab.console_of(vm);
    let line = console.lines().find_map(|line| line.strip_prefix("flint-guest: generation "));
    let id = line.unwrap_or_default().trim().to_owned();
    assert!(id.len() == 32 && id.bytes().any(|digit| digit != b'0'), "{console}");
    id
}

/// Thaws a guest into a jail that `spoil` has changed: it is refused in these words, and the VMM ends.
async fn assert_lost(lab: &Lab, boot: Boot, spoil: impl FnOnce(&Path), words: &str) {
    let nic = lab.attach().await.nic;
    let (api, running) = lab.enter(&Boot { nic: Some(nic), ..boot }).await;
    spoil(&lab.jail().join("root"));
    let (status, fault) = refusal(thaw(&api).await);
    assert!(status == 400 && fault.contains(words), "{fault}");
    let ended = within("ending", running.process.wait()).await;
    assert_eq!(ended, Some(Ended::Code(1)));
    assert_eq!(lab.end().await, GuestEnd::Crashed);
    lab.destroy().await;
}

#[tokio::test]
async fn a_state_with_one_wrong_byte_is_refused_and_ends_its_vmm() {
    let lab = Lab::new("agent");
    let mut frozen = Frozen::take(&lab, false).await;
    let mut bytes = fs::read(&frozen.state).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    frozen.state = lab.file("wrong", &bytes);
    assert_lost(&lab, frozen.boot(&lab, VM, SLOT), |_| {}, "CRC64").await;
}

#[tokio::test]
async fn a_guest_is_not_thawed_without_the_disk_it_had() {
    let lab = Lab::new("agent");
    let frozen = Frozen::take(&lab, true).await;
    assert_lost(&lab, frozen.boot(&lab, VM, SLOT), |_| {}, "No such file").await;
}

#[tokio::test]
async fn a_guest_is_not_thawed_over_the_socket_of_another() {
    let lab = Lab::new("agent");
    let frozen = Frozen::take(&lab, false).await;
    let leave = |root: &Path| drop(UnixListener::bind(root.join("agent.sock")).unwrap());
    assert_lost(&lab, frozen.boot(&lab, VM, SLOT), leave, "Address already in use").await;
}
