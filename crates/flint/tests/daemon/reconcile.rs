//! Webhooks get lost, repeated and overtaken, GitHub removes runners without a word, and every job runs all the same.

use super::harness::{Bench, Daemon, HOST};
use flint_core::event::{Event, OperatorEvent};
use flint_core::id::JobKey;
use flint_sim::fakes::Outside;
use std::collections::BTreeSet;
use std::time::Duration;

const SEEDS: std::ops::Range<u64> = 0..5;

/// Waits until these jobs ran, each once, and nothing is left of them.
async fn all_ran(daemon: &mut Daemon, jobs: impl IntoIterator<Item = u64>) {
    let jobs: BTreeSet<JobKey> = jobs.into_iter().map(|id| JobKey { id, attempt: 1 }).collect();
    daemon.until("all ran", |_, outside| outside.finished().len() >= jobs.len()).await;
    daemon.until_quiet().await;
    let ran = daemon.outside.finished();
    assert_eq!(ran.len(), jobs.len(), "each ran once");
    assert_eq!(ran.iter().map(|(job, _)| *job).collect::<BTreeSet<_>>(), jobs);
    let vms: BTreeSet<_> = ran.iter().map(|(_, vm)| *vm).collect();
    assert_eq!(vms.len(), jobs.len(), "no microVM had two jobs");
}

#[tokio::test(start_paused = true)]
async fn when_every_webhook_fails_fifty_jobs_run() {
    let bench = Bench::new(&["small"]);
    bench.outside.faults(|faults| faults.webhooks_dropped = 1_000);
    let mut daemon = bench.start().await;
    for id in 1..=50 {
        bench.outside.queue(id, &["small"]);
    }
    all_ran(&mut daemon, 1..=50).await;
}

