//! What Flint takes for granted about Firecracker and its jailer, checked against the programs that are here.

use super::lab::{EVERYWHERE, Lab, SLOT, VM, disk, engine, told, within};
use super::leavings::group;
use flint::net::Net;
use flint::vmm::firecracker::ApiError;
use flint::vmm::{Boot, DiskRate, Error, Nic, Vmm};
use flint_core::id::VmId;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn the_api_tells_the_version_of_the_program_and_that_the_guest_runs() {
    let lab = Lab::new("agent");
    let version = lab.version().await;
    lab.start().await;
    let api = lab.vmm.api(VM);
    let told = api.get("/version").await.unwrap();
    assert!(told.contains(&version), "{told} of {version}");
    let state = api.get("/").await.unwrap();
    assert!(state.contains("\"Running\"") && state.contains("\"vm-42\""), "{state}");
    lab.destroy().await;
}

#[tokio::test]
async fn a_vmm_has_its_users_rights_and_no_other() {
    let lab = Lab::new("agent");
    let nic = lab.attach().await.nic;
    let netns = nic.netns.clone();
    within("booting", lab.vmm.boot(Boot { nic: Some(nic), ..lab.boot() })).await.unwrap();
    let process = Path::new("/proc").join(lab.pid().to_string());
    let read = |file: &str| fs::read_to_string(process.join(file)).unwrap();

    for thread in fs::read_dir(process.join("task")).unwrap() {
        let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let user = [lab.uid().to_string(), lab.uid().to_string()].join(" ");
        assert_eq!(field("Uid:"), format!("{user} {user}"));
        assert_eq!(field("Gid:"), format!("{user} {user}"));
        assert_eq!(field("Groups:"), "");
        assert_eq!(u64::from_str_radix(&field("CapEff:"), 16), Ok(0));
        // KVM's own helper comes and goes in the process; it runs no instruction of it (Linux 6.14 and later).
        if field("Name:") != "kvm-nx-lpage-re" {
            assert_eq!((field("NoNewPrivs:"), field("Seccomp:")), ("1".into(), "2".into()));
        }
    }
    assert_eq!(read("environ"), "");
    assert_eq!(read("mountinfo").lines().count(), 1, "it sees no mount but its root");
    let core = read("limits")
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .map(|line| line.split_whitespace().nth(4).map(str::to_owned));
    assert_eq!(core.flatten().as_deref(), Some("1"), "guest memory goes into no core dump");
    let inside = fs::metadata(process.join("ns/net")).unwrap();
    assert_eq!(inside.ino(), fs::metadata(netns).unwrap().ino());
    let groups = read("cgroup");
    assert!(groups.contains(&format!("/{}/{VM}", group(&lab.name))), "{groups}");
    lab.destroy().await;
}

#[tokio::test]
async fn a_second_jailer_under_the_same_id_is_refused_and_the_first_guest_stays_unharmed() {
    let lab = Lab::new("agent");
    lab.start().await;
    let (code, said) = lab.run_jailer_again().await;
    assert_eq!(code, Some(1));
    assert!(said.contains("Text file busy"), "{said}");
    let mut talk = lab.ready().await;
    talk.command(&["exit", "7"]).await;
    assert_eq!(talk.rest().await.1, 7);
    lab.destroy().await;
}

#[tokio::test]
async fn a_second_boot_under_the_same_id_ends_the_first_guest_before_it_starts_the_next() {
    let lab = Lab::new("agent");
    lab.start().await;
    let mut first = lab.ready().await;
    let pid = lab.pid();
    lab.start().await;
    assert!(lab.pid() != pid && !Path::new(&format!("/proc/{pid}")).exists());
    assert!(first.is_cut().await);
    lab.ready().await;
    lab.destroy().await;
}

#[tokio::test]
async fn a_jail_that_was_left_behind_stops_the_jailer_but_not_flint() {
    let lab = Lab::new("reset");
    lab.start().await;
    lab.end().await;
    let (code, said) = lab.run_jailer_again().await;
    assert_eq!(code, Some(1));
    assert!(said.contains("File exists"), "{said}");
    lab.start().await;
    lab.end().await;
    lab.destroy().await;
    lab.start().await;
    lab.end().await;
    lab.destroy().await;
}

#[tokio::test]
async fn a_body_that_firecracker_does_not_take_is_refused_in_its_own_words() {
    let lab = Lab::new("agent");
    lab.start().await;
    let api = lab.vmm.api(VM);
    let unknown = api.put("/actions", &json!({"no_such_field": 1})).await;
    let too_long = api.put("/mmds", &json!({"text": "x".repeat(60_000)})).await;
    for refused in [unknown, too_long] {
        match refused {
            Err(ApiError::Refused { status: 400, fault }) => assert!(fault.len() > 10, "{fault}"),
            other => panic!("{other:?}"),
        }
    }
    lab.ready().await;
    lab.destroy().await;
}

