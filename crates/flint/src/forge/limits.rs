//! When GitHub may be called: in turns that keep below its limit of a minute, and after it said "too much".
//!
//! Source: GitHub's page on REST rate limits. Calling on while limited risks a ban, so the gate is shut for every
//! call of the same budget, not only for the one that was refused. Pure: the time is told.

use flint_core::ask::{Budget, Quota};
use flint_core::units::Timestamp;
use reqwest::header::{HeaderMap, HeaderValue};
use std::time::Duration;

/// GitHub's advice when it names no time.
const FIRST_WAIT: Duration = Duration::from_secs(60);
/// Enough doublings to reach an hour, the period of the primary limit.
const MOST_DOUBLINGS: u32 = 6;
/// The primary limit's period; a longer wait is a mistake of somebody's clock.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// The pot of calls that register runners: GitHub counts them apart from all others.
pub(super) const REGISTRATIONS: &str = "actions_runner_registration";

/// A period that ends later than this was not counted by a clock like ours.
const LONGEST_PERIOD: Duration = Duration::from_secs(3600 + 300);

/// No turn is further ahead; what seems so was given before a clock was set back.
const LAST_TURN: Duration = Duration::from_secs(600);

/// So many calls that can wait go out at once after a silence.
const BURST: u32 = 300;
/// And then one more each time. With the burst these are 500 in the busiest minute. GitHub takes 900 points a minute, 1
/// for a call that reads and 5 for any other: 400 are left for registrations and removals, and the core gives 70 a
/// minute.
const EVERY: Duration = Duration::from_millis(300);

/// Turns for calls that can wait.
#[derive(Debug, Default)]
struct Pace {
    /// The last turn, if they had been evenly spaced.
    even: Timestamp,
}

impl Pace {
    fn next(&mut self, now: Timestamp, points: u32) -> Timestamp {
        let even = self.even.clamp(now, now.after(LAST_TURN));
        self.even = even.after(EVERY.saturating_mul(points));
        now.max(even.before(EVERY.saturating_mul(BURST - 1)))
    }
}

/// One budget's gate.
#[derive(Debug)]
pub(super) struct Gate {
    budget: Budget,
    pace: Pace,
    shut_until: Option<Timestamp>,
    /// Until when nothing may be registered.
    registrations_shut_until: Option<Timestamp>,
    refusals: u32,
    quota: Option<Quota>,
}

impl Gate {
    pub(super) fn of(budget: Budget) -> Self {
        let (pace, shut_until, registrations_shut_until) = Default::default();
        Gate { budget, pace, shut_until, registrations_shut_until, refusals: 0, quota: None }
    }

    /// What GitHub said last of what is left, while that is true.
    pub(super) fn quota(&self, now: Timestamp) -> Option<Quota> {
        self.quota.filter(|quota| now < quota.resets)
    }

    /// The time at which one more call that can wait may be sent, of so many points; it is taken by that.
    pub(super) fn turn(&mut self, now: Timestamp, points: u32) -> Timestamp {
        self.pace.next(now, points)
    }

    /// Until when nothing may be sent, if so.
    pub(super) fn shut(&self, now: Timestamp) -> Option<Timestamp> {
        self.shut_until.filter(|until| now < *until)
    }

    /// Until when nothing may be registered, if so.
    pub(super) fn registrations_shut(&self, now: Timestamp) -> Option<Timestamp> {
        self.registrations_shut_until.filter(|until| now < *until)
    }

    /// Takes an answer in. Gives the time to wait for when the answer was a refusal for too many calls.
    pub(super) fn learn(&mut self, answer: &Seen<'_>, now: Timestamp) -> Option<Timestamp> {
        self.quota = answer.quota(self.budget, now).or(self.quota);
        if answer.has_no_registration_left() {
            let reset = answer.reset().filter(|reset| *reset > now);
            let until = bounded(reset.unwrap_or(now.after(FIRST_WAIT)), now);
            self.registrations_shut_until = Some(until);
            return answer.is_limit().then_some(until);
        }
        if !answer.is_limit() {
            if answer.status < 400 {
                self.refusals = 0;
            }
            // The last call of the budget went well: the next one would not.
            if answer.remaining() == Some(0) && answer.is_of_the_budget() {
                self.shut_until = answer.reset().map(|reset| bounded(reset, now));
            }
            return None;
        }
        let growing = FIRST_WAIT * 2_u32.pow(self.refusals.min(MOST_DOUBLINGS));
        self.refusals = self.refusals.saturating_add(1);
        let until = match (answer.retry_after(), answer.remaining(), answer.reset()) {
            (Some(wait), _, _) => now.after(wait),
            (None, Some(0), Some(reset)) if reset > now => reset,
            _ => now.after(growing),
        };
        let until = bounded(until, now);
        self.shut_until = Some(until);
        Some(until)
    }
}

