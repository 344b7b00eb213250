//! Webhooks that go wrong by chance: each vice alone, and all of them the same for the same seed.

use crate::room::{Room, Seen};
use flint_sim::github::{HookFault, HookRates, HookView};
use std::collections::BTreeSet;
use std::time::Duration;

const HELD: Duration = Duration::from_secs(1);

fn jobs(seen: &[Seen]) -> Vec<u64> {
    seen.iter().map(|seen| seen.job).collect()
}

/// Queues a job without any vice, and waits until it was the last that arrived.
async fn last(room: &Room) -> u64 {
    room.github.hook_rates(HookRates::default());
    let job = room.queue();
    room.github.until(|_| room.seen().iter().any(|seen| seen.job == job)).await;
    job
}

#[tokio::test]
async fn honest_webhooks_arrive_once_and_in_order() {
    let room = Room::new().await;
    let queued: Vec<u64> = (0..20).map(|_| room.queue()).collect();
    room.until_delivered(20).await;
    assert_eq!(jobs(&room.seen()), queued);
}

#[tokio::test]
async fn a_dropped_one_is_listed_as_failed_and_one_without_a_trace_is_not() {
    let room = Room::new().await;
    room.github.hook_rates(HookRates { failed: 1000, ..HookRates::default() });
    let failed: Vec<u64> = (0..20).map(|_| room.queue()).collect();
    room.until_delivered(20).await;
    let codes: BTreeSet<u16> =
        room.github.deliveries().iter().map(|sent| sent.status_code).collect();
    assert_eq!(codes, [0, 502].into());
    let told = |sent: &HookView| failed.iter().any(|job| sent.payload.contains(&job.to_string()));
    assert!(room.github.deliveries().iter().all(told));
    room.github.hook_rates(HookRates { vanished: 1000, ..HookRates::default() });
    for _ in 0..20 {
        room.queue();
    }
    let job = last(&room).await;
    assert_eq!(jobs(&room.seen()), [job]);
    room.until_delivered(21).await;
    assert_eq!(room.github.delivered(), 21, "those without a trace are not listed");
}

#[tokio::test]
async fn a_repeated_one_has_the_same_guid() {
    let room = Room::new().await;
    room.github.hook_rates(HookRates { twice: 1000, ..HookRates::default() });
    for _ in 0..5 {
        room.queue();
    }
    room.until_delivered(10).await;
    let seen = room.seen();
    assert!(seen.chunks(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
    let guids: BTreeSet<&str> = seen.iter().map(|seen| seen.guid.as_str()).collect();
    assert_eq!(guids.len(), 5);
}

#[tokio::test]
async fn all_are_reordered_and_none_is_lost() {
    let room = Room::new().await;
    room.github.hook_rates(HookRates { reordered: 1000, ..HookRates::default() });
    let queued: Vec<u64> = (0..20).map(|_| room.queue()).collect();
    // The last ones have none behind them.
    room.github.advance(HELD);
    room.until_delivered(20).await;
    let mut seen = jobs(&room.seen());
    assert_ne!(seen, queued);
    seen.sort_unstable();
    assert_eq!(seen, queued);
}

#[tokio::test]
async fn a_late_one_is_passed_by_others_and_comes_when_its_time_has_come() {
    let room = Room::new().await;
    room.github.hook_rates(HookRates { delayed: 1000, delay_ms: 60_000, ..HookRates::default() });
    let late = room.queue();
    let on_time = last(&room).await;
    assert_eq!(jobs(&room.seen()), [on_time]);
    room.github.advance(Duration::from_secs(60));
    room.until_delivered(2).await;
    assert_eq!(jobs(&room.seen()), [on_time, late]);
}

#[tokio::test]
async fn single_ones_can_be_chosen_too() {
    let room = Room::new().await;
    room.github.hook_fault(HookFault::Lose, 1);
    room.github.hook_fault(HookFault::Fail, 1);
    room.github.hook_fault(HookFault::Reorder, 1);
    let jobs_queued: Vec<u64> = (0..4).map(|_| room.queue()).collect();
    room.until_delivered(3).await;
    assert_eq!(jobs(&room.seen()), [jobs_queued[3], jobs_queued[2]]);
}

/// What becomes of 200 jobs with this seed: what arrives, and how many fail.
async fn fate(seed: u64) -> (Vec<u64>, usize) {
    let room = Room::with(|config| config.seed = seed).await;
    let rates = HookRates {
        failed: 300,
        vanished: 100,
        twice: 200,
        reordered: 300,
        ..HookRates::default()
    };
    room.github.hook_rates(rates);
    let bent: BTreeSet<u64> = (0..200).map(|_| room.queue()).collect();
    // Four without a vice pass whatever is still held back.
    room.github.hook_rates(HookRates::default());
    for _ in 0..4 {
        room.queue();
    }
    last(&room).await;
    let failed = room.github.deliveries().iter().filter(|sent| sent.status_code != 202).count();
    (jobs(&room.seen()).into_iter().filter(|seen| bent.contains(seen)).collect(), failed)
}

#[tokio::test]
async fn the_same_seed_brings_the_same_fate() {
    let first = fate(7).await;
    assert_eq!(first, fate(7).await);
    assert_ne!(first, fate(8).await);
    let (seen, failed) = first;
    assert!((40..80).contains(&failed), "three in ten of 200 fail: {failed}");
    let once: BTreeSet<u64> = seen.iter().copied().collect();
    assert!(once.len() > 100 && seen.len() > once.len(), "{} of {}", once.len(), seen.len());
}
