//! GitHub's runner has versions, and GitHub gives no jobs to old ones: which day is a version's last?
//!
//! The rule of github.com: a runner is updated within 30 days of each release, and below [`LEAST`] it cannot even be
//! registered. A GitHub Enterprise Server has versions of its own, and only advises.

use crate::units::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Older runners cannot be registered at github.com (since 25 September 2026).
pub const LEAST: RunnerVersion = RunnerVersion { major: 2, minor: 329, patch: 0 };
/// How long a runner gets jobs after a newer one was released.
pub const GRACE: Duration = Duration::from_secs(30 * 86_400);
/// How long before a version's end somebody is told: long enough to have a working day in it.
pub const NOTICE: Duration = Duration::from_secs(7 * 86_400);

/// As many releases as are remembered: some years of them.
const RELEASES_MAX: usize = 64;

/// A released version: three numbers, and nothing behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RunnerVersion {
    major: u32,
    minor: u32,
    patch: u32,
}

/// A text that is no released version: `2.337.0` and `v2.337.0` are, `2.338.0-rc1` is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a version of the runner is three numbers, such as `2.337.0`")]
pub struct NoVersion;

/// Since when a version is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Since {
    /// GitHub says when it was released.
    Released(Timestamp),
    /// Nobody says; it was seen then for the first time. It may have been released before that.
    Seen(Timestamp),
    /// Nobody says, and nobody remembers.
    Unknown,
}

/// The released versions that are known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Releases(BTreeMap<RunnerVersion, Since>);

/// How strict a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rule {
    /// github.com and GHE.com refuse what is too old.
    Enforced,
    /// A GitHub Enterprise Server offers its own newest version, and refuses nothing by this rule.
    Advised,
}

/// What became of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// No released version is known, or not this runner's own.
    Unknown,
    /// No newer version is known.
    Newest,
    /// There is a newer one.
    Behind {
        /// When its time is over, if that is known.
        last: Option<Last>,
    },
    /// Its time is over within [`NOTICE`].
    Ending {
        /// When.
        last: Last,
    },
    /// Its time is over: it is registered, and gets no job.
    Over {
        /// Since when.
        last: Last,
    },
    /// It cannot be registered.
    Refused,
}

impl Verdict {
    /// The worse of two.
    #[must_use]
    pub fn worse(self, other: Verdict) -> Verdict {
        let rank = |verdict: &Verdict| match verdict {
            Verdict::Unknown => 0,
            Verdict::Newest => 1,
            Verdict::Behind { .. } => 2,
            Verdict::Ending { .. } => 3,
            Verdict::Over { .. } => 4,
            Verdict::Refused => 5,
        };
        let ends = |verdict: &Verdict| verdict.last().map_or(Timestamp(u64::MAX), |last| last.at);
        let key = |verdict: &Verdict| (rank(verdict), Reverse(ends(verdict)));
        if key(&other) > key(&self) { other } else { self }
    }

    /// When the version's time is over, if it has an end that is known.
    #[must_use]
    pub fn last(&self) -> Option<Last> {
        match self {
            Verdict::Unknown | Verdict::Newest | Verdict::Refused => None,
            Verdict::Behind { last } => *last,
            Verdict::Ending { last } | Verdict::Over { last } => Some(*last),
        }
    }
}

/// The end of a version's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Last {
    /// When it ends.
    pub at: Timestamp,
    /// Whether GitHub said when the newer one was released; else it is counted from the day on which it was first seen,
    /// and the true end may be earlier.
    pub told: bool,
}

impl FromStr for RunnerVersion {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let mut numbers = text.strip_prefix('v').unwrap_or(text).split('.').map(number);
        let [major, minor, patch] = std::array::from_fn(|_| numbers.next().flatten());
        match (major, minor, patch, numbers.next()) {
            (Some(major), Some(minor), Some(patch), None) => {
                Ok(RunnerVersion { major, minor, patch })
            }
            _ => Err(NoVersion),
        }
    }
}

/// Digits alone: `str::parse` takes a sign as well.
fn number(text: &str) -> Option<u32> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

impl fmt::Display for RunnerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl Serialize for RunnerVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RunnerVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Releases {
    /// Learns of a version. What GitHub says counts more than what was seen, and the first sight more than a later one.
    pub fn learn(&mut self, version: RunnerVersion, since: Since) {
        let known = self.0.entry(version).or_insert(since);
        *known = (*known).min(since);
    }

    /// Learns of all that were told at a time. Since when nobody says, that is since then.
    pub fn learn_all(&mut self, told: &Releases, now: Timestamp) {
        for (version, since) in &told.0 {
            let since = match since {
                Since::Unknown => Since::Seen(now),
                Since::Released(_) | Since::Seen(_) => *since,
            };
            self.learn(*version, since);
        }
        while self.0.len() > RELEASES_MAX {
            self.0.pop_first();
        }
    }

    /// The newest version, and since when it is there.
    #[must_use]
    pub fn newest(&self) -> Option<(RunnerVersion, Since)> {
        self.0.last_key_value().map(|(version, since)| (*version, *since))
    }

    /// What became of this version by `now`.
    #[must_use]
    pub fn judge(&self, version: Option<RunnerVersion>, rule: Rule, now: Timestamp) -> Verdict {
        let Some(version) = version else { return Verdict::Unknown };
        if version < LEAST && rule == Rule::Enforced {
            return Verdict::Refused;
        }
        match (self.newest(), rule) {
            (None, _) => Verdict::Unknown,
            (Some((newest, _)), _) if newest <= version => Verdict::Newest,
            (Some(_), Rule::Advised) => Verdict::Behind { last: None },
            (Some(_), Rule::Enforced) => {
                self.last(version).map_or(Verdict::Behind { last: None }, |last| match last.at {
                    at if at <= now => Verdict::Over { last },
                    at if at <= now.after(NOTICE) => Verdict::Ending { last },
                    _ => Verdict::Behind { last: Some(last) },
                })
            }
        }
    }

