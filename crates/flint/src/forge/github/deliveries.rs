//! Finds the webhook deliveries that failed, and reads from GitHub's list what they would have told.
//!
//! Source: GitHub's pages on deliveries of an App's webhook. They are kept for 3 days, listed newest first, by cursor;
//! a redelivery is an entry of its own with the same GUID. Nothing is proven by an HMAC here: the answer comes from
//! GitHub over the connection that Flint opened.

use super::partial::{Cut, Partial};
use super::told::{Known, Memory};
use crate::forge::caller::Caller;
use crate::forge::token::Installation;
use crate::forge::{Error, Scope, Told, payload};
use crate::text;
use flint_core::ask::Budget;
use flint_core::event::ForgeEvent;
use flint_core::id::InstallationId;
use flint_core::units::Timestamp;
use futures_util::stream::{self, StreamExt as _};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// 100,000 deliveries: three days of 460 jobs an hour. More than that is a list that does not end.
const MOST_PAGES: usize = 1_000;
/// GitHub takes 900 calls a minute (its page on secondary limits); the rest is read by the next question.
const MOST_FETCHED: usize = 300;
/// GitHub's advice is to call one after the other; a few at once are far from its limit of 100.
const AT_ONCE: usize = 4;
/// After so many fetches that failed GitHub is in trouble, and is left alone for now.
const MOST_FAILURES: usize = 5;

/// One attempt at a delivery, as it is listed.
#[derive(Debug, PartialEq, Eq)]
struct Attempt {
    id: u64,
    guid: String,
    at: Timestamp,
    arrived: bool,
    /// Of an action that Flint acts on.
    useful: bool,
    installation: Option<u64>,
}

/// All attempts at one delivery, which are listed newest first.
#[derive(Debug, PartialEq, Eq)]
struct Group {
    /// The newest attempt.
    newest: u64,
    /// The time of the oldest: that of the event.
    first: Timestamp,
    arrived: bool,
    useful: bool,
    installation: Option<u64>,
}

/// A delivery that nobody took.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Failed {
    first: Timestamp,
    guid: String,
    newest: u64,
}

/// What a fetched payload is.
enum Fetched {
    Fact(Box<ForgeEvent>),
    /// Not ours, not readable, or nothing that Flint acts on.
    Useless,
}

#[derive(Default)]
struct Listed {
    groups: BTreeMap<String, Group>,
    cut: Option<Cut>,
}

/// An App: whoever calls for it, and the scopes whose jobs its deliveries may tell of.
pub(crate) struct App {
    callers: Vec<Arc<Caller>>,
    scopes: Vec<Scope>,
    memory: Mutex<Memory>,
}

impl App {
    /// The first of `callers`, of which there is one at least, asks for the deliveries of all.
    pub(crate) fn new(callers: Vec<Arc<Caller>>, scopes: Vec<Scope>) -> Self {
        App { callers, scopes, memory: Mutex::default() }
    }

    fn caller(&self) -> &Caller {
        self.callers.first().expect("an App is made with whoever calls for it")
    }

    pub(super) async fn failed_deliveries(
        &self,
        (installation, since): (&InstallationId, Timestamp),
        asked: Timestamp,
    ) -> Result<Partial, Error> {
        let read = |asked| {
            let installation = installation.clone();
            ForgeEvent::DeliveriesRead { installation, asked }
        };
        self.memory().begin(since);
        let listed = self.list_deliveries(since, asked).await?;
        let mut failed = self.not_arrived(&listed);
        if failed.is_empty() {
            let end = listed.cut.map_or(Ok(read(asked)), Err);
            return Ok(Partial { told: Vec::new(), end });
        }
        // Only now: usually there is nothing to fetch.
        let ours = self.installations().await?;
        failed.retain(|failed| {
            let of = listed.groups.get(&failed.guid).and_then(|group| group.installation);
            let foreign = of.is_some_and(|of| ours.iter().all(|ours| ours.id != of));
            if foreign {
                self.memory().settle(failed.guid.clone());
            }
            !foreign
        });
        let rest = failed.split_off(failed.len().min(MOST_FETCHED));
        let (mut told, cut) = self.fetch_all(failed, &ours).await;
        told.sort_by_key(|(first, _)| *first);
        // Some are left: all before the first of them have been told.
        let left = rest.iter().filter(|failed| self.memory().of(&failed.guid) == Known::New);
        let until = left.map(|failed| failed.first).min().unwrap_or(asked);
        let end = match listed.cut.or(cut) {
            Some(cut) => Err(cut),
            None => Ok(read(until)),
        };
        Ok(Partial { told: told.into_iter().map(|(_, told)| told).collect(), end })
    }

