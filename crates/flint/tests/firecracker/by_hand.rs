//! What Flint does not use yet, on VMMs that its jails hold: metadata, calls from the guest, limits of files.

use super::lab::{Lab, within};
use flint::sys::process::Ended;
use flint::vmm::firecracker::{Action, Api, ApiError, BootSource, Interface, Machine, Vsock};
use flint::vmm::{Boot, Nic};
use flint_core::event::GuestEnd;
use flint_wire::FromGuest;
use rustix::fs::{Gid, Uid, chown};
use serde_json::json;
use std::fs;
use std::os::unix::net::UnixListener;
use tokio::io::AsyncReadExt;

/// Gives a VMM all that a guest of one vCPU needs.
pub(crate) async fn configure(api: &Api, mode: &str, nic: Option<&Nic>) {
    let boot_args = &format!("flint={mode}");
    let machine = Machine { vcpu_count: 1, mem_size_mib: 128 };
    api.put("/machine-config", &machine).await.unwrap();
    let source = BootSource { kernel_image_path: "vmlinux", initrd_path: "initramfs", boot_args };
    api.put("/boot-source", &source).await.unwrap();
    if let Some(nic) = nic {
        let interface =
            Interface { iface_id: "net0", host_dev_name: &nic.tap, guest_mac: Some(&nic.mac) };
        api.put("/network-interfaces/net0", &interface).await.unwrap();
    }
    api.put("/vsock", &Vsock { guest_cid: 3, uds_path: "agent.sock" }).await.unwrap();
}

/// Lets the guest begin.
pub(crate) async fn begin(api: &Api) {
    api.put("/actions", &Action { action_type: "InstanceStart" }).await.unwrap();
}

/// The status and the words of a refusal.
pub(crate) fn refusal(called: Result<(), ApiError>) -> (u16, String) {
    match called {
        Err(ApiError::Refused { status, fault }) => (status, fault),
        other => panic!("this is refused, not {other:?}"),
    }
}

#[tokio::test]
async fn a_vmm_that_was_given_nothing_yet_has_not_started() {
    let lab = Lab::new("agent");
    let (api, _) = lab.enter(&lab.boot()).await;
    let version = api.get("/version").await.unwrap();
    assert!(version.contains(&lab.version().await), "{version}");
    let state = api.get("/").await.unwrap();
    assert!(state.contains("\"Not started\""), "{state}");
    configure(&api, "reset", None).await;
    begin(&api).await;
    lab.end().await;
    lab.destroy().await;
}

#[tokio::test]
async fn the_metadata_service_wants_a_token_and_its_data_is_in_no_log() {
    const SECRET: &str = "a-secret-of-one-job";
    let lab = Lab::new("agent");
    let nic = lab.attach().await.nic;
    let (api, _) = lab.enter(&Boot { nic: Some(nic.clone()), ..lab.boot() }).await;
    configure(&api, "agent", Some(&nic)).await;
    let config = json!({"network_interfaces": ["net0"], "version": "V2"});
    api.put("/mmds/config", &config).await.unwrap();
    api.put("/mmds", &json!({"job": SECRET, "room": "x".repeat(45_000)})).await.unwrap();
    let too_much = api.patch("/mmds", &json!({"more": "x".repeat(10_000)})).await;
    assert_eq!(refusal(too_much).0, 413);
    begin(&api).await;

    let mut talk = lab.ready().await;
    talk.command(&["mmds"]).await;
    let (texts, code) = talk.rest().await;
    assert_eq!(code, 0, "{texts:?}");
    let [without, with] = texts.as_slice() else { panic!("{texts:?}") };
    assert!(without.starts_with("without a token: HTTP/1.1 401"), "{without}");
    assert!(!without.contains(SECRET), "{without}");
    assert!(with.starts_with("with a token: HTTP/1.1 200") && with.contains(SECRET), "{with}");
    lab.end().await;
    let log = fs::read_to_string(lab.jail().join("root/firecracker.log")).unwrap();
    assert!(log.contains("/mmds") && !log.contains(SECRET), "{log}");
    lab.destroy().await;
}