    /// Each newer release sets a term of its own, so the first of them counts: mends of an old line come late.
    fn last(&self, version: RunnerVersion) -> Option<Last> {
        let newer = self.0.iter().filter(|(other, _)| **other > version);
        let terms = newer.filter_map(|(_, since)| match since {
            Since::Released(at) => Some(Last { at: at.after(GRACE), told: true }),
            Since::Seen(at) => Some(Last { at: at.after(GRACE), told: false }),
            Since::Unknown => None,
        });
        terms.min_by_key(|last| last.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> RunnerVersion {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn day(day: u64) -> Timestamp {
        Timestamp(day * 86_400_000)
    }

    fn known(releases: &[(&str, Since)]) -> Releases {
        let mut known = Releases::default();
        for (text, since) in releases {
            known.learn(version(text), *since);
        }
        known
    }

    /// 2.337.0 of day 100, 2.338.0 of day 140.
    fn two() -> Releases {
        known(&[("2.337.0", Since::Released(day(100))), ("2.338.0", Since::Released(day(140)))])
    }

    fn judged(text: &str, now: u64) -> Verdict {
        two().judge(Some(version(text)), Rule::Enforced, day(now))
    }

    #[test]
    fn versions_are_three_numbers_and_are_compared_as_numbers() {
        assert!(
            version("2.99.9") < version("v2.329.0") && version("2.329.0") < version("2.329.10")
        );
        assert_eq!(version("v2.337.0").to_string(), "2.337.0");
        for text in [
            "",
            "v",
            "2",
            "2.337",
            "2.337.0.1",
            "2.337.0-rc1",
            "2.337.0+x",
            "2.337.x",
            "2..0",
            "+2.337.0",
            "2.-337.0",
            " 2.337.0",
            "2.4294967296.0",
            "vv2.337.0",
            "２.337.0",
        ] {
            assert_eq!(text.parse::<RunnerVersion>(), Err(NoVersion), "{text}");
        }
    }

    #[test]
    fn a_version_ends_thirty_days_after_the_next_one_and_is_told_a_week_before() {
        let last = Last { at: day(170), told: true };
        assert_eq!(judged("2.337.0", 140), Verdict::Behind { last: Some(last) });
        assert_eq!(judged("2.337.0", 162), Verdict::Behind { last: Some(last) });
        assert_eq!(judged("2.337.0", 163), Verdict::Ending { last });
        assert_eq!(judged("2.337.0", 169), Verdict::Ending { last });
        assert_eq!(judged("2.337.0", 170), Verdict::Over { last });
    }

    #[test]
    fn the_newest_never_ends_and_one_that_is_newer_than_all_known_neither() {
        assert_eq!(judged("2.338.0", 9999), Verdict::Newest);
        assert_eq!(judged("2.339.0", 9999), Verdict::Newest);
    }

    #[test]
    fn the_first_release_behind_a_version_counts_even_if_a_mend_of_its_own_line_comes_later() {
        let mut known = two();
        known.learn(version("2.336.1"), Since::Released(day(150)));
        let verdict = known.judge(Some(version("2.336.0")), Rule::Enforced, day(101));
        assert_eq!(verdict, Verdict::Behind { last: Some(Last { at: day(130), told: true }) });
    }

    #[test]
    fn below_the_least_nothing_can_be_registered_whatever_else_is_known() {
        let old = Some(version("2.328.9"));
        assert_eq!(Releases::default().judge(old, Rule::Enforced, day(0)), Verdict::Refused);
        assert_eq!(
            judged("2.329.0", 100),
            Verdict::Behind { last: Some(Last { at: day(130), told: true }) }
        );
    }

    #[test]
    fn what_nobody_knows_is_no_verdict() {
        assert_eq!(two().judge(None, Rule::Enforced, day(500)), Verdict::Unknown);
        let some = Some(version("2.337.0"));
        assert_eq!(Releases::default().judge(some, Rule::Enforced, day(500)), Verdict::Unknown);
    }

    #[test]
    fn without_a_date_the_day_of_the_first_sight_counts_and_it_says_so() {
        let mut seen = known(&[("2.338.0", Since::Unknown)]);
        let some = Some(version("2.337.0"));
        let judge = |seen: &Releases| seen.judge(some, Rule::Enforced, day(200));
        assert_eq!(judge(&seen), Verdict::Behind { last: None });
        seen.learn(version("2.338.0"), Since::Seen(day(180)));
        seen.learn(version("2.338.0"), Since::Seen(day(190)));
        let last = Last { at: day(210), told: false };
        assert_eq!(judge(&seen), Verdict::Behind { last: Some(last) });
        seen.learn(version("2.338.0"), Since::Released(day(170)));
        assert_eq!(judge(&seen), Verdict::Over { last: Last { at: day(200), told: true } });
        // A later answer without a date does not make it forgotten.
        seen.learn(version("2.338.0"), Since::Seen(day(150)));
        assert_eq!(seen.newest(), Some((version("2.338.0"), Since::Released(day(170)))));
    }

    #[test]
    fn an_enterprise_server_refuses_nothing_by_this_rule() {
        let judge = |text| two().judge(Some(version(text)), Rule::Advised, day(9999));
        assert_eq!(judge("2.300.0"), Verdict::Behind { last: None });
        assert_eq!(judge("2.338.0"), Verdict::Newest);
    }
}
