//! What is believed of GitHub itself: how many calls it takes, and when it is asked what.

use crate::ask::{AskFailure, Budget, Question, Quota};
use crate::breaker::Breaker;
use crate::id::InstallationId;
use crate::planted::{Fault, is};
use crate::runner_version::{Releases, Rule};
use crate::units::Timestamp;
use crate::vm::back_off;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

const MINUTE: Duration = Duration::from_secs(60);

/// GitHub takes about 80 calls a minute that make something (its page on rate limits); this is 60 of them.
const REGISTER_EVERY: Duration = Duration::from_secs(1);

/// So many registrations may go out at once after a silence: 70 in the busiest minute.
const REGISTER_BURST: u32 = 10;

/// Failed deliveries: 30 calls an hour of the App's own budget.
const DELIVERIES_EVERY: Duration = MINUTE.saturating_mul(2);

/// A job ended of which GitHub told nothing: it is asked sooner than that, but not more often than this.
const DELIVERIES_SOONEST: Duration = Duration::from_secs(20);

/// What is read again each time: a delivery is listed some seconds after it was sent, and clocks differ.
const DELIVERIES_OVERLAP: Duration = MINUTE.saturating_mul(3);

/// How far back a new store looks: GitHub fails a job that nobody took after 24 h.
const DELIVERIES_NEW: Duration = MINUTE.saturating_mul(24 * 60);

/// GitHub keeps deliveries for 3 days.
const DELIVERIES_KEPT: Duration = MINUTE.saturating_mul(3 * 24 * 60);

/// Our runners.
const RUNNERS_EVERY: Duration = MINUTE.saturating_mul(5);

/// Repositories in which something happened.
const REPOSITORIES_EVERY: Duration = MINUTE.saturating_mul(15);

/// So many scopes of one installation are asked for both lists as often as that: each takes 16 calls an hour, of 5,000
/// that GitHub takes of one person. More are asked less often.
const SCOPES_MANY: usize = 50;

/// Releases of GitHub's runner: it has one a month.
const RELEASES_EVERY: Duration = MINUTE.saturating_mul(24 * 60);

/// The jobs of one of those, while there are not too many of them.
const JOBS_EVERY: Duration = MINUTE.saturating_mul(5);

/// So many of them are asked for every five minutes, 1,200 calls an hour of 5,000; more are asked for less often.
const JOBS_MANY: usize = 100;

/// A repository that nothing was heard of for this long is left alone.
const ACTIVE: Duration = MINUTE.saturating_mul(7 * 24 * 60);

/// More than this are not followed: the ones heard of last are.
const REPOSITORIES_MAX: usize = 500;

/// A refusal is asked again after this long: somebody may have changed something.
const REFUSED_AGAIN: Duration = MINUTE.saturating_mul(60);

/// Whose calls GitHub counts together, as they are believed to stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installation {
    /// GitHub takes no calls before this.
    #[serde(default)]
    pub limited_until: Timestamp,
    /// What is left of each budget.
    #[serde(default)]
    pub quotas: BTreeMap<Budget, Quota>,
    /// The time of the last registration, if they had been evenly spaced.
    #[serde(default)]
    pub registrations: Timestamp,
    /// The App's failed deliveries. `None`: another installation of the App is asked for them, or nobody can read any.
    #[serde(default)]
    pub deliveries: Option<Deliveries>,
    /// The released versions of GitHub's runner.
    #[serde(default)]
    pub releases: Releases,
    /// How strict this GitHub is about them, once it was asked.
    #[serde(default)]
    pub rule: Option<Rule>,
    /// When they are asked for.
    #[serde(default)]
    pub releases_due: Due,
}

/// An App's failed deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deliveries {
    /// Every delivery that failed before this has been told.
    pub until: Timestamp,
    /// When they are asked for.
    #[serde(default)]
    pub due: Due,
}

/// A place where runners are registered, as it is believed to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// Whose calls reach it.
    pub installation: InstallationId,
    /// Its refusals of us, whatever the profile.
    #[serde(default)]
    pub breaker: Breaker,
    /// When our runners there are asked for.
    #[serde(default)]
    pub runners: Due,
    /// When its active repositories are asked for.
    #[serde(default)]
    pub repositories: Due,
}

/// When a question is due, and how it went so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    /// When.
    pub at: Timestamp,
    /// Failures in a row.
    #[serde(default)]
    pub failures: u32,
    /// The last of them, for people.
    #[serde(default)]
    pub why: Option<String>,
}

/// A repository that jobs of ours come from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repository {
    /// When something was heard of it, to the hour.
    pub heard: Timestamp,
    /// When its open jobs are asked for.
    #[serde(default)]
    pub jobs: Due,
}

impl Due {
    /// It was answered: again after this long.
    pub(crate) fn answered(&mut self, now: Timestamp, every: Duration) {
        *self = Due { at: now.after(every), ..Due::default() };
    }

