//! The daemon dies and comes back on the same store, over the same outside.

use super::harness::{Bench, Daemon};
use flint_sim::fakes::Outside;
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_running_job_outlives_the_daemon_and_is_followed_to_its_end() {
    let bench = Bench::new(&["small"]);
    bench.outside.faults(|faults| faults.job_takes = Duration::from_secs(120));
    let mut daemon = bench.start().await;
    bench.outside.queue(1, &["small"]);
    daemon.until("it is busy", |view, _| view.world.vms.values().any(|vm| vm.job.is_some())).await;
    let vms = bench.outside.running();
    daemon.kill().await;
    let mut daemon = bench.start().await;
    assert_eq!(bench.outside.running(), vms, "a start ends no job");
    daemon.until("it ran", |_, outside| outside.finished().len() == 1).await;
    daemon.until_quiet().await;
    assert_eq!(bench.outside.launches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_ended_while_no_daemon_was_there_is_cleaned_up() {
    let bench = Bench::new(&["small"]);
    bench.outside.faults(|faults| faults.job_takes = Duration::from_secs(60));
    let mut daemon = bench.start().await;
    bench.outside.queue(1, &["small"]);
    daemon.until("it is busy", |view, _| view.world.vms.values().any(|vm| vm.job.is_some())).await;
    daemon.kill().await;
    bench.away(Duration::from_secs(300)).await;
    assert_eq!((bench.outside.finished().len(), bench.outside.running().len()), (1, 0));
    let mut daemon = bench.start().await;
    daemon.until_quiet().await;
    assert_eq!(bench.outside.launches(), 1);
}

/// A daemon that is killed as soon as this is true of it, and the one after it.
async fn killed_when(
    bench: &Bench,
    sentence: &str,
    is_true: impl FnMut(&flint::daemon::door::View, &Outside) -> bool,
) -> Daemon {
    let mut daemon = bench.start().await;
    bench.outside.queue(1, &["small"]);
    daemon.until(sentence, is_true).await;
    daemon.kill().await;
    bench.books.accept();
    bench.start().await
}

#[tokio::test(start_paused = true)]
async fn a_launch_that_was_interrupted_is_torn_down_and_its_job_gets_another() {
    let bench = Bench::new(&["small"]);
    bench.outside.faults(|faults| faults.guest_silent = true);
    let mut daemon =
        killed_when(&bench, "it boots", |_, outside| outside.running().len() == 1).await;
    bench.outside.faults(|faults| faults.guest_silent = false);
    daemon.until("it ran", |_, outside| outside.finished().len() == 1).await;
    daemon.until_quiet().await;
    assert_eq!((bench.outside.launches(), bench.outside.finished()[0].1.0), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn killed_after_any_of_its_commits_it_runs_its_job_once_and_leaves_nothing() {
    for last in 1..=24 {
        let bench = Bench::new(&["small"]);
        let mut commits = 0;
        // Nothing more reaches the disk, while the orders of the last commit are still carried out.
        bench.books.refuse(move |_| {
            commits += 1;
            commits > last
        });
        let books = bench.books.clone();
        let stuck = move |_: &_, outside: &Outside| {
            books.open().refused > 0 || outside.finished().len() == 1
        };
        let mut daemon = killed_when(&bench, "it is stuck", stuck).await;
        daemon.until("it ran", |_, outside| outside.finished().len() == 1).await;
        daemon.until_quiet().await;
        assert!(bench.outside.launches() <= 2, "killed after {last} commits");
    }
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_dies_every_few_seconds_still_runs_every_job_once() {
    let bench = Bench::new(&["small"]);
    bench.outside.faults(|faults| faults.job_takes = Duration::from_secs(20));
    for id in 1..=8 {
        let mut daemon = bench.start().await;
        bench.outside.queue(id, &["small"]);
        daemon.pass(Duration::from_millis(700 * id)).await;
        daemon.kill().await;
    }
    let mut daemon = bench.start().await;
    daemon.until("all ran", |_, outside| outside.finished().len() == 8).await;
    daemon.until_quiet().await;
}
