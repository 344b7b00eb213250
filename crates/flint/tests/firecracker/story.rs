//! Whole lives of microVMs.

use super::lab::{Lab, VM, disk, within};
use super::talk::Talk;
use flint::vmm::Vmm;
use flint_core::event::GuestEnd;
use flint_wire::{FromGuest, ToGuest};
use std::fs;
use std::path::Path;

/// As long as GitHub's, with everything that JSON writes in another way.
fn secret() -> String {
    format!("{}\"\\\n\t/end", "QmFzZTY0IG9mIGEgSklUIGNvbmZpZw".repeat(200))
}

/// FNV-1a, as the guest computes it.
fn fingerprint(text: &str) -> String {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    format!("{:016x}", text.bytes().fold(0xcbf2_9ce4_8422_2325, mix))
}

/// The files below a directory that hold this text. Device nodes, FIFOs and sockets hold none.
fn files_with(dir: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok) {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(files_with(&path, text));
        } else if kind.is_file() {
            let bytes = fs::read(&path).unwrap();
            let holds = bytes.windows(text.len()).any(|window| window == text.as_bytes());
            found.extend(holds.then(|| path.display().to_string()));
        }
    }
    found
}

#[tokio::test]
async fn a_job_runs_in_its_own_microvm_and_nothing_of_it_is_left() {
    let lab = Lab::new("agent");
    let attached = lab.attach().await;
    let drives = vec![disk(&lab, "base", "the base", false), disk(&lab, "scratch", "empty", true)];
    let boot = flint::vmm::Boot { nic: Some(attached.nic), drives, ..lab.boot() };
    within("booting", lab.vmm.boot(boot)).await.unwrap();
    let inventory = lab.vmm.inventory().await.unwrap();
    assert!(inventory.alive.contains(&VM) && inventory.present.contains(&VM));

    let mut talk = lab.talk().await;
    talk.make_ready("vm-42", Some(attached.guest)).await;
    let secret = secret();
    talk.runner(&secret).await;
    let proof = format!("secret of {} bytes, fingerprint {}", secret.len(), fingerprint(&secret));
    talk.until("the proof", |said| match said {
        FromGuest::Log { text, .. } => (*text == proof).then_some(()),
        _ => None,
    })
    .await;
    assert_eq!(talk.next().await, FromGuest::Listening);
    assert_eq!(talk.next().await, FromGuest::JobStarted);
    talk.until("the job's end", |said| (*said == FromGuest::JobDone).then_some(())).await;
    assert_eq!(talk.rest().await.1, 0);

    assert_eq!(lab.end().await, GuestEnd::ShutDown);
    lab.printed("flint-guest: bye").await;
    assert!(!lab.console().contains(&secret[..64]));
    assert_eq!(files_with(&lab.jail(), &secret[..64]), Vec::<String>::new());
    lab.destroy().await;
}

#[tokio::test]
async fn disks_arrive_in_order_and_only_the_scratch_disk_can_be_written() {
    let lab = Lab::new("agent");
    let drives = vec![
        disk(&lab, "base", "the base", false),
        disk(&lab, "scratch", "still empty", true),
        disk(&lab, "modules", "the modules", false),
    ];
    within("booting", lab.vmm.boot(flint::vmm::Boot { drives, ..lab.boot() })).await.unwrap();
    let mut talk = lab.ready().await;
    talk.command(&["disks"]).await;
    let (texts, _) = talk.rest().await;
    let expected = [
        "disk 0: the base",
        "disk 1: still empty",
        "disk 2: the modules",
        "disk 0 is read only",
        "disk 1 is writable",
    ];
    assert_eq!(texts, expected);
    let scratch = fs::read(lab.file_path("scratch")).unwrap();
    assert!(scratch.starts_with(b"the base"), "what the guest wrote is in its scratch disk");
    lab.destroy().await;
}

#[tokio::test]
async fn a_guest_finds_its_gateway_through_its_slots_tap() {
    let lab = Lab::new("agent");
    let attached = lab.attach().await;
    let boot = flint::vmm::Boot { nic: Some(attached.nic), ..lab.boot() };
    within("booting", lab.vmm.boot(boot)).await.unwrap();
    let mut talk = lab.ready().await;
    talk.command(&["net"]).await;
    let gateway = flint::net::derive::mac_of(flint::net::derive::GATEWAY);
    let expected = format!("gateway {}", flint::net::derive::mac_text(gateway));
    assert_eq!(talk.rest().await, (vec![expected], 0));
    lab.destroy().await;
}

#[tokio::test]
async fn a_job_outlives_the_daemon_and_the_next_daemon_hears_what_the_last_one_missed() {
    let mut lab = Lab::new("busy");
    lab.start().await;
    let mut talk = lab.ready().await;
    talk.acknowledge = false;
    talk.runner("a secret").await;
    talk.until("the job", |said| (*said == FromGuest::JobStarted).then_some(())).await;

    drop(talk);
    lab.daemon_restarts();

    assert!(lab.vmm.inventory().await.unwrap().alive.contains(&VM));
    let (mut talk, configured) = Talk::open(lab.channel().await).await;
    assert!(configured, "the guest remembers that it was configured");
    talk.until("the job again", |said| (*said == FromGuest::JobStarted).then_some(())).await;
    talk.say(&ToGuest::Stop { grace_s: 1 }).await;
    assert_eq!(talk.rest().await.1, 143);
    assert_eq!(lab.end().await, GuestEnd::ShutDown);
    lab.destroy().await;
}

#[tokio::test]
async fn a_flood_of_log_lines_arrives_whole_and_in_order() {
    let lab = Lab::new("agent");
    lab.start().await;
    let mut talk = lab.ready().await;
    talk.command(&["flood", "2000"]).await;
    let (texts, _) = talk.rest().await;
    let expected: Vec<String> = (0..2000).map(|n| format!("line {n}")).collect();
    assert_eq!(texts, expected);
    lab.destroy().await;
}