    /// Where the App is installed at present, as far as it serves us.
    async fn installations(&self) -> Result<Vec<Installation>, Error> {
        let mut found = Vec::new();
        for caller in &self.callers {
            found.push(caller.tokens.installation(&caller.rest).await?);
        }
        Ok(found)
    }

    /// Walks the list back to `since`.
    async fn list_deliveries(&self, since: Timestamp, asked: Timestamp) -> Result<Listed, Error> {
        let mut listed = Listed::default();
        let mut seen = BTreeSet::new();
        let mut cursor: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let (page, next) = match self.deliveries_page(cursor.as_deref(), asked).await {
                Ok(page) => page,
                Err(error) if cursor.is_none() => return Err(error),
                Err(error) => return Ok(Listed { cut: Some(error.into()), ..listed }),
            };
            let reached = page.last().is_some_and(|oldest| oldest.at < since);
            take_in(&mut listed.groups, page, since);
            cursor = next.filter(|_| !reached);
            let Some(next) = cursor.as_ref() else { return Ok(listed) };
            if !seen.insert(next.clone()) {
                let why = "GitHub's list of deliveries goes round in a circle: a cursor came twice";
                return Ok(Listed { cut: Some(Cut::transient(why.to_owned())), ..listed });
            }
            if let Some(cut) = self.spared() {
                return Ok(Listed { cut: Some(cut), ..listed });
            }
        }
        let why = format!("GitHub's list of deliveries does not end after {MOST_PAGES} pages");
        Ok(Listed { cut: Some(Cut::transient(why)), ..listed })
    }

    /// A page's entries, and the cursor of the next one.
    async fn deliveries_page(
        &self,
        cursor: Option<&str>,
        asked: Timestamp,
    ) -> Result<(Vec<Attempt>, Option<String>), Error> {
        let mut query = vec![("per_page", "100")];
        query.extend(cursor.map(|cursor| ("cursor", cursor)));
        let path = ["app", "hook", "deliveries"];
        let reply = self.caller().read_as_app(&path, &query).await?;
        let entries: Vec<Value> = reply.json()?;
        Ok((attempts(&entries, asked), reply.next().map(str::to_owned)))
    }

    /// The last tenth of the App's calls is kept for tokens, without which nothing can be registered.
    fn spared(&self) -> Option<Cut> {
        let quota = self.caller().rest.quota(Budget::App)?;
        let spent = quota.remaining.saturating_mul(10) < quota.limit;
        let why = || format!("only {} of the App's calls are left for this hour", quota.remaining);
        spent.then(|| Cut::transient(why()))
    }

    /// What is worth fetching: what is new by age, then what has been told but may not be on disk.
    ///
    /// A list that was cut off does not let the next question look back less far: what has been told would be fetched
    /// for ever.
    fn not_arrived(&self, listed: &Listed) -> Vec<Failed> {
        let memory = self.memory();
        let last = if listed.cut.is_some() { Known::New } else { Known::Told };
        let failed = listed.groups.iter().filter(|(_, group)| group.useful && !group.arrived);
        let mut failed: Vec<(Known, Failed)> = failed
            .map(|(guid, group)| {
                let Group { newest, first, .. } = *group;
                (memory.of(guid), Failed { first, guid: guid.clone(), newest })
            })
            .filter(|(known, _)| *known <= last)
            .collect();
        failed.sort();
        failed.into_iter().map(|(_, failed)| failed).collect()
    }

    async fn fetch_all(
        &self,
        failed: Vec<Failed>,
        ours: &[Installation],
    ) -> (Vec<(Timestamp, Told)>, Option<Cut>) {
        let fetch = async |failed: Failed| (self.fetch(failed.newest, ours).await, failed);
        let calls: Vec<_> = failed.into_iter().map(fetch).collect();
        let mut calls = stream::iter(calls).buffered(AT_ONCE);
        let (mut told, mut cut, mut failures) = (Vec::new(), None, 0);
        while let Some((fetched, Failed { first, guid, newest })) = calls.next().await {
            match fetched {
                Ok(Fetched::Fact(event)) => {
                    self.memory().tell(guid.clone());
                    told.push((first, Told { delivery: Some(guid), event: *event }));
                }
                Ok(Fetched::Useless) => self.memory().settle(guid),
                Err(error @ Error::NotFound { .. }) => {
                    tracing::warn!(delivery = newest, %error, "GitHub no longer has a delivery");
                    self.memory().settle(guid);
                }
                Err(
                    error @ (Error::Server { .. } | Error::NoAnswer { .. } | Error::Garbage { .. }),
                ) => {
                    failures += 1;
                    if self.memory().fail(&guid) {
                        tracing::error!(delivery = newest, %error, "a delivery cannot be fetched, and is passed over");
                    } else {
                        cut = Some(Cut::from(error));
                    }
                }
                // Refused, or too many calls: the others would fare no better.
                Err(error) => return (told, Some(error.into())),
            }
            if failures > MOST_FAILURES {
                return (told, cut);
            }
            if let Some(spared) = self.spared() {
                return (told, Some(spared));
            }
        }
        (told, cut)
    }

    async fn fetch(&self, id: u64, ours: &[Installation]) -> Result<Fetched, Error> {
        let number = id.to_string();
        let path = ["app", "hook", "deliveries", &number];
        let reply = self.caller().read_as_app(&path, &[]).await?;
        let detail: Value = reply.json()?;
        let body = &detail["request"]["payload"];
        let foreign = payload::installation(body)
            .is_some_and(|of| ours.iter().all(|ours| ours.id != of))
            || ours.iter().all(|ours| is_other_app(&detail["request"]["headers"], &ours.app_id));
        let event = match payload::workflow_job(body) {
            Err(malformed) => {
                tracing::warn!(delivery = id, %malformed, "a failed delivery cannot be read, and is passed over");
                return Ok(Fetched::Useless);
            }
            Ok(payload::Told::Fact(event)) if !foreign => event,
            Ok(payload::Told::Fact(_) | payload::Told::Nothing(_)) => return Ok(Fetched::Useless),
        };
        let covered = payload::repository(&event)
            .is_some_and(|name| self.scopes.iter().any(|scope| scope.covers(name)));
        Ok(if covered { Fetched::Fact(Box::new(event)) } else { Fetched::Useless })
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        // A panic while it was held leaves at worst a delivery that is fetched again.
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a request was made for the webhook of another App than ours.
fn is_other_app(headers: &Value, ours: &Value) -> bool {
    const TARGET: &str = "x-github-hook-installation-target-";
    let plain = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let header = |name: &str| {
        let mut all = headers.as_object()?.iter();
        let named = |key: &str| key.eq_ignore_ascii_case(&format!("{TARGET}{name}"));
        all.find(|(key, _)| named(key)).and_then(|(_, value)| plain(value))
    };
    let of_an_app = header("type").is_some_and(|kind| kind == "integration");
    match (header("id"), plain(ours)) {
        (Some(target), Some(ours)) => of_an_app && target != ours,
        _ => false,
    }
}

/// A page's entries. One that cannot be read does not stop the others.
fn attempts(entries: &[Value], asked: Timestamp) -> Vec<Attempt> {
    let read = |entry: &Value| {
        let attempt = attempt(entry, asked);
        if attempt.is_none() {
            let id = entry["id"].as_u64();
            tracing::warn!(delivery = id, "an entry of GitHub's list of deliveries cannot be read");
        }
        attempt
    };
    entries.iter().filter_map(read).collect()
}

fn attempt(entry: &Value, asked: Timestamp) -> Option<Attempt> {
    let at: jiff::Timestamp = entry["delivered_at"].as_str()?.parse().ok()?;
    let at = Timestamp(u64::try_from(at.as_millisecond()).ok()?);
    let guid = entry["guid"].as_str().filter(|guid| !guid.is_empty())?;
    // Absent, or an action of the future: its payload tells.
    let action = entry["action"].as_str().unwrap_or("queued");
    let useful = entry["event"] == "workflow_job"
        && matches!(action, "queued" | "in_progress" | "completed");
    Some(Attempt {
        id: entry["id"].as_u64()?,
        guid: text::line(guid),
        // One clock runs ahead of the other.
        at: at.min(asked),
        arrived: entry["status_code"].as_u64().is_some_and(|code| (200..300).contains(&code)),
        useful,
        installation: entry["installation_id"].as_u64(),
    })
}

fn take_in(groups: &mut BTreeMap<String, Group>, page: Vec<Attempt>, since: Timestamp) {
    for attempt in page.into_iter().filter(|attempt| attempt.at >= since) {
        let Attempt { id, guid, at, arrived, useful, installation } = attempt;
        let newest = Group { newest: id, first: at, arrived: false, useful: false, installation };
        let group = groups.entry(guid).or_insert(newest);
        group.first = group.first.min(at);
        group.arrived |= arrived;
        group.useful |= useful;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ASKED: Timestamp = Timestamp(1_795_446_245_000);

    fn entry(id: u64, guid: &str, at: &str, code: u64) -> Value {
        json!({ "id": id, "guid": guid, "delivered_at": at, "redelivery": false, "status": "OK", "status_code": code,
            "event": "workflow_job", "action": "queued", "installation_id": 5, "repository_id": null })
    }

    #[test]
    fn a_group_is_told_by_its_newest_attempt_at_the_time_of_its_oldest() {
        let page = [
            entry(9, "a", "2026-11-23T15:04:03Z", 502),
            entry(8, "b", "2026-11-23T15:04:02Z", 202),
            entry(7, "b", "2026-11-23T15:04:01Z", 0),
            entry(6, "a", "2026-11-23T15:04:00Z", 500),
            entry(5, "c", "2026-11-23T15:03:59Z", 500),
        ];
        let page = page.iter().filter_map(|entry| attempt(entry, ASKED)).collect();
        let mut groups = BTreeMap::new();
        take_in(&mut groups, page, Timestamp(ASKED.0 - 5_000));
        let short = groups
            .iter()
            .map(|(guid, g)| (guid.as_str(), g.newest, ASKED.0 - g.first.0, g.arrived));
        assert_eq!(short.collect::<Vec<_>>(), [("a", 9, 5_000, false), ("b", 8, 4_000, true)]);
    }

    #[test]
    fn a_time_in_the_future_is_now() {
        let read = attempt(&entry(1, "a", "2099-01-01T00:00:00Z", 500), ASKED);
        assert_eq!(read.map(|attempt| attempt.at), Some(ASKED));
    }

    #[test]
    fn an_entry_without_what_is_needed_is_none() {
        for (field, value) in [
            ("id", json!("7")),
            ("id", json!(-7)),
            ("guid", json!("")),
            ("guid", json!(7)),
            ("delivered_at", json!("yesterday")),
            ("delivered_at", json!("-000001-01-01T00:00:00Z")),
            ("delivered_at", Value::Null),
        ] {
            let mut entry = entry(1, "a", "2026-11-23T15:04:03Z", 500);
            entry[field] = value.clone();
            assert_eq!(attempt(&entry, ASKED), None, "{field}: {value}");
        }
        assert_eq!(attempt(&json!(5), ASKED), None);
    }

    #[test]
    fn only_what_flint_acts_on_is_worth_a_call() {
        let useful = |field: &str, value: Value| {
            let mut entry = entry(1, "a", "2026-11-23T15:04:03Z", 500);
            entry[field] = value;
            attempt(&entry, ASKED).expect("it can be read").useful
        };
        assert!(useful("action", json!("completed")) && useful("action", Value::Null));
        assert!(!useful("action", json!("waiting")) && !useful("event", json!("push")));
    }

    #[test]
    fn a_request_for_another_app_is_known_by_its_headers() {
        let other = |headers: Value, ours: Value| is_other_app(&headers, &ours);
        let target = |id: Value| {
            json!({ "X-GitHub-Hook-Installation-Target-ID": id,
                "x-github-hook-installation-target-type": "integration" })
        };
        assert!(other(target(json!("1234569")), json!(123_456)));
        assert!(!other(target(json!("123456")), json!(123_456)));
        assert!(!other(target(json!(123_456)), json!("123456")));
        assert!(
            !other(target(json!("123456")), Value::Null),
            "the server does not say which is ours"
        );
        assert!(!other(json!({}), json!(1)) && !other(Value::Null, json!(1)));
    }
}
