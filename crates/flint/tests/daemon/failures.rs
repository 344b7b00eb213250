//! Everything that can go wrong on the host and in the guest.

use super::harness::{Bench, Daemon};
use flint_core::id::JobKey;
use flint_sim::fakes::Faults;
use std::time::Duration;

/// Starts with this fault and one job, and waits until one microVM has failed for it.
async fn failed(change: impl FnOnce(&mut Faults)) -> (Bench, Daemon, JobKey) {
    let bench = Bench::new(&["small"]);
    bench.outside.faults(change);
    let mut daemon = bench.start().await;
    let job = bench.outside.queue(1, &["small"]);
    daemon
        .until("one has failed", |view, _| view.world.breakers.values().any(|b| b.failures == 1))
        .await;
    (bench, daemon, job)
}

/// The outside is kind again: the job runs, and nothing is left.
async fn heals(bench: &Bench, mut daemon: Daemon) {
    bench.outside.faults(|faults| *faults = Faults::default());
    daemon.until("it ran", |_, outside| outside.finished().len() == 1).await;
    daemon.until_quiet().await;
    assert!(daemon.window.borrow().world.breakers.is_empty(), "a job forgives");
}

#[tokio::test(start_paused = true)]
async fn a_boot_that_fails_is_undone_and_tried_again_after_a_while() {
    let (bench, mut daemon, job) = failed(|faults| faults.boot = 1).await;
    let why = daemon.why(job);
    assert!(why.starts_with("backing-off: ") && why.contains("told to fail"), "{why}");
    daemon.until("it is undone", |_, outside| outside.leftovers().is_empty()).await;
    heals(&bench, daemon).await;
    assert_eq!(bench.outside.launches(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_never_gets_ready_is_destroyed() {
    let (bench, daemon, job) = failed(|faults| faults.guest_silent = true).await;
    let why = daemon.why(job);
    assert!(why.contains("did not"), "{why}");
    heals(&bench, daemon).await;
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_is_full_is_named() {
    let (bench, daemon, job) = failed(|faults| faults.disk_full = true).await;
    let why = daemon.why(job);
    assert!(why.contains("disk") || why.contains("storage"), "{why}");
    assert_eq!(bench.outside.launches(), 0, "no guest starts without its disk");
    heals(&bench, daemon).await;
}

#[tokio::test(start_paused = true)]
async fn a_network_that_cannot_be_made_is_undone() {
    let (bench, daemon, job) = failed(|faults| faults.net = 1).await;
    let why = daemon.why(job);
    assert!(why.contains("fake-0"), "{why}");
    heals(&bench, daemon).await;
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_ends_without_a_job_counts_against_its_profile() {
    let (bench, daemon, job) = failed(|faults| faults.runner_exits = Some(1)).await;
    let why = daemon.why(job);
    assert!(why.contains("its runner ended with code 1"), "{why}");
    heals(&bench, daemon).await;
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_is_too_old_opens_the_breaker_at_once() {
    let bench = Bench::new(&["small"]);
    bench.outside.faults(|faults| faults.runner_exits = Some(7));
    let mut daemon = bench.start().await;
    let job = bench.outside.queue(1, &["small"]);
    daemon
        .until("the breaker is open", |view, _| view.world.breakers.values().any(|b| b.open))
        .await;
    let why = daemon.why(job);
    assert!(why.starts_with("breaker-open: ") && why.contains("exit code 7"), "{why}");
    heals(&bench, daemon).await;
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_open_the_breaker_and_launches_stay_few() {
    let bench = Bench::new(&["small"]);
    bench.outside.faults(|faults| faults.boot = u32::MAX);
    let mut daemon = bench.start().await;
    for id in 1..=10 {
        bench.outside.queue(id, &["small"]);
    }
    daemon
        .until("the breaker is open", |view, _| view.world.breakers.values().any(|b| b.open))
        .await;
    daemon.pass(Duration::from_secs(4 * 60)).await;
    let launches = bench.outside.launches();
    assert!((5..=20).contains(&launches), "{launches} launches");
    assert_eq!(bench.outside.leftovers(), [""; 0]);
    bench.outside.faults(|faults| faults.boot = 0);
    daemon.until("all ran", |_, outside| outside.finished().len() == 10).await;
    daemon.until_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_guest_that_loses_power_in_its_job_is_destroyed_and_its_job_is_not_run_again() {
    let bench = Bench::new(&["small"]);
    bench.outside.faults(|faults| faults.power_lost_after = Some(Duration::from_secs(5)));
    let mut daemon = bench.start().await;
    bench.outside.queue(1, &["small"]);
    daemon.until("its runner took the job", |_, outside| outside.armed().len() == 1).await;
    daemon.until_quiet().await;
    assert_eq!((bench.outside.finished().len(), bench.outside.launches()), (0, 1));
    assert!(daemon.window.borrow().world.breakers.is_empty(), "a job may break its own guest");
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_fails_is_tried_until_it_succeeds() {
    let bench = Bench::new(&["small"]);
    bench.outside.faults(|faults| faults.kill = 5);
    let mut daemon = bench.start().await;
    bench.outside.queue(1, &["small"]);
    daemon.until("it ran", |_, outside| outside.finished().len() == 1).await;
    daemon.until_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_owns_is_removed_from_the_host() {
    let bench = Bench::new(&["small"]);
    bench.outside.leave_behind(flint_core::id::VmId(7), flint_core::id::Slot(3));
    let mut daemon = bench.start().await;
    daemon.until("it is gone", |_, outside| outside.leftovers().is_empty()).await;
    assert!(daemon.window.borrow().world.next_vm > 7, "its id is never handed out");
    daemon.until_quiet().await;
}