    /// It was not answered: again soon, and later each time, but never later than an answer would make it.
    pub(crate) fn failed(
        &mut self,
        now: Timestamp,
        every: Duration,
        failure: AskFailure,
        why: String,
    ) {
        self.failures = self.failures.saturating_add(1);
        self.why = Some(why);
        if is(Fault::AskNotRepeated) {
            self.at = Timestamp(u64::MAX);
            return;
        }
        self.at = match failure {
            AskFailure::Transient => {
                now.after(back_off(self.failures).saturating_mul(5).min(every))
            }
            AskFailure::Limited { until } => until.max(now.after(MINUTE)),
            AskFailure::Refused => now.after(REFUSED_AGAIN),
        };
    }
}

impl Installation {
    /// GitHub takes no calls before this, and no burst after it.
    pub(crate) fn limit(&mut self, until: Timestamp) {
        self.limited_until = until;
        self.registrations = until.after(REGISTER_EVERY.saturating_mul(REGISTER_BURST - 1));
    }

    /// The time at which one more registration may go out; it is taken by that.
    pub(crate) fn next_registration(&mut self, now: Timestamp) -> Timestamp {
        if is(Fault::PaceIgnored) {
            return now;
        }
        let now = now.max(self.limited_until);
        let head_start = REGISTER_EVERY.saturating_mul(REGISTER_BURST - 1);
        let even = self.registrations.max(now);
        self.registrations = even.after(REGISTER_EVERY);
        now.max(even.before(head_start))
    }

    /// Until when questions of this budget must wait: GitHub said so, or little is left for what cannot wait.
    pub(crate) fn silent_until(&self, budget: Budget) -> Timestamp {
        let spent = |quota: &&Quota| quota.remaining.saturating_mul(10) < quota.limit;
        let quota = self.quotas.get(&budget).filter(spent);
        self.limited_until.max(quota.map_or(Timestamp::default(), |quota| quota.resets))
    }

    /// How much longer than usual it is between two questions: less than half of the quota is left.
    pub(crate) fn pace(&self, now: Timestamp, budget: Budget) -> u32 {
        let low = |q: &&Quota| now < q.resets && q.remaining.saturating_mul(2) < q.limit;
        if self.quotas.get(&budget).is_some_and(|quota| low(&quota)) { 3 } else { 1 }
    }

    /// A start: whatever was told meanwhile was told to nobody. `reads` says whether it is asked for failed deliveries.
    pub(crate) fn started(&mut self, now: Timestamp, reads: bool) {
        let known = self.deliveries.take().map_or(Timestamp(0), |deliveries| deliveries.until);
        self.deliveries = reads.then(|| Deliveries::from(now, known));
        self.releases_due = Due { at: now, ..Due::default() };
        // A clock that was set back must not keep anything waiting.
        self.limited_until = self.limited_until.min(now.after(REFUSED_AGAIN));
        self.registrations = self.registrations.min(now.after(MINUTE));
    }

    /// A job ended of which GitHub has told nothing: its word may have been lost.
    pub(crate) fn miss_a_word(&mut self, now: Timestamp) {
        if let Some(Deliveries { due, .. }) = &mut self.deliveries {
            due.at = due.at.min(now.after(DELIVERIES_SOONEST));
        }
    }

    /// The question for failed deliveries was answered: all that failed before `asked` have been told.
    pub(crate) fn deliveries_read(&mut self, now: Timestamp, asked: Timestamp) {
        let every = DELIVERIES_EVERY.saturating_mul(self.pace(now, Budget::App));
        if let Some(Deliveries { until, due }) = &mut self.deliveries {
            due.answered(now, every);
            *until = (*until).max(asked.min(now));
        }
    }

    /// How long it is from an answer to the next question like it, while so many of its kind share the calls.
    pub(crate) fn every(&self, now: Timestamp, question: &Question, alike: usize) -> Duration {
        let (every, many) = match question {
            Question::Deliveries { .. } => (DELIVERIES_EVERY, usize::MAX),
            Question::Runners { .. } => (RUNNERS_EVERY, SCOPES_MANY),
            Question::Repositories { .. } => (REPOSITORIES_EVERY, SCOPES_MANY),
            Question::RunnerReleases { .. } => (RELEASES_EVERY, usize::MAX),
            Question::Jobs { .. } | Question::Job { .. } | Question::Run { .. } => {
                (JOBS_EVERY, JOBS_MANY)
            }
        };
        let less = u32::try_from(alike / many).unwrap_or(u32::MAX).saturating_add(1);
        let every = every.saturating_mul(less);
        every.saturating_mul(self.pace(now, budget_of(question)))
    }
}

impl Deliveries {
    /// As far back as GitHub remembers, from what was told last.
    fn from(now: Timestamp, told: Timestamp) -> Self {
        let oldest = match told {
            Timestamp(0) => now.before(DELIVERIES_NEW),
            _ => now.before(DELIVERIES_KEPT),
        };
        let due = Due { at: now, ..Due::default() };
        Deliveries { until: told.clamp(oldest, now.max(oldest)), due }
    }

    /// The question for them.
    pub(crate) fn question(&self, installation: &InstallationId) -> Question {
        let overlap = if is(Fault::OverlapDropped) { Duration::ZERO } else { DELIVERIES_OVERLAP };
        let since = self.until.before(overlap);
        Question::Deliveries { installation: installation.clone(), since }
    }
}

