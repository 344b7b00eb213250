//! How microVMs end, and that Flint names each end right although the exit status does not tell.

use super::lab::{Lab, VM, within};
use super::leavings::group;
use flint::vmm::{Boot, Vmm};
use flint_core::event::GuestEnd;
use flint_core::units::MiB;
use flint_wire::FromGuest;
use std::fs;
use std::path::PathBuf;

#[tokio::test]
async fn a_guest_that_asks_for_a_reset_has_shut_down() {
    let lab = Lab::new("reset");
    lab.start().await;
    assert_eq!(lab.end().await, GuestEnd::ShutDown);
    lab.printed("flint-guest: mode reset").await;
    assert_eq!((lab.counted("i8042", "reset_count"), lab.counted("vcpu", "failures")), (1, 0));
    lab.destroy().await;
}

/// The exit status of a triple fault is 1 or, in a race inside the VMM, 0. Hence more than one.
#[tokio::test]
async fn a_triple_fault_is_a_crash_whatever_the_exit_status_says() {
    let lab = Lab::new("fault");
    for _ in 0..12 {
        lab.start().await;
        assert_eq!(lab.end().await, GuestEnd::Crashed);
        assert_eq!((lab.counted("i8042", "reset_count"), lab.counted("vcpu", "failures")), (0, 1));
        lab.destroy().await;
    }
}

#[tokio::test]
async fn a_crash_in_the_middle_of_a_job_is_a_crash() {
    let lab = Lab::new("agent");
    lab.start().await;
    lab.ready().await.command(&["fault"]).await;
    assert_eq!(lab.end().await, GuestEnd::Crashed);
    lab.destroy().await;
}

#[tokio::test]
async fn a_guest_that_honours_ctrl_alt_del_shuts_down() {
    let lab = Lab::new("cad");
    lab.start().await;
    lab.printed("flint-guest: mode cad").await;
    lab.press_ctrl_alt_del().await;
    assert_eq!(lab.end().await, GuestEnd::ShutDown);
    lab.printed("flint-guest: ctrl-alt-del").await;
    lab.destroy().await;
}

#[tokio::test]
async fn a_halted_guest_is_still_there_until_it_is_killed() {
    let lab = Lab::new("poweroff");
    lab.start().await;
    lab.printed("flint-guest: mode poweroff").await;
    assert!(lab.vmm.inventory().await.unwrap().alive.contains(&VM));
    let (end, ()) = tokio::join!(lab.end(), lab.destroy());
    assert_eq!(end, GuestEnd::Killed);
}

#[tokio::test]
async fn a_vmm_that_somebody_else_kills_was_killed() {
    let lab = Lab::new("poweroff");
    lab.start().await;
    let pid = rustix::process::Pid::from_raw(lab.pid().cast_signed()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(lab.end().await, GuestEnd::Killed);
    lab.destroy().await;
}

#[tokio::test]
async fn a_guest_that_outgrows_its_cgroup_ran_out_of_memory() {
    let lab = Lab::new("agent");
    let mut boot: Boot = lab.boot();
    boot.shape.memory = MiB(512);
    within("booting", lab.vmm.boot(boot)).await.unwrap();
    let mut talk = lab.ready().await;
    fs::write(memory_limit(&lab), "67108864").unwrap();
    talk.command(&["touch", "300"]).await;
    assert_eq!(lab.end().await, GuestEnd::OutOfMemory);
    lab.destroy().await;
}

#[tokio::test]
async fn memory_that_was_promised_can_be_used_to_the_last_page() {
    let lab = Lab::new("agent");
    lab.start().await;
    let mut talk = lab.ready().await;
    talk.command(&["touch", "88"]).await;
    talk.until("all of it", |said| match said {
        FromGuest::Log { text, .. } => (text == "touched").then_some(()),
        _ => None,
    })
    .await;
    lab.destroy().await;
}

/// The file that holds the limit of the microVM's memory, whichever version of cgroups has it.
fn memory_limit(lab: &Lab) -> PathBuf {
    let group = format!("{}/{VM}", group(&lab.name));
    let v1 = PathBuf::from(format!("/sys/fs/cgroup/memory/{group}/memory.limit_in_bytes"));
    let v2 = PathBuf::from(format!("/sys/fs/cgroup/{group}/memory.max"));
    if v1.exists() { v1 } else { v2 }
}
