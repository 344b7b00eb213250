//! How far this host's clock is from GitHub's, which every answer tells.
//!
//! A person's token is good by any clock, but a guest takes the host's, and the proof that its runner signs is good for
//! five minutes only.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// Seconds. Less does no harm: an answer has been on its way, and its time is cut to whole seconds.
const MOST: i64 = 120;

/// What to do about it.
pub const FIX: &str = "set this host's clock, and let chrony or systemd-timesyncd keep it";

/// What the last answer told.
#[derive(Default)]
pub(super) struct Skew {
    last: AtomicI64,
    warned: AtomicBool,
}

impl Skew {
    /// Takes GitHub's clock minus ours, in seconds. A wrong one is logged once, until it is right again.
    pub(super) fn learn(&self, skew: i64) {
        self.last.store(skew, Ordering::Relaxed);
        let wide = wide(skew).is_some();
        if wide && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!("{}; {FIX}", words(skew));
        } else if !wide {
            self.warned.store(false, Ordering::Relaxed);
        }
    }

    /// If it is wide enough to do harm.
    pub(super) fn wide(&self) -> Option<i64> {
        wide(self.last.load(Ordering::Relaxed))
    }
}

fn wide(skew: i64) -> Option<i64> {
    (skew.abs() > MOST).then_some(skew)
}

/// It and what follows from it.
#[must_use]
pub fn words(skew: i64) -> String {
    let side = if skew > 0 { "behind" } else { "ahead of" };
    let far = skew.unsigned_abs();
    format!(
        "this host's clock is {far} s {side} GitHub's, and guests take it over: GitHub refuses the proofs of their runners"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_wrong_either_way_beyond_two_minutes() {
        let skew = Skew::default();
        for (told, wrong) in [(0, false), (-120, false), (121, true), (-600, true), (3, false)] {
            skew.learn(told);
            assert_eq!(skew.wide(), wrong.then_some(told));
        }
        assert!(words(600).starts_with("this host's clock is 600 s behind GitHub's"));
        assert!(words(-600).starts_with("this host's clock is 600 s ahead of GitHub's"));
    }
}
