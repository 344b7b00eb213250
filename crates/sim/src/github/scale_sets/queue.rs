//! A scale set's messages: what a token of its queue is good for.

use super::super::page::Asked;
use super::super::rest::{Names, bearer};
use super::super::server::Shared;
use super::manage::number;
use super::{Refused, answer, bad, show, unauthorized};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use std::sync::Arc;

type App = State<Arc<Shared>>;

pub(super) async fn poll(
    State(shared): App,
    Path(names): Path<Names>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    let until = tokio::time::Instant::now() + shared.config.poll;
    let last = asked.get("lastMessageId").and_then(|id| id.parse().ok()).unwrap_or_default();
    let capacity = headers.get("x-scalesetmaxcapacity").and_then(|value| value.to_str().ok());
    let Some(capacity) = capacity.and_then(|value| value.parse().ok()) else {
        return bad("X-ScaleSetMaxCapacity is missing").into_response();
    };
    let mut changes = shared.changes();
    let begun = authorized(&shared, &names, &headers).inspect(|set| begin(&shared, *set, capacity));
    let set = match begun {
        Ok(set) => set,
        Err(refusal) => return refusal.into_response(),
    };
    loop {
        changes.borrow_and_update();
        if let Err(refusal) = authorized(&shared, &names, &headers) {
            return refusal.into_response();
        }
        if let Some(message) = next(&shared, set, last) {
            return axum::Json(message).into_response();
        }
        if tokio::time::timeout_at(until, changes.changed()).await.is_err() {
            return StatusCode::ACCEPTED.into_response();
        }
    }
}

/// Its owner lives, and says how much it can take.
fn begin(shared: &Shared, set: u64, capacity: usize) {
    shared.change(|state, now| {
        if let Some(set) = state.sets.all.get_mut(&set) {
            set.capacity = capacity;
            set.session.iter_mut().for_each(|session| session.seen = now);
        }
    });
}

/// The message after `last`. Changes wake every poll, so a look that finds nothing must not be one.
fn next(shared: &Shared, set: u64, last: u64) -> Option<Value> {
    let offers = shared.config.offers;
    let news = shared.look(|state| {
        let told = state.sets.all.get(&set).is_some_and(|set| set.has_news(last));
        told || state.next_for(set, offers).is_some()
    });
    if !news {
        return None;
    }
    let (id, events) = shared.try_change(|state, now| {
        state.distribute(set, offers, now);
        state.sets.all.get_mut(&set)?.message(last)
    })?;
    shared.look(|state| show::message(&shared.config, state, set, (id, &events)))
}

pub(super) async fn acknowledge(
    State(shared): App,
    Path(names): Path<Names>,
    headers: HeaderMap,
) -> Response {
    match authorized(&shared, &names, &headers) {
        Ok(set) => {
            let message = names.get("message").and_then(|id| id.parse::<u64>().ok());
            shared.change(|state, _| {
                let set = state.sets.all.get_mut(&set)?;
                set.messages.remove(&message?)
            });
            StatusCode::NO_CONTENT.into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}

pub(super) async fn acquire(
    State(shared): App,
    Path(names): Path<Names>,
    headers: HeaderMap,
    body: String,
) -> Response {
    answer(authorized(&shared, &names, &headers).and_then(|set| {
        let asked: Vec<u64> = serde_json::from_str(&body).map_err(|_| bad("no list of numbers"))?;
        let won = shared.change(|state, now| state.claim(set, &asked, now));
        Ok(json!({ "count": won.len(), "value": won }))
    }))
}

/// The set whose session the caller has.
fn authorized(shared: &Shared, names: &Names, headers: &HeaderMap) -> Result<u64, Refused> {
    let (now, token) = (shared.clock.now(), bearer(headers).unwrap_or_default());
    let set = number(names).filter(|id| {
        shared.look(|state| {
            state.sets.all.get(id).is_some_and(|set| set.session_of(token, now).is_some())
        })
    });
    set.ok_or_else(unauthorized)
}