impl Scope {
    /// Whose calls reach it, and nothing known yet.
    #[must_use]
    pub fn of(installation: InstallationId) -> Self {
        let (runners, repositories) = Default::default();
        Scope { installation, breaker: Breaker::default(), runners, repositories }
    }
}

/// Whose calls a question needs.
pub(crate) fn budget_of(question: &Question) -> Budget {
    match question {
        Question::Deliveries { .. } => Budget::App,
        Question::Runners { .. }
        | Question::RunnerReleases { .. }
        | Question::Repositories { .. }
        | Question::Jobs { .. }
        | Question::Job { .. }
        | Question::Run { .. } => Budget::Installation,
    }
}

/// Something was heard of a repository.
pub(crate) fn hear(repositories: &mut BTreeMap<String, Repository>, now: Timestamp, name: &str) {
    const HOUR: Duration = MINUTE.saturating_mul(60);
    if let Some(known) = repositories.get_mut(name) {
        if known.heard.after(HOUR) <= now {
            known.heard = now;
        }
        return;
    }
    if repositories.len() >= REPOSITORIES_MAX {
        let oldest = repositories.iter().min_by_key(|(_, repository)| repository.heard);
        let oldest = oldest.map(|(name, _)| name.clone());
        oldest.map(|name| repositories.remove(&name));
    }
    // What made it heard of was told just now; what came before is asked for soon.
    let jobs = Due { at: now.after(MINUTE), ..Due::default() };
    repositories.insert(name.to_owned(), Repository { heard: now, jobs });
}

/// Forgets repositories that nothing was heard of for long.
pub(crate) fn forget(repositories: &mut BTreeMap<String, Repository>, now: Timestamp) {
    repositories.retain(|_, repository| now < repository.heard.after(ACTIVE));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ScopeId;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    #[test]
    fn registrations_go_out_in_a_burst_and_then_one_a_second() {
        let mut forge = Installation::default();
        let times: Vec<u64> = (0..15).map(|_| forge.next_registration(NOW).0 - NOW.0).collect();
        let (burst, rest) = times.split_at(10);
        assert_eq!(burst, [0; 10]);
        assert_eq!(rest, [1_000, 2_000, 3_000, 4_000, 5_000]);
        let later = NOW.after(MINUTE);
        assert_eq!(forge.next_registration(later), later, "a silence fills the bucket again");
    }

    #[test]
    fn the_less_quota_is_left_the_less_is_asked() {
        let resets = NOW.after(MINUTE);
        let left = |remaining| {
            let quota = Quota { budget: Budget::Installation, limit: 5_000, remaining, resets };
            let quotas = [(quota.budget, quota)].into();
            let forge = Installation { quotas, ..Installation::default() };
            let question = Question::Runners { scope: ScopeId::organization("o") };
            let every = forge.every(NOW, &question, 0);
            (every.as_secs() / 60, forge.silent_until(Budget::Installation))
        };
        assert_eq!(left(4_000), (5, Timestamp(0)));
        assert_eq!(left(2_400), (15, Timestamp(0)));
        assert_eq!(left(499), (15, resets));
    }

    #[test]
    fn the_lists_of_many_scopes_leave_most_calls_to_others() {
        let forge = Installation::default();
        let scope = ScopeId::organization("o");
        for scopes in [1, 49, 50, 256, 1_000] {
            let an_hour = |question| {
                let every = forge.every(NOW, &question, usize::try_from(scopes).unwrap());
                scopes * 3_600 / every.as_secs()
            };
            let runners = an_hour(Question::Runners { scope: scope.clone() });
            let repositories = an_hour(Question::Repositories { scope: scope.clone() });
            assert!(runners + repositories <= 16 * 50, "{scopes}: {runners} + {repositories}");
            assert!(scopes > 49 || runners + repositories == 16 * scopes, "{scopes}");
        }
    }

    #[test]
    fn a_start_looks_back_as_far_as_github_remembers() {
        let day = MINUTE.saturating_mul(24 * 60);
        let now = Timestamp(0).after(day.saturating_mul(100));
        let looks_back = |told| now.since(Deliveries::from(now, told).until);
        assert_eq!(looks_back(Timestamp(0)), day, "a new store");
        assert_eq!(looks_back(now.before(day.saturating_mul(9))), day.saturating_mul(3));
        assert_eq!(looks_back(now.before(MINUTE)), MINUTE);
        assert_eq!(looks_back(now.after(MINUTE)), Duration::ZERO, "the clock was set back");
    }

    #[test]
    fn many_repositories_are_followed_up_to_a_bound() {
        let mut repositories = BTreeMap::new();
        for n in 0..600_u64 {
            hear(&mut repositories, Timestamp(n), &format!("o/r{n}"));
        }
        assert_eq!(repositories.len(), REPOSITORIES_MAX);
        assert!(!repositories.contains_key("o/r0") && repositories.contains_key("o/r599"));
        forget(&mut repositories, Timestamp(599).after(ACTIVE));
        assert!(repositories.is_empty());
    }
}
