//! How many calls GitHub takes, and the books about who called how often. The time is told.
//!
//! Source: GitHub's page on REST rate limits. The books of the App and of its installation are apart. A caller that was
//! refused is refused until the time that it was told is over: GitHub may ban who calls on.

use super::calls::{Budget, Call};
use super::state::Millis;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

const MINUTE: Millis = 60_000;
const HOUR: Millis = 60 * MINUTE;
/// A call that comes so soon after a refusal was sent before its caller could know of it.
const ON_THE_WAY: Millis = 1000;

/// How much GitHub takes, of the App and of its installation each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// The primary limit of the App's own calls.
    pub app_per_hour: u32,
    /// The primary limit of calls with the installation's token.
    pub installation_per_hour: u32,
    /// A call that reads is one point, another five.
    pub points_per_minute: u32,
    /// Calls that make something: every POST.
    pub content_per_minute: u32,
    /// The same by the hour. GitHub speaks of 500, and does not say whether it counts registrations: not limited here.
    pub content_per_hour: u32,
    /// At one time.
    pub concurrent: u32,
    /// `retry-after` of a refusal by any limit but the primary one, in seconds. None: it says nothing, and means 60.
    pub retry_after: Option<u64>,
    /// 403 or 429: GitHub uses both.
    pub status: u16,
}

/// A limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// Calls an hour.
    Primary,
    /// Points a minute.
    Points,
    /// Calls that make something, a minute or an hour.
    Content,
    /// Calls at one time.
    Concurrent,
}

/// What was called, since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Calls of the REST API and of scale sets by name (the routes of [`super::Fault`]), refused ones too.
    pub calls: BTreeMap<String, u64>,
    /// Calls that a limit refused.
    pub refused: BTreeMap<Limit, u64>,
    /// Calls by one that had been told to wait, by a limit or by a fault, more than a second before.
    pub while_waiting: u64,
    /// Answers with 304.
    pub not_modified: u64,
    /// The most points in any 60 seconds, of one budget.
    pub most_points: u32,
    /// The most calls that make something in any 60 seconds, of one budget.
    pub most_content: u32,
    /// The most calls at one time, of one budget.
    pub most_concurrent: u32,
}

impl Counters {
    /// Calls of this name.
    #[must_use]
    pub fn calls(&self, name: &str) -> u64 {
        self.calls.get(name).copied().unwrap_or_default()
    }

    /// Calls that this limit refused.
    #[must_use]
    pub fn refused(&self, limit: Limit) -> u64 {
        self.refused.get(&limit).copied().unwrap_or_default()
    }
}

impl Default for Limits {
    /// GitHub's numbers.
    fn default() -> Self {
        Limits {
            app_per_hour: 5000,
            installation_per_hour: 5000,
            points_per_minute: 900,
            content_per_minute: 80,
            content_per_hour: u32::MAX,
            concurrent: 100,
            retry_after: Some(60),
            status: 403,
        }
    }
}

impl Limits {
    /// No limit at all, as on a GitHub Enterprise Server.
    #[must_use]
    pub fn none() -> Self {
        Limits {
            app_per_hour: u32::MAX,
            installation_per_hour: u32::MAX,
            points_per_minute: u32::MAX,
            content_per_minute: u32::MAX,
            concurrent: u32::MAX,
            ..Limits::default()
        }
    }

    fn per_hour(&self, budget: Budget) -> u32 {
        match budget {
            Budget::App => self.app_per_hour,
            Budget::Installation => self.installation_per_hour,
        }
    }
}

/// A refusal, and how it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) limit: Limit,
    pub(super) retry_after: Option<u64>,
}

/// What the headers of an answer say of the primary limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) limit: u32,
    pub(super) used: u32,
    /// Seconds since 1970.
    pub(super) resets: u64,
}

/// All books.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) limits: Limits,
    pub(super) counters: Counters,
    app: Account,
    installation: Account,
}

/// The books about one caller.
#[derive(Default)]
struct Account {
    hour_began: Millis,
    used: u32,
    points: VecDeque<(Millis, u32)>,
    content: VecDeque<Millis>,
    open: u32,
    /// Refused until then, by this limit.
    shut: Option<(Millis, Limit)>,
    /// When it was told to wait, and until when.
    told: Option<(Millis, Millis)>,
}

impl Ledger {
    pub(super) fn new(limits: Limits) -> Self {
        Ledger { limits, ..Ledger::default() }
    }

