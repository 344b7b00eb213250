//! What the server knows of scale sets, and the rules by which jobs come to them. No I/O; the time is told.

use super::super::state::{Job, Millis, Stage, State, covers};
use std::collections::BTreeMap;
use std::ops::Bound;

/// GitHub sends about so many in one message.
const BATCH: usize = 50;

/// All of it.
#[derive(Default)]
pub(in super::super) struct Sets {
    pub(super) all: BTreeMap<u64, Set>,
    /// Registration tokens: for which scope, and until when.
    pub(super) registrations: BTreeMap<String, (String, Millis)>,
    /// Tokens of the service, the same.
    pub(super) services: BTreeMap<String, (String, Millis)>,
}

/// A scale set.
pub(super) struct Set {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) scope: String,
    pub(super) group: u64,
    pub(super) labels: Vec<String>,
    pub(super) created: Millis,
    pub(super) session: Option<Session>,
    /// As the last poll said.
    pub(super) capacity: usize,
    /// Jobs that it may claim.
    pub(super) offered: BTreeMap<u64, Millis>,
    /// Jobs that are its own until they end.
    pub(super) assigned: BTreeMap<u64, Millis>,
    /// What no message tells yet.
    pending: Vec<Event>,
    /// Messages that are not acknowledged.
    pub(super) messages: BTreeMap<u64, Vec<Event>>,
    last_message: u64,
}

/// Who hears of its jobs.
pub(super) struct Session {
    pub(super) id: String,
    pub(super) owner: String,
    pub(super) token: String,
    pub(super) expires: Millis,
    /// When its owner last did something.
    pub(super) seen: Millis,
}

/// What happened to a job.
#[derive(Clone)]
pub(super) struct Event {
    pub(super) kind: Kind,
    pub(super) job: Job,
    /// Since when it is the set's.
    pub(super) since: Option<Millis>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Available,
    Assigned,
    Started,
    Completed,
}

impl Sets {
    /// The set that has a job, or may claim it.
    pub(in super::super) fn holder(&self, job: u64) -> Option<u64> {
        let has = |set: &&Set| set.assigned.contains_key(&job) || set.offered.contains_key(&job);
        self.all.values().find(has).map(|set| set.id)
    }

    /// What becomes of a job, by the name of the webhook that tells it.
    pub(in super::super) fn hear(&mut self, action: &str, job: &Job) {
        let Some(set) = self.holder(job.id).and_then(|id| self.all.get_mut(&id)) else {
            return;
        };
        let since = set.assigned.get(&job.id).copied();
        let kind = match action {
            "in_progress" => Kind::Started,
            "completed" => Kind::Completed,
            "waiting" => return set.lose(job.id),
            _ => return,
        };
        if kind == Kind::Completed {
            set.lose(job.id);
        }
        if since.is_some() {
            set.pending.push(Event { kind, job: job.clone(), since });
        }
    }
}

impl State {
    /// Gives queued jobs to a set, as many as it may have. With `offers` it has to claim them first.
    pub(super) fn distribute(&mut self, set: u64, offers: bool, now: Millis) {
        let jobs = &self.jobs;
        if let Some(set) = self.sets.all.get_mut(&set) {
            set.assigned.retain(|id, _| jobs.contains_key(id));
            set.offered.retain(|id, _| jobs.contains_key(id));
        }
        while let Some(job) = self.next_for(set, offers).cloned() {
            let Some(set) = self.sets.all.get_mut(&set) else { return };
            if offers {
                set.offered.insert(job.id, now);
                set.pending.push(Event { kind: Kind::Available, job, since: None });
            } else {
                set.assign(job, now);
            }
        }
    }

    /// The oldest queued job that a set could have now.
    pub(super) fn next_for(&self, set: u64, offers: bool) -> Option<&Job> {
        let set = self.sets.all.get(&set)?;
        if !offers && set.assigned.len() >= set.capacity {
            return None;
        }
        let fits = |job: &&Job| {
            job.stage == Stage::Queued
                && self.sets.holder(job.id).is_none()
                && set.is_asked_by(&job.spec.labels)
                && self.reaches(&set.scope, set.group, job)
        };
        self.queued.iter().filter_map(|id| self.jobs.get(id)).find(fits)
    }

    /// A set claims jobs that it was offered. Gives those that are now its own.
    pub(super) fn claim(&mut self, set: u64, jobs: &[u64], now: Millis) -> Vec<u64> {
        let Some(set) = self.sets.all.get_mut(&set) else { return Vec::new() };
        let mut won = Vec::new();
        for id in jobs.iter().filter(|id| set.offered.contains_key(id)).copied().collect::<Vec<_>>()
        {
            set.offered.remove(&id);
            if let Some(job) = self.jobs.get(&id).cloned() {
                set.assign(job, now);
                won.push(id);
            }
        }
        won
    }
}

impl Set {
    pub(super) fn new(id: u64, scope: String, name: &str, group: u64) -> Self {
        Set {
            id,
            name: name.to_owned(),
            scope,
            group,
            labels: Vec::new(),
            created: 0,
            session: None,
            capacity: 0,
            offered: BTreeMap::new(),
            assigned: BTreeMap::new(),
            pending: Vec::new(),
            messages: BTreeMap::new(),
            last_message: 0,
        }
    }

    /// Some of its labels ask for it. Its name does not, unless it is one of them.
    fn is_asked_by(&self, labels: &[String]) -> bool {
        !labels.is_empty() && covers(&self.labels, labels)
    }

    fn assign(&mut self, job: Job, now: Millis) {
        self.assigned.insert(job.id, now);
        self.pending.push(Event { kind: Kind::Assigned, job, since: Some(now) });
    }

    fn lose(&mut self, job: u64) {
        self.assigned.remove(&job);
        self.offered.remove(&job);
    }

    /// The session with this token, while that is good.
    pub(super) fn session_of(&self, token: &str, now: Millis) -> Option<&Session> {
        self.session.as_ref().filter(|session| session.token == token && now < session.expires)
    }

    /// Whether there is a message after this one.
    pub(super) fn has_news(&self, last: u64) -> bool {
        !self.pending.is_empty() || self.after(last).is_some()
    }

    /// The message after this one. What no message tells yet becomes one.
    pub(super) fn message(&mut self, last: u64) -> Option<(u64, Vec<Event>)> {
        if self.after(last).is_none() && !self.pending.is_empty() {
            let batch = self.pending.drain(..self.pending.len().min(BATCH)).collect();
            self.last_message = self.last_message.max(last) + 1;
            self.messages.insert(self.last_message, batch);
        }
        self.after(last)
    }

    fn after(&self, last: u64) -> Option<(u64, Vec<Event>)> {
        let mut later = self.messages.range((Bound::Excluded(last), Bound::Unbounded));
        later.next().map(|(id, events)| (*id, events.clone()))
    }
}
