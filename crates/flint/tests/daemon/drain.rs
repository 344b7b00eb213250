//! The end of the daemon.

use super::harness::Bench;
use flint::daemon::stop::drain;
use std::future::{pending, ready};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(3_600);

#[tokio::test(start_paused = true)]
async fn a_drain_lets_the_running_job_end_and_starts_no_other() {
    let bench = Bench::new(&["small"]).with("small", |profile| profile.warm = 1);
    let mut daemon = bench.start().await;
    bench.outside.queue(1, &["small"]);
    daemon.until("it is busy", |view, _| view.world.vms.values().any(|vm| vm.job.is_some())).await;
    let (door, window, clock) = (daemon.door.clone(), daemon.window.clone(), daemon.clock.clone());
    let late = async {
        daemon
            .until("it drains", |view, _| view.world.hosts.values().all(|host| host.draining))
            .await;
        bench.outside.queue(2, &["small"]);
    };
    tokio::join!(drain(pending(), &door, &window, clock.as_ref(), LONG), late);
    assert_eq!(bench.outside.finished().len(), 1);
    let why = daemon.why(flint_core::id::JobKey { id: 2, attempt: 1 });
    assert!(why.starts_with("draining: "), "{why}");
    assert_eq!(bench.outside.leftovers(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_second_signal_leaves_at_once_and_the_microvm_goes_on() {
    let bench = Bench::new(&["small"]);
    let mut daemon = bench.start().await;
    bench.outside.queue(1, &["small"]);
    daemon.until("it is busy", |view, _| view.world.vms.values().any(|vm| vm.job.is_some())).await;
    let window = daemon.window.clone();
    drain(ready(()), &daemon.door, &window, daemon.clock.as_ref(), LONG).await;
    assert_eq!((bench.outside.running().len(), bench.outside.finished().len()), (1, 0));
    daemon.kill().await;
    let mut daemon = bench.start().await;
    daemon.until("the next daemon sees its end", |_, outside| outside.finished().len() == 1).await;
    daemon.until_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_at_its_limit() {
    let bench = Bench::new(&["small"]);
    bench.outside.faults(|faults| faults.job_takes = LONG / 2);
    let mut daemon = bench.start().await;
    bench.outside.queue(1, &["small"]);
    daemon.until("it is busy", |view, _| view.world.vms.values().any(|vm| vm.job.is_some())).await;
    let limit = Duration::from_secs(60);
    drain(pending(), &daemon.door, &daemon.window, daemon.clock.as_ref(), limit).await;
    assert_eq!((bench.outside.running().len(), bench.outside.finished().len()), (1, 0));
}