/// The parts of an answer that speak of limits.
pub(super) struct Seen<'a> {
    /// The HTTP status.
    pub(super) status: u16,
    /// All headers.
    pub(super) headers: &'a HeaderMap,
    /// GitHub's message.
    pub(super) said: &'a str,
}

impl Seen<'_> {
    /// Whether it says that the pot of registrations is empty, whatever is left of the budget.
    pub(super) fn has_no_registration_left(&self) -> bool {
        self.remaining() == Some(0) && self.pot() == Some(REGISTRATIONS.as_bytes())
    }

    /// Whether its figures are those of the budget: some calls are counted in pots of their own.
    fn is_of_the_budget(&self) -> bool {
        self.pot().is_none_or(|pot| pot == b"core")
    }

    fn pot(&self) -> Option<&[u8]> {
        self.headers.get("x-ratelimit-resource").map(HeaderValue::as_bytes)
    }

    fn is_limit(&self) -> bool {
        let marked = self.retry_after().is_some()
            || self.remaining() == Some(0)
            || self.said.to_ascii_lowercase().contains("rate limit");
        self.status == 429 || (self.status == 403 && marked)
    }

    fn retry_after(&self) -> Option<Duration> {
        self.number("retry-after").map(Duration::from_secs)
    }

    fn remaining(&self) -> Option<u64> {
        self.number("x-ratelimit-remaining")
    }

    fn reset(&self) -> Option<Timestamp> {
        // A second more: the header is cut to whole seconds.
        self.number("x-ratelimit-reset")
            .map(|s| Timestamp(s.saturating_add(1).saturating_mul(1000)))
    }

    /// Figures that contradict each other or the clock are none.
    fn quota(&self, budget: Budget, now: Timestamp) -> Option<Quota> {
        if !self.is_of_the_budget() {
            return None;
        }
        let limit = u32::try_from(self.number("x-ratelimit-limit")?).ok()?;
        let remaining = u32::try_from(self.remaining()?).ok()?;
        let resets = self.reset()?;
        let sane = remaining <= limit && limit > 0;
        let soon = now < resets && resets <= now.after(LONGEST_PERIOD);
        (sane && soon).then_some(Quota { budget, limit, remaining, resets })
    }

    fn number(&self, name: &str) -> Option<u64> {
        self.headers.get(name)?.to_str().ok()?.trim().parse().ok()
    }
}