#[tokio::test(start_paused = true)]
async fn when_webhooks_fail_come_twice_and_overtake_each_other_exactly_fifty_jobs_run() {
    for seed in SEEDS {
        let bench = Bench::new(&["small"]);
        bench.outside.seed(seed);
        bench.outside.faults(|faults| {
            faults.webhooks_dropped = 300;
            faults.webhooks_twice = 200;
            faults.webhooks_reordered = 1_000;
        });
        let mut daemon = bench.start().await;
        for id in 1..=50 {
            bench.outside.queue(id, &["small"]);
        }
        all_ran(&mut daemon, 1..=50).await;
        // What was started for a job that had already begun is little, and goes unused.
        let launches = bench.outside.launches();
        assert!(launches <= 75, "{launches} microVMs for 50 jobs, seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn when_every_webhook_vanishes_without_a_trace_all_jobs_run() {
    let bench = Bench::new(&["small"]);
    bench.outside.faults(|faults| faults.webhooks_vanish = 1_000);
    // The repository is found by its pushes, and then asked again and again.
    for id in 1..=25 {
        bench.outside.queue(id, &["small"]);
    }
    let mut daemon = bench.start().await;
    daemon.until("they were found", |view, _| !view.world.jobs.is_empty()).await;
    for id in 26..=50 {
        bench.outside.queue(id, &["small"]);
    }
    all_ran(&mut daemon, 1..=50).await;
}

#[tokio::test(start_paused = true)]
async fn a_repository_that_becomes_active_while_nothing_is_heard_is_found() {
    let bench = Bench::new(&["small"]);
    bench.outside.faults(|faults| faults.webhooks_vanish = 1_000);
    let mut daemon = bench.start().await;
    daemon.pass(Duration::from_secs(60)).await;
    bench.outside.queue_in("flint-demo/quiet", 1, &["small"]);
    all_ran(&mut daemon, [1]).await;
}

#[tokio::test(start_paused = true)]
async fn webhooks_that_fail_while_no_daemon_is_there_are_read_by_the_next_one() {
    let bench = Bench::new(&["small"]);
    let mut daemon = bench.start().await;
    bench.outside.queue(1, &["small"]);
    all_ran(&mut daemon, [1]).await;
    daemon.kill().await;
    bench.outside.faults(|faults| faults.webhooks_dropped = 1_000);
    bench.outside.queue(2, &["small"]);
    bench.away(Duration::from_secs(600)).await;
    bench.outside.queue(3, &["small"]);
    let mut daemon = bench.start().await;
    all_ran(&mut daemon, 1..=3).await;
}

#[tokio::test(start_paused = true)]
async fn a_last_word_that_is_lost_is_asked_for() {
    let bench = Bench::new(&["small"]);
    let mut daemon = bench.start().await;
    let job = bench.outside.queue(1, &["small"]);
    let runs = |outside: &Outside| outside.begun().values().sum::<usize>() == 1;
    daemon.until("it runs", |_, outside| runs(outside)).await;
    bench.outside.faults(|faults| faults.webhooks_vanish = 1_000);
    daemon.until("it ran", |_, outside| outside.finished().len() == 1).await;
    assert!(daemon.window.borrow().world.jobs.contains_key(&job), "nobody told");
    daemon.until_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_whose_run_was_deleted_is_forgotten() {
    let bench = Bench::new(&["small"]);
    bench.outside.faults(|faults| faults.register.push_back(403));
    let mut daemon = bench.start().await;
    let job = bench.outside.queue(1, &["small"]);
    daemon.until("it waits", |view, _| view.waits.iter(&view.world).any(|w| w.job == job)).await;
    bench.outside.delete_run(job);
    daemon.until_quiet().await;
    assert_eq!(bench.outside.finished(), []);
}

#[tokio::test(start_paused = true)]
async fn a_ghost_is_found_and_its_job_gets_another_microvm() {
    // Its deadline alone would not end it within this test.
    let patient = |profile: &mut flint_core::profile::Profile| {
        profile.timeouts.idle = Duration::from_secs(24 * 3_600);
    };
    let bench = Bench::new(&["small"]).with("small", patient);
    let mut daemon = bench.start().await;
    bench.outside.queue(1, &["small"]);
    daemon.until("it is registered", |_, outside| !outside.runners().is_empty()).await;
    let ghost = bench.outside.runners()[0].clone();
    bench.outside.unregister(&ghost);
    daemon.until("the ghost listens", |_, outside| outside.armed().len() == 1).await;
    all_ran(&mut daemon, [1]).await;
    assert_eq!(bench.outside.launches(), 2);
    assert_ne!(bench.outside.finished()[0].1, bench.outside.armed()[0]);
}

#[tokio::test(start_paused = true)]
async fn repositories_that_queue_at_once_get_their_turns_alike() {
    let names = ["a", "b", "c", "d"];
    let mut bench = Bench::new(&names);
    bench.slots = 4;
    bench.outside.faults(|faults| faults.job_takes = Duration::from_secs(1));
    let mut daemon = bench.start().await;
    let drain = |draining| Event::Operator(OperatorEvent::Drain { host: HOST, draining });
    daemon.door.tell(drain(true)).await;
    let repository = |name: &str| format!("flint-demo/{name}");
    // One after the other, each with all its jobs: by age alone the last would wait for all others.
    for (nth, name) in (0..).zip(names) {
        for id in 1..=64 {
            bench.outside.queue_in(&repository(name), nth * 64 + id, &[name]);
        }
    }
    daemon.until("all are known", |view, _| view.world.jobs.len() == 256).await;
    daemon.door.tell(drain(false)).await;
    let fair = |outside: &Outside| {
        let begun = outside.begun();
        let of = |name: &str| begun.get(&repository(name)).copied().unwrap_or_default();
        let most = names.map(of).into_iter().max().unwrap_or_default();
        let waits = |name: &&str| outside.waiting(&repository(name)) > 0;
        let unfair = names.into_iter().filter(waits).find(|name| of(name) + 2 < most);
        assert_eq!(unfair, None, "{begun:?}");
    };
    daemon
        .until("all ran", |_, outside| {
            fair(outside);
            outside.finished().len() == 256
        })
        .await;
    all_ran(&mut daemon, 1..=256).await;
    assert_eq!((bench.outside.most_at_once(), bench.outside.launches()), (4, 256));
    assert_eq!(bench.outside.refused(), 0, "GitHub's limits are kept");
}
