//! More jobs than room.

use super::harness::{Bench, Daemon, profile};
use flint::daemon::metrics::{self, Counts};
use flint_core::profile::Profile;
use flint_core::units::{MiB, Resources};

#[tokio::test(start_paused = true)]
async fn five_jobs_on_a_host_with_two_slots_run_two_at_a_time() {
    let mut bench = Bench::new(&["small"]);
    bench.slots = 2;
    let mut daemon = bench.start().await;
    for id in 1..=5 {
        bench.outside.queue(id, &["small"]);
    }
    let last = bench.outside.queue(6, &["small"]);
    daemon
        .until("the last waits for room", |view, _| view.waits.iter(&view.world).count() >= 4)
        .await;
    let why = daemon.why(last);
    assert_eq!(why, "host-full: job 6 waits for profile `small`: no host has enough free slots");
    daemon.until("all ran", |_, outside| outside.finished().len() == 6).await;
    daemon.until_quiet().await;
    assert_eq!((bench.outside.most_at_once(), bench.outside.launches()), (2, 6));
}

#[tokio::test(start_paused = true)]
async fn registrations_that_wait_for_their_turn_are_counted_and_said() {
    let bench = Bench::new(&["small"]).with("small", |profile| profile.max = 14);
    let mut daemon = bench.start().await;
    for id in 1..=13 {
        bench.outside.queue(id, &["small"]);
    }
    let last = bench.outside.queue(14, &["small"]);
    daemon.until("the last comes", |view, _| view.world.vms.len() == 14).await;
    let why = daemon.why(last);
    assert!(why.starts_with("paced: ") && why.contains("its turn is at"), "{why}");
    let pages = |daemon: &Daemon| {
        let view = daemon.window.borrow().clone();
        metrics::render(&view, &Counts::default()).expect("a string takes every text")
    };
    let page = pages(&daemon);
    for line in [
        "flint_waits{because=\"paced\"} ",
        "flint_registrations_paced{installation=\"acme\"} 0",
        "flint_registrations_paced{installation=\"flint-demo\"} ",
    ] {
        assert!(page.contains(line), "{line} is not in {page}");
    }
    daemon.until("all ran", |_, outside| outside.finished().len() == 14).await;
    daemon.until_quiet().await;
    let none = "flint_registrations_paced{installation=\"flint-demo\"} 0";
    assert!(pages(&daemon).contains(none) && !page.contains(none), "{page}");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_full_says_of_what() {
    let most = Resources { vcpus: 16, memory: MiB(65_536), disk: MiB(1_048_576) };
    let cases = [
        ("vCPUs", Resources { vcpus: 1, ..most }),
        ("memory", Resources { memory: MiB(1_536), ..most }),
        ("disk", Resources { disk: MiB(12_000), ..most }),
    ];
    for (short_of, capacity) in cases {
        let mut bench = Bench::new(&["small"]);
        bench.capacity = capacity;
        let mut daemon = bench.start().await;
        bench.outside.queue(1, &["small"]);
        daemon.until("the first runs", |_, outside| outside.armed().len() == 1).await;
        let second = bench.outside.queue(2, &["small"]);
        daemon
            .until("the second waits", |view, _| {
                view.waits.iter(&view.world).any(|w| w.job == second)
            })
            .await;
        let why = daemon.why(second);
        assert!(why.ends_with(&format!("no host has enough free {short_of}")), "{why}");
        daemon.until("both ran", |_, outside| outside.finished().len() == 2).await;
        daemon.until_quiet().await;
        assert_eq!(bench.outside.most_at_once(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shape_that_no_host_can_hold_is_told_as_such() {
    let huge = |profile: &mut Profile| profile.shape.vcpus = 17;
    let bench = Bench::new(&["huge"]).with("huge", huge);
    let mut daemon = bench.start().await;
    let job = bench.outside.queue(1, &["huge"]);
    daemon.until("it is known", |view, _| view.waits.iter(&view.world).count() == 1).await;
    let why = daemon.why(job);
    assert!(why.starts_with("too-big: "), "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_profile_has_no_more_than_its_max() {
    let bench = Bench::new(&["small", "other"]).with("small", |profile| profile.max = 1);
    let mut daemon = bench.start().await;
    for id in 1..=3 {
        bench.outside.queue(id, &["small"]);
    }
    daemon.until("two wait", |view, _| view.waits.iter(&view.world).count() >= 2).await;
    daemon
        .until("all ran", |view, outside| {
            let name = profile("small").0;
            let there = view.world.vms.values().filter(|vm| vm.profile == name && vm.takes_room());
            assert!(there.count() <= 1);
            outside.finished().len() == 3
        })
        .await;
    daemon.until_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn three_hundred_jobs_at_once_each_run_once_within_the_room_there_is() {
    let bench = Bench::new(&["small", "big"]);
    bench.outside.faults(|faults| faults.job_takes = std::time::Duration::from_secs(1));
    let mut daemon = bench.start().await;
    for id in 1..=300 {
        bench.outside.queue(id, &[if id % 3 == 0 { "big" } else { "small" }]);
    }
    daemon.until("all ran", |_, outside| outside.finished().len() == 300).await;
    daemon.until_quiet().await;
    assert_eq!((bench.outside.most_at_once(), bench.outside.launches()), (16, 300));
    let commits = bench.books.open().commits;
    assert!(commits < 300 * 12, "{commits} commits");
}

#[tokio::test(start_paused = true)]
async fn a_job_that_waits_costs_no_more_than_the_scans() {
    let bench = Bench::new(&["small"]);
    bench.outside.faults(|faults| faults.register.push_back(422));
    let mut daemon = bench.start().await;
    bench.outside.queue(1, &["small"]);
    bench.outside.queue(2, &["nobody-s"]);
    daemon
        .until("the breaker is open", |view, _| view.world.breakers.values().any(|b| b.open))
        .await;
    daemon.until("the refused one is gone", |view, _| view.world.vms.is_empty()).await;
    let before = bench.books.open().commits;
    daemon.pass(std::time::Duration::from_secs(240)).await;
    let commits = bench.books.open().commits - before;
    assert!(commits <= 20, "{commits} commits in four minutes of waiting");
}