#[tokio::test]
async fn a_guest_that_calls_reaches_the_one_who_listens_and_else_is_refused() {
    let lab = Lab::new("agent");
    lab.start().await;
    let mut talk = lab.ready().await;
    talk.command(&["dial", "7000"]).await;
    let (texts, code) = talk.rest().await;
    assert_eq!((texts, code), (vec!["the host refused the call".to_owned()], 1));
    lab.end().await;

    lab.start().await;
    let listener = listening(&lab, 7000);
    let mut talk = lab.ready().await;
    talk.command(&["dial", "7000"]).await;
    let (mut call, _) = within("calling", listener.accept()).await.unwrap();
    let mut words = Vec::new();
    within("hanging up", call.read_to_end(&mut words)).await.unwrap();
    assert_eq!(words, b"hello from the guest\n");
    let taken = |said: &FromGuest| match said {
        FromGuest::Log { text, .. } => (text == "the host took the call").then_some(()),
        _ => None,
    };
    talk.until("the call", taken).await;
    talk.rest().await;
    lab.end().await;
    lab.destroy().await;
}

#[tokio::test]
async fn a_guest_that_calls_everybody_reaches_only_who_listens_and_the_host_goes_on() {
    let lab = Lab::new("agent");
    lab.start().await;
    let mut talk = lab.ready().await;
    talk.command(&["knock", "2000"]).await;
    assert_eq!(talk.rest().await, (vec!["2000 refused, 0 taken".to_owned()], 0));
    lab.end().await;

    lab.start().await;
    let _listener = listening(&lab, 7);
    let mut talk = lab.ready().await;
    talk.command(&["knock", "2000"]).await;
    assert_eq!(talk.rest().await, (vec!["1999 refused, 1 taken".to_owned()], 0));
    assert_eq!(lab.end().await, GuestEnd::ShutDown);
    lab.destroy().await;
}

/// Somebody at a port of the host. The VMM itself connects, as its own user.
fn listening(lab: &Lab, port: u16) -> tokio::net::UnixListener {
    let path = lab.jail().join(format!("root/agent.sock_{port}"));
    let listener = UnixListener::bind(&path).unwrap();
    chown(&path, Some(Uid::from_raw(lab.uid())), Some(Gid::from_raw(lab.uid()))).unwrap();
    listener.set_nonblocking(true).unwrap();
    tokio::net::UnixListener::from_std(listener).unwrap()
}

#[tokio::test]
async fn a_socket_that_was_left_behind_is_in_the_way_of_a_new_one() {
    let lab = Lab::new("agent");
    let (api, _) = lab.enter(&lab.boot()).await;
    drop(UnixListener::bind(lab.jail().join("root/agent.sock")).unwrap());
    let refused = api.put("/vsock", &Vsock { guest_cid: 3, uds_path: "agent.sock" }).await;
    let (status, fault) = refusal(refused);
    assert!(status == 400 && fault.contains("Address already in use"), "{fault}");
    lab.destroy().await;
}

#[tokio::test]
async fn no_file_grows_beyond_the_largest_disk_and_a_vmm_that_tries_ends() {
    let lab = Lab::new("agent");
    let (api, running) = lab.enter(&lab.boot()).await;
    let limits = fs::read_to_string(format!("/proc/{}/limits", lab.pid())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max file size")).unwrap();
    assert_eq!(line.split_whitespace().nth(3), Some("67108864"), "{line}");

    configure(&api, "poweroff", None).await;
    begin(&api).await;
    lab.printed("flint-guest: mode poweroff").await;
    api.patch("/vm", &json!({"state": "Paused"})).await.unwrap();
    // The guest's memory is twice as long. It ends before it answers.
    let files = json!({"snapshot_type": "Full", "snapshot_path": "s", "mem_file_path": "m"});
    assert!(matches!(api.put("/snapshot/create", &files).await, Err(ApiError::Broken { .. })));
    let ended = within("ending", running.process.wait()).await;
    assert_eq!(ended, Some(Ended::Code(151)));
    lab.destroy().await;
}