#[tokio::test]
async fn a_guest_that_runs_cannot_be_configured_again() {
    let lab = Lab::new("agent");
    lab.start().await;
    let api = lab.vmm.api(VM);
    let calls = [
        ("/machine-config", json!({"vcpu_count": 2, "mem_size_mib": 256})),
        ("/boot-source", json!({"kernel_image_path": "vmlinux"})),
        (
            "/drives/vdz",
            json!({"drive_id": "vdz", "path_on_host": "vmlinux", "is_root_device": false, "is_read_only": true}),
        ),
        ("/network-interfaces/n9", json!({"iface_id": "n9", "host_dev_name": "vmtap9"})),
        ("/vsock", json!({"guest_cid": 9, "uds_path": "other.sock"})),
        ("/entropy", json!({})),
        ("/logger", json!({"log_path": "firecracker.log"})),
        ("/metrics", json!({"metrics_path": "metrics"})),
        ("/mmds/config", json!({"network_interfaces": ["n9"], "version": "V2"})),
        ("/actions", json!({"action_type": "InstanceStart"})),
    ];
    for (path, body) in calls {
        match api.put(path, &body).await {
            Err(ApiError::Refused { status: 400, fault }) => {
                // Drives and networks could be plugged into a PCI bus (since 1.16), which a microVM here has not.
                let words = fault.contains("not supported after starting the microVM")
                    || fault.contains("PCI is not enabled");
                assert!(words, "{path}: {fault}");
            }
            other => panic!("{path}: {other:?}"),
        }
    }
    lab.ready().await;
    lab.destroy().await;
}

#[tokio::test]
async fn an_eleventh_connection_is_sent_away_and_the_first_ten_stay() {
    let lab = Lab::new("agent");
    lab.start().await;
    let socket = lab.jail().join("root/run/firecracker.socket");
    let mut held = Vec::new();
    for _ in 0..10 {
        let mut stream = tokio::net::UnixStream::connect(&socket).await.unwrap();
        // An answer shows that it has been taken in.
        stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        within("answering", stream.read_u8()).await.unwrap();
        held.push(stream);
    }
    // It is told so before it has asked anything.
    let mut eleventh = tokio::net::UnixStream::connect(&socket).await.unwrap();
    let mut answer = Vec::new();
    within("refusing", eleventh.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("\"error\""), "{answer}");
    drop(held);
    lab.ready().await;
    lab.destroy().await;
}

#[tokio::test]
async fn a_vmm_without_a_filter_is_ended_and_the_error_says_so() {
    let mut lab = Lab::new("agent");
    lab.take_filter_away();
    match within("booting", lab.vmm.boot(lab.boot())).await {
        Err(error @ Error::Unfiltered { .. }) => {
            assert!(error.to_string().contains("has no seccomp filter"), "{error}");
            assert!(error.help().unwrap().contains("allow_unfiltered_vmm"));
        }
        other => panic!("{other:?}"),
    }
    assert!(!lab.jail().exists(), "nothing of it is left");
    lab.destroy().await;
}

#[tokio::test]
async fn a_vmm_without_a_filter_runs_where_the_configuration_allows_it() {
    let mut lab = Lab::new("agent");
    lab.take_filter_away();
    lab.allow_unfiltered();
    lab.start().await;
    lab.ready().await;
    lab.destroy().await;
}

#[tokio::test]
async fn a_tap_of_another_user_is_refused() {
    let lab = Lab::new("agent");
    let nic =
        within("attaching", lab.net.attach(SLOT, lab.uid() + 1, &EVERYWHERE)).await.unwrap().nic;
    let refused = within("booting", lab.vmm.boot(Boot { nic: Some(nic), ..lab.boot() })).await;
    assert_tap_refused(refused, "not permitted");
    lab.destroy().await;
}

#[tokio::test]
async fn a_tap_that_is_not_there_is_refused() {
    let lab = Lab::new("agent");
    let nic = lab.attach().await.nic;
    let nic = Nic { tap: "vmtap7".to_owned(), ..nic };
    let refused = within("booting", lab.vmm.boot(Boot { nic: Some(nic), ..lab.boot() })).await;
    assert_tap_refused(refused, "not permitted");
    lab.destroy().await;
}