    /// Other limits, from now on: nobody is refused any more by the old ones, and what was called still counts.
    pub(super) fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
        for account in [&mut self.app, &mut self.installation] {
            (account.shut, account.told) = (None, None);
        }
    }

    /// A call that is on no budget.
    pub(super) fn count(&mut self, name: &str) {
        *self.counters.calls.entry(name.to_owned()).or_default() += 1;
    }

    /// A call comes. One that is taken must [`Self::leave`] again.
    pub(super) fn enter(&mut self, call: Call, now: Millis) -> Result<(), Refusal> {
        self.count(call.name);
        let limits = self.limits;
        let account = self.account(call.budget);
        let waits = account.waits(now);
        let taken = account.enter(&limits, call, now);
        let (points, content, open) = account.minute(now);
        let counters = &mut self.counters;
        counters.while_waiting += u64::from(waits);
        counters.most_points = counters.most_points.max(points);
        counters.most_content = counters.most_content.max(content);
        counters.most_concurrent = counters.most_concurrent.max(open);
        if let Err(Refusal { limit, .. }) = taken {
            *counters.refused.entry(limit).or_default() += 1;
        }
        taken
    }

    pub(super) fn leave(&mut self, budget: Budget) {
        let account = self.account(budget);
        account.open = account.open.saturating_sub(1);
    }

    /// It was answered with 304, which is free.
    pub(super) fn not_modified(&mut self, budget: Budget) {
        self.counters.not_modified += 1;
        let account = self.account(budget);
        account.used = account.used.saturating_sub(1);
    }

    /// A caller was told to wait until then.
    pub(super) fn told(&mut self, budget: Budget, now: Millis, until: Millis) {
        self.account(budget).told = Some((now, until));
    }

    pub(super) fn standing(&mut self, budget: Budget, now: Millis) -> Standing {
        let limit = self.limits.per_hour(budget);
        let account = self.account(budget);
        account.turn_hour(now);
        let resets = (account.hour_began + HOUR) / 1000;
        Standing { limit, used: account.used.min(limit), resets }
    }

    fn account(&mut self, budget: Budget) -> &mut Account {
        match budget {
            Budget::App => &mut self.app,
            Budget::Installation => &mut self.installation,
        }
    }
}

impl Account {
    fn enter(&mut self, limits: &Limits, call: Call, now: Millis) -> Result<(), Refusal> {
        self.turn_hour(now);
        let (points, content, _) = self.minute(now);
        let making = u32::from(call.content);
        let last_hour = u32::try_from(self.content.len()).unwrap_or(u32::MAX);
        let still = self.shut.filter(|(until, _)| now < *until).map(|(_, limit)| limit);
        let over = [
            (Limit::Primary, self.used, 1, limits.per_hour(call.budget)),
            (Limit::Concurrent, self.open, 1, limits.concurrent),
            (Limit::Points, points, call.points, limits.points_per_minute),
            (Limit::Content, content, making, limits.content_per_minute),
            (Limit::Content, last_hour, making, limits.content_per_hour),
        ];
        let over = over.into_iter().find(|(_, had, more, most)| had.saturating_add(*more) > *most);
        match still.or(over.map(|(limit, ..)| limit)) {
            Some(limit) => Err(self.refuse(limits, limit, now)),
            None => {
                self.used += 1;
                self.open += 1;
                self.points.push_back((now, call.points));
                self.content.extend(call.content.then_some(now));
                Ok(())
            }
        }
    }

    fn refuse(&mut self, limits: &Limits, limit: Limit, now: Millis) -> Refusal {
        let wait = match limit {
            Limit::Primary => (self.hour_began + HOUR).saturating_sub(now),
            _ => limits.retry_after.map_or(MINUTE, |seconds| seconds * 1000),
        };
        let (until, _) = *self.shut.get_or_insert((now + wait, limit));
        // What was told first holds: calling on does not make it longer.
        let left = until.saturating_sub(now);
        self.told.get_or_insert((now, until));
        let says = limit != Limit::Primary && limits.retry_after.is_some();
        Refusal { limit, retry_after: says.then(|| left.div_ceil(1000)) }
    }

    /// Forgets what is over.
    fn turn_hour(&mut self, now: Millis) {
        if self.hour_began + HOUR <= now {
            self.hour_began = now - now % 1000;
            self.used = 0;
        }
        self.shut = self.shut.filter(|(until, _)| now < *until);
        self.told = self.told.filter(|(_, until)| now < *until);
    }

    /// Points, calls that make something, and open calls, now and in the minute before.
    fn minute(&mut self, now: Millis) -> (u32, u32, u32) {
        while self.points.front().is_some_and(|(at, _)| at + MINUTE <= now) {
            self.points.pop_front();
        }
        while self.content.front().is_some_and(|at| at + HOUR <= now) {
            self.content.pop_front();
        }
        let points = self.points.iter().map(|(_, points)| points).sum();
        let content = self.content.iter().rev().take_while(|at| **at + MINUTE > now).count();
        (points, u32::try_from(content).unwrap_or(u32::MAX), self.open)
    }

    fn waits(&mut self, now: Millis) -> bool {
        self.turn_hour(now);
        self.told.is_some_and(|(at, _)| at + ON_THE_WAY <= now)
    }
}