fn bounded(until: Timestamp, now: Timestamp) -> Timestamp {
    until.min(now.after(LONGEST_WAIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn map(headers: &[(&'static str, &str)]) -> HeaderMap {
        let pairs = headers.iter().map(|(name, value)| {
            (
                (*name).parse().expect("a test's header name is valid"),
                value.parse().expect("so is its value"),
            )
        });
        pairs.collect()
    }

    fn learn(gate: &mut Gate, status: u16, headers: &[(&'static str, &str)]) -> Option<u64> {
        let headers = map(headers);
        gate.learn(&Seen { status, headers: &headers, said: "" }, NOW)
            .map(|until| (until.0 - NOW.0) / 1000)
    }

    /// How long each of so many calls waits for its turn, in milliseconds.
    fn turns(gate: &mut Gate, count: usize) -> Vec<u64> {
        (0..count).map(|_| gate.turn(NOW, 1).0 - NOW.0).collect()
    }

    #[test]
    fn calls_that_can_wait_leave_room_in_each_minute_for_those_that_cannot() {
        let turns = turns(&mut Gate::of(Budget::Installation), 2_000);
        for from in [0, 1, 30_000, 60_000, 90_000] {
            let of_a_minute = turns.iter().filter(|at| (from..from + 60_000).contains(*at));
            assert!(of_a_minute.count() <= 500, "from {from}");
        }
    }

    #[test]
    fn turns_come_in_a_burst_then_evenly_and_a_silence_brings_the_burst_back() {
        let mut gate = Gate::of(Budget::Installation);
        let first = turns(&mut gate, 303);
        assert_eq!((&first[..300], &first[300..]), (&[0; 300][..], &[300, 600, 900][..]));
        let later = NOW.after(Duration::from_secs(3_600));
        assert_eq!(gate.turn(later, 1), later);
        let back = gate.turn(NOW, 1);
        assert!(back <= NOW.after(LAST_TURN), "a clock that was set back: {back}");
    }

    #[test]
    fn a_removal_takes_as_many_turns_as_it_has_points() {
        let mut gate = Gate::of(Budget::Installation);
        let removals: Vec<u64> = (0..200).map(|_| gate.turn(NOW, 5).0 - NOW.0).collect();
        let of_a_minute = removals.iter().filter(|at| **at < 60_000).count();
        assert!((95..=100).contains(&of_a_minute), "{of_a_minute}");
    }

    #[test]
    fn an_empty_pot_of_registrations_stops_registrations_alone() {
        let empty = [
            ("x-ratelimit-remaining", "0"),
            ("x-ratelimit-reset", "1000099"),
            ("x-ratelimit-resource", REGISTRATIONS),
        ];
        for (status, told) in [(201, None), (403, Some(100)), (429, Some(100))] {
            let mut gate = Gate::of(Budget::Installation);
            assert_eq!(learn(&mut gate, status, &empty), told, "{status}");
            assert_eq!(gate.shut(NOW), None, "{status}");
            let until = Timestamp(1_000_100_000);
            assert_eq!(gate.registrations_shut(NOW), Some(until), "{status}");
            assert_eq!(gate.registrations_shut(until), None, "it is full again");
        }
        let mut gate = Gate::of(Budget::Installation);
        let other = [empty[0], empty[1], ("x-ratelimit-resource", "search")];
        assert_eq!(learn(&mut gate, 200, &other), None);
        assert_eq!((gate.shut(NOW), gate.registrations_shut(NOW)), (None, None));
    }

    #[test]
    fn retry_after_is_obeyed_to_the_second() {
        let mut gate = Gate::of(Budget::App);
        assert_eq!(learn(&mut gate, 403, &[("retry-after", "17")]), Some(17));
        assert_eq!(gate.shut(NOW), Some(Timestamp(NOW.0 + 17_000)));
        assert_eq!(gate.shut(Timestamp(NOW.0 + 17_000)), None);
    }

    #[test]
    fn a_spent_budget_waits_for_its_reset() {
        let spent = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1000099")];
        assert_eq!(learn(&mut Gate::of(Budget::App), 403, &spent), Some(100));
        let mut gate = Gate::of(Budget::App);
        assert_eq!(learn(&mut gate, 200, &spent), None, "the last call of the budget succeeded");
        assert!(gate.shut(NOW).is_some());
    }

    #[test]
    fn without_a_time_the_wait_doubles_up_to_an_hour() {
        let mut gate = Gate::of(Budget::App);
        let waits: Vec<_> = (0..8).filter_map(|_| learn(&mut gate, 429, &[])).collect();
        assert_eq!(waits, [60, 120, 240, 480, 960, 1920, 3600, 3600]);
        learn(&mut gate, 200, &[]);
        assert_eq!(learn(&mut gate, 429, &[]), Some(60));
    }

    #[test]
    fn a_403_without_marks_is_a_refusal_and_no_limit() {
        let mut gate = Gate::of(Budget::App);
        assert_eq!(learn(&mut gate, 403, &[("x-ratelimit-remaining", "4999")]), None);
        assert_eq!(gate.shut(NOW), None);
    }

    #[test]
    fn an_absurd_time_is_bounded_by_an_hour() {
        assert_eq!(
            learn(&mut Gate::of(Budget::App), 429, &[("retry-after", "18446744073709551615")]),
            Some(3600)
        );
    }

    fn told(limit: &str, remaining: &str, reset: &str, pot: &str) -> Option<(u32, u32)> {
        let mut gate = Gate::of(Budget::Installation);
        let headers = [
            ("x-ratelimit-limit", limit),
            ("x-ratelimit-remaining", remaining),
            ("x-ratelimit-reset", reset),
            ("x-ratelimit-resource", pot),
        ];
        learn(&mut gate, 200, &headers);
        gate.quota(NOW).map(|quota| (quota.limit, quota.remaining))
    }

    #[test]
    fn what_is_left_is_taken_from_an_answer_and_kept_over_answers_that_do_not_say() {
        assert_eq!(told("5000", "4999", "1000099", "core"), Some((5_000, 4_999)));
        let mut gate = Gate::of(Budget::App);
        let said = [
            ("x-ratelimit-limit", "5000"),
            ("x-ratelimit-remaining", "7"),
            ("x-ratelimit-reset", "1000099"),
        ];
        learn(&mut gate, 200, &said);
        learn(&mut gate, 500, &[]);
        let resets = Timestamp(1_000_100_000);
        let quota = Quota { budget: Budget::App, limit: 5_000, remaining: 7, resets };
        assert_eq!(gate.quota(NOW), Some(quota));
        assert_eq!(gate.quota(resets), None, "it is full again");
    }

    #[test]
    fn figures_that_make_no_sense_are_dropped() {
        for (limit, remaining, reset, pot) in [
            ("0", "0", "1000099", "core"),
            ("100", "101", "1000099", "core"),
            ("5000", "-1", "1000099", "core"),
            ("99999999999", "5", "1000099", "core"),
            ("5000", "5", "999000", "core"),
            ("5000", "5", "1009999", "core"),
            ("5000", "5", "18446744073709551615", "core"),
            ("5000", "5", "soon", "core"),
            ("10000", "9999", "1000099", "actions_runner_registration"),
        ] {
            assert_eq!(
                told(limit, remaining, reset, pot),
                None,
                "{limit} {remaining} {reset} {pot}"
            );
        }
    }
}