#[tokio::test]
async fn a_tap_that_another_vmm_has_open_is_refused() {
    let lab = Lab::new("agent");
    let nic = lab.attach().await.nic;
    within("booting", lab.vmm.boot(Boot { nic: Some(nic.clone()), ..lab.boot() })).await.unwrap();
    let other = VmId(43);
    let boot = Boot { nic: Some(nic), vm: other, ..lab.boot() };
    assert_tap_refused(within("booting", lab.vmm.boot(boot)).await, "busy");
    lab.vmm.kill(other).await.unwrap();
    lab.ready().await;
    lab.destroy().await;
}

/// The error names the call, Firecracker's own words, and what the user can do.
fn assert_tap_refused(refused: Result<(), Error>, why: &str) {
    let help = refused.as_ref().err().and_then(Error::help).unwrap_or_default();
    assert!(help.contains("tap"), "{help}");
    let told = told(refused);
    assert!(told.contains("PUT /network-interfaces/net0"), "{told}");
    assert!(told.contains(why), "{told}");
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_closed_at_once_and_the_agents_port_stays_open() {
    let lab = Lab::new("agent");
    lab.start().await;
    drop(lab.channel().await);
    let socket = lab.jail().join("root/agent.sock");
    let mut stream = tokio::net::UnixStream::connect(socket).await.unwrap();
    stream.write_all(b"CONNECT 99\n").await.unwrap();
    let mut answer = Vec::new();
    within("closing", stream.read_to_end(&mut answer)).await.unwrap();
    assert_eq!(answer, b"");
    lab.ready().await;
    lab.destroy().await;
}

#[tokio::test]
async fn a_guest_without_a_driver_is_silent_and_the_wait_can_be_given_up() {
    let lab = Lab::new("poweroff");
    lab.start().await;
    lab.printed("flint-guest: mode poweroff").await;
    let socket = lab.jail().join("root/agent.sock");
    assert!(socket.exists());
    let channel = lab.vmm.channel(VM);
    let given_up = tokio::time::timeout(std::time::Duration::from_millis(100), channel).await;
    assert!(given_up.is_err(), "the request waits inside the VMM for a driver");
    lab.destroy().await;
}

#[tokio::test]
async fn the_program_in_the_jail_is_a_copy_that_no_guest_shares() {
    let lab = Lab::new("agent");
    lab.start().await;
    let program = engine().canonicalize().unwrap();
    let copy = lab.jail().join("root").join(program.file_name().unwrap());
    let (copy, original) = (fs::metadata(copy).unwrap(), fs::metadata(program).unwrap());
    assert_eq!(copy.len(), original.len());
    assert_ne!((copy.dev(), copy.ino()), (original.dev(), original.ino()));
    lab.destroy().await;
}

#[tokio::test]
async fn each_disk_is_held_to_the_profiles_rate() {
    let lab = Lab::new("agent");
    let drives = vec![disk(&lab, "base", "b", false), disk(&lab, "scratch", "s", true)];
    let disk_rate =
        DiskRate { bytes_per_second: Some(100 << 20), operations_per_second: Some(5_000) };
    within("booting", lab.vmm.boot(Boot { drives, disk_rate, ..lab.boot() })).await.unwrap();
    let config: Value =
        serde_json::from_str(&lab.vmm.api(VM).get("/vm/config").await.unwrap()).unwrap();
    let drives = config["drives"].as_array().unwrap();
    assert_eq!(drives.len(), 2);
    for drive in drives {
        let limiter = &drive["rate_limiter"];
        assert_eq!(
            (&limiter["bandwidth"]["size"], &limiter["ops"]["size"]),
            (&json!(10 << 20), &json!(500))
        );
        assert_eq!(limiter["bandwidth"]["refill_time"], json!(100));
    }
    lab.destroy().await;
}

#[tokio::test]
async fn what_guests_share_belongs_to_root_and_a_guests_own_to_its_user() {
    let lab = Lab::new("agent");
    let drives = vec![disk(&lab, "base", "the base", false), disk(&lab, "scratch", "", true)];
    within("booting", lab.vmm.boot(Boot { drives, ..lab.boot() })).await.unwrap();
    let root = lab.jail().join("root");
    let seen = |name: &str| {
        let meta = fs::symlink_metadata(root.join(name)).unwrap();
        (meta.uid(), meta.mode() & 0o7777)
    };
    for shared in ["vmlinux", "initramfs", "vda"] {
        assert_eq!(seen(shared), (0, 0o444), "{shared}");
    }
    for own in ["vdb", "metrics", "firecracker.log", "serial"] {
        assert_eq!(seen(own), (lab.uid(), 0o600), "{own}");
    }
    assert_eq!(seen(""), (lab.uid(), 0o700), "nobody else looks into the jail");
    for roots in ["../process", "../stderr"] {
        assert_eq!(seen(roots).0, 0, "{roots}");
    }
    lab.destroy().await;
}
