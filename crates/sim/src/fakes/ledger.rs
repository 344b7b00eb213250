//! How many calls the fake GitHub takes in a minute and in an hour: the real one's limits.
//!
//! Source: GitHub's page on REST rate limits. An installation may call 5,000 times an hour, spend 900 points a minute
//! (a read is 1, a write 5), and make about 80 things a minute. Seconds are tokio's, which a test may pause.

use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);
const CALLS_AN_HOUR: usize = 5_000;
const POINTS_A_MINUTE: u32 = 900;
const MADE_A_MINUTE: usize = 80;

/// One kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// A read.
    Read,
    /// A write that makes nothing.
    Write,
    /// A write that makes something.
    Make,
}

/// The calls of the last hour.
#[derive(Default)]
pub(super) struct Ledger {
    calls: VecDeque<(Instant, Call)>,
    pub(super) refused: u32,
}

impl Ledger {
    /// Takes a call, or refuses it; a refused one is counted, and costs nothing.
    pub(super) fn take(&mut self, call: Call) -> Result<(), ()> {
        self.take_at(Instant::now(), call)
    }

    fn take_at(&mut self, now: Instant, call: Call) -> Result<(), ()> {
        while self.calls.front().is_some_and(|(at, _)| now - *at >= HOUR) {
            self.calls.pop_front();
        }
        let minute = self.calls.iter().rev().take_while(|(at, _)| now - *at < MINUTE);
        let (mut points, mut made) = (points(call), usize::from(call == Call::Make));
        for (_, earlier) in minute {
            points += self::points(*earlier);
            made += usize::from(*earlier == Call::Make);
        }
        if self.calls.len() >= CALLS_AN_HOUR || points > POINTS_A_MINUTE || made > MADE_A_MINUTE {
            self.refused += 1;
            return Err(());
        }
        self.calls.push_back((now, call));
        Ok(())
    }
}

fn points(call: Call) -> u32 {
    match call {
        Call::Read => 1,
        Call::Write | Call::Make => 5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_refuses_and_forgets() {
        let mut ledger = Ledger::default();
        let mut now = Instant::now();
        let takes = |ledger: &mut Ledger, now, call, times: usize| {
            (0..times).filter(|_| ledger.take_at(now, call).is_ok()).count()
        };
        assert_eq!(takes(&mut ledger, now, Call::Make, 100), 80, "things made in a minute");
        assert_eq!(takes(&mut ledger, now, Call::Read, 1_000), 500, "points of a minute");
        now += MINUTE;
        assert_eq!(takes(&mut ledger, now, Call::Make, 100), 80, "a minute later");
        for _ in 0..10 {
            now += MINUTE;
            takes(&mut ledger, now, Call::Read, 1_000);
        }
        assert_eq!(ledger.calls.len(), CALLS_AN_HOUR);
    }
}
