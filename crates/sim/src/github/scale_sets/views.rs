//! What a test sees of scale sets, and what it may do to them that no call does.

use super::super::FakeGithub;
use super::super::state::State;
use super::sets::Set;
use serde::{Deserialize, Serialize};

/// A scale set as seen from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetView {
    /// GitHub's number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// The number of its runner group.
    pub group: u64,
    /// Its labels.
    pub labels: Vec<String>,
    /// Who holds its session, if anybody. One that lapsed counts until another is opened.
    pub owner: Option<String>,
    /// How many jobs it may have, as its last poll said.
    pub capacity: usize,
    /// Jobs that it may claim.
    pub offered: Vec<u64>,
    /// Jobs that are its own.
    pub assigned: Vec<u64>,
    /// Messages that were made and not acknowledged.
    pub unacknowledged: Vec<u64>,
}

impl FakeGithub {
    /// All scale sets.
    #[must_use]
    pub fn sets(&self) -> Vec<SetView> {
        self.shared.look(|state| state.sets.all.values().map(view).collect())
    }

    /// Deletes a scale set, as somebody does in GitHub's settings. False: there is none of that name.
    #[must_use]
    pub fn delete_scale_set(&self, name: &str) -> bool {
        self.shared.change(|state, _| {
            let id = named(state, name).map(|set| set.id);
            id.and_then(|id| state.sets.all.remove(&id)).is_some()
        })
    }

    /// Ends a set's session, as GitHub does by itself. False: it has none.
    #[must_use]
    pub fn expire_session(&self, name: &str) -> bool {
        self.shared
            .change(|state, _| named(state, name).and_then(|set| set.session.take()).is_some())
    }

    /// Ends the tokens of all message queues; their sessions stay.
    pub fn expire_queue_tokens(&self) {
        self.shared.change(|state, now| {
            let sessions = state.sets.all.values_mut().filter_map(|set| set.session.as_mut());
            sessions.for_each(|session| session.expires = now);
        });
    }

    /// Ends all tokens of the service, and all registration tokens.
    pub fn expire_service_tokens(&self) {
        self.shared.change(|state, _| {
            state.sets.services.clear();
            state.sets.registrations.clear();
        });
    }

    /// Lets a runner connect, and begin the job that it is offered, without its protocol. None: there is none for it.
    #[must_use]
    pub fn begin_job(&self, runner: &str) -> Option<u64> {
        self.shared.change(|state, now| {
            let found = state.runners.values_mut().find(|r| r.name == runner && !r.spent)?;
            found.session.get_or_insert_with(|| "by-hand".to_owned());
            let id = found.id;
            state.offer(id, now);
            let job = state.runners.get(&id)?.job?;
            state.acquire(id, job, now).then_some(job)
        })
    }

    /// Ends a job with this conclusion, without its runner's protocol.
    pub fn end_job(&self, job: u64, conclusion: &str) {
        self.shared.change(|state, now| state.complete(job, conclusion, now));
    }
}

fn named<'a>(state: &'a mut State, name: &str) -> Option<&'a mut Set> {
    state.sets.all.values_mut().find(|set| set.name.eq_ignore_ascii_case(name))
}

fn view(set: &Set) -> SetView {
    SetView {
        id: set.id,
        name: set.name.clone(),
        group: set.group,
        labels: set.labels.clone(),
        owner: set.session.as_ref().map(|session| session.owner.clone()),
        capacity: set.capacity,
        offered: set.offered.keys().copied().collect(),
        assigned: set.assigned.keys().copied().collect(),
        unacknowledged: set.messages.keys().copied().collect(),
    }
}
