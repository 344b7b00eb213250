//! Many lives, on all cores.

use super::{Failed, live};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// What many lives came to.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    /// Lives that were lived.
    pub lives: u64,
    /// Things that happened.
    pub steps: u64,
    /// Jobs that completed.
    pub jobs: u64,
    /// MicroVMs that were launched.
    pub vms: u64,
    /// Simulated time in milliseconds.
    pub simulated_ms: u64,
    /// Those that went wrong, by their seeds.
    pub failed: Vec<Failed>,
}

impl Sum {
    fn add(&mut self, seed: u64) {
        self.lives += 1;
        match live(seed, false) {
            Ok(lived) => {
                self.steps += lived.steps;
                self.jobs += lived.jobs;
                self.vms += lived.vms;
                self.simulated_ms += lived.simulated_ms;
            }
            Err(failed) => self.failed.push(failed),
        }
    }

    fn join(&mut self, mut other: Sum) {
        self.lives += other.lives;
        self.steps += other.steps;
        self.jobs += other.jobs;
        self.vms += other.vms;
        self.simulated_ms += other.simulated_ms;
        self.failed.append(&mut other.failed);
    }
}

/// Lives the lives of these seeds; no more are begun once so many have gone wrong.
#[must_use]
pub fn many(seeds: Range<u64>, enough: usize) -> Sum {
    let (next, failed, total) =
        (AtomicU64::new(seeds.start), AtomicU64::new(0), Mutex::new(Sum::default()));
    let enough = u64::try_from(enough).unwrap_or(u64::MAX);
    let work = || {
        let mut sum = Sum::default();
        while failed.load(Ordering::Relaxed) < enough {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            let before = sum.failed.len();
            sum.add(seed);
            if sum.failed.len() > before {
                failed.fetch_add(1, Ordering::Relaxed);
            }
        }
        if let Ok(mut total) = total.lock() {
            total.join(sum);
        }
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        (1..threads).for_each(|_| drop(scope.spawn(work)));
        work();
    });
    let mut total = total.into_inner().unwrap_or_default();
    total.failed.sort_by_key(|failed| failed.seed);
    total
}
