//! Sets, sessions and registrations of runners: what a token of the service is good for.

use super::super::clock::millis;
use super::super::jit;
use super::super::page::Asked;
use super::super::rest::{self, Names};
use super::super::server::{Shared, random_id};
use super::super::state;
use super::access::service;
use super::sets::{Session, Set};
use super::{Refused, answer, bad, no_session, no_set, refusal, show};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use std::sync::Arc;

type App = State<Arc<Shared>>;

pub(super) async fn group(
    State(shared): App,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    answer(service(&shared, &headers).map(|scope| {
        let wanted = asked.get("groupName").map(String::as_str).unwrap_or_default();
        // A repository has no groups but GitHub's own one.
        let fits = |id: u64, name: &str| {
            name.eq_ignore_ascii_case(wanted) && (id == 1 || rest::repository(&scope).is_none())
        };
        let found: Vec<Value> = shared.look(|state| {
            let groups = state.org.groups.values().filter(|group| fits(group.id, &group.name));
            let shown = |id: u64, name: &str| {
                json!({ "id": id, "name": name, "size": 0, "isDefaultGroup": id == 1 })
            };
            groups.map(|group| shown(group.id, &group.name)).collect()
        });
        list(&found)
    }))
}

pub(super) async fn find(
    State(shared): App,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    answer(service(&shared, &headers).map(|scope| {
        let group = asked.get("runnerGroupId").and_then(|id| id.parse::<u64>().ok());
        let name = asked.get("name");
        let fits = |set: &&Set| {
            set.scope == scope
                && group.is_none_or(|group| set.group == group)
                && name.is_none_or(|name| set.name.eq_ignore_ascii_case(name))
        };
        let found: Vec<Value> = shared.look(|state| {
            state.sets.all.values().filter(fits).map(|set| show::set(state, set)).collect()
        });
        list(&found)
    }))
}

pub(super) async fn create(State(shared): App, headers: HeaderMap, body: String) -> Response {
    answer(service(&shared, &headers).and_then(|scope| {
        let body = parse(&body)?;
        let name = body["name"].as_str().filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| bad("name"))?;
        let group = body["runnerGroupId"].as_u64().unwrap_or(1);
        let labels = labels(&body)?.ok_or_else(|| bad("labels"))?;
        shared.change(|state, now| {
            if !state.org.groups.contains_key(&group) {
                return Err(bad("runnerGroupId"));
            }
            let same = |set: &Set| {
                set.scope == scope && set.group == group && set.name.eq_ignore_ascii_case(name)
            };
            if state.sets.all.values().any(same) {
                let message = "A runner scale set with that name exists in the group.";
                return Err(refusal(409, "RunnerScaleSetExistsException", message));
            }
            let id = state.number();
            let mut made = Set::new(id, scope.clone(), name, group);
            (made.labels, made.created) = (labels, now);
            state.sets.all.insert(id, made);
            Ok(state.sets.all.get(&id).map(|set| show::set(state, set)).unwrap_or_default())
        })
    }))
}

pub(super) async fn read(
    State(shared): App,
    Path(names): Path<Names>,
    headers: HeaderMap,
) -> Response {
    answer(service(&shared, &headers).and_then(|scope| {
        shared.look(|state| {
            let set = number(&names).and_then(|id| state.sets.all.get(&id));
            let set = set.filter(|set| set.scope == scope).ok_or_else(no_set)?;
            Ok(show::set(state, set))
        })
    }))
}

pub(super) async fn update(
    State(shared): App,
    Path(names): Path<Names>,
    headers: HeaderMap,
    body: String,
) -> Response {
    answer(service(&shared, &headers).and_then(|scope| {
        let body = parse(&body)?;
        let labels = labels(&body)?;
        shared.change(|state, _| {
            let set = of(state, &scope, &names)?;
            set.labels = labels.unwrap_or_else(|| set.labels.clone());
            let id = set.id;
            Ok(state.sets.all.get(&id).map(|set| show::set(state, set)).unwrap_or_default())
        })
    }))
}

pub(super) async fn open(
    State(shared): App,
    Path(names): Path<Names>,
    headers: HeaderMap,
    body: String,
) -> Response {
    answer(service(&shared, &headers).and_then(|scope| {
        let owner = parse(&body)?["ownerName"].as_str().unwrap_or_default().to_owned();
        let (life, lapses) = (millis(shared.config.queue_life), millis(shared.config.session));
        let session = shared.change(|state, now| {
            let set = of(state, &scope, &names)?;
            let held = set.session.as_ref().filter(|held| now < held.seen + lapses);
            if let Some(held) = held {
                let message = format!(
                    "The runner scale set already has an active session for {}.",
                    held.owner
                );
                return Err(refusal(409, "RunnerScaleSetSessionConflictException", &message));
            }
            let (id, expires) = (random_id(), now + life);
            let token = jit::token_until(&id, expires / 1000);
            set.session = Some(Session { id, owner, token: token.clone(), expires, seen: now });
            let id = set.id;
            state.secrets.push(token);
            Ok(id)
        })?;
        shared.look(|state| show::session(&shared.config, state, session).ok_or_else(no_set))
    }))
}

pub(super) async fn refresh(
    State(shared): App,
    Path(names): Path<Names>,
    headers: HeaderMap,
) -> Response {
    answer(service(&shared, &headers).and_then(|scope| {
        let life = millis(shared.config.queue_life);
        let set = shared.change(|state, now| {
            let set = of(state, &scope, &names)?;
            let session =
                set.session.as_mut().filter(|held| Some(&held.id) == names.get("session"));
            let session = session.ok_or_else(no_session)?;
            (session.expires, session.seen) = (now + life, now);
            session.token = jit::token_until(&session.id, session.expires / 1000);
            let (id, token) = (set.id, session.token.clone());
            state.secrets.push(token);
            Ok(id)
        })?;
        shared.look(|state| show::session(&shared.config, state, set).ok_or_else(no_set))
    }))
}

pub(super) async fn close(
    State(shared): App,
    Path(names): Path<Names>,
    headers: HeaderMap,
) -> Response {
    let closed = service(&shared, &headers).and_then(|scope| {
        shared.change(|state, _| {
            let set = of(state, &scope, &names)?;
            let held = set.session.take_if(|held| Some(&held.id) == names.get("session"));
            held.map(|_| ()).ok_or_else(no_session)
        })
    });
    closed.map_or_else(IntoResponse::into_response, |()| StatusCode::NO_CONTENT.into_response())
}

pub(super) async fn jit(
    State(shared): App,
    Path(names): Path<Names>,
    headers: HeaderMap,
    body: String,
) -> Response {
    answer(service(&shared, &headers).and_then(|scope| {
        let body = parse(&body)?;
        let name = body["name"].as_str().filter(|name| rest::is_name(name));
        let name = name.ok_or_else(|| bad("name"))?;
        let (id, labels, group) = shared.look(|state| {
            let set = number(&names).and_then(|id| state.sets.all.get(&id));
            let set = set.filter(|set| set.scope == scope).ok_or_else(no_set)?;
            Ok((set.id, set.labels.clone(), set.group))
        })?;
        let new = rest::New { name, labels, group, scope, set: Some(id) };
        let made = rest::register(&shared, new, body["workFolder"].as_str().unwrap_or("_work"));
        let taken = || refusal(409, "AgentExistsException", "A runner with that name exists.");
        let (shown, config) = made.ok_or_else(taken)?;
        let runner = json!({ "id": shown["id"], "name": shown["name"], "runnerScaleSetId": id });
        Ok(json!({ "runner": runner, "encodedJITConfig": config }))
    }))
}

fn parse(body: &str) -> Result<Value, Refused> {
    serde_json::from_str(body).map_err(|_| bad("the body is no JSON"))
}

/// `labels`, if they are given.
fn labels(body: &Value) -> Result<Option<Vec<String>>, Refused> {
    let Some(given) = body.get("labels") else { return Ok(None) };
    let name = |label: &Value| label["name"].as_str().filter(|l| !l.is_empty()).map(str::to_owned);
    let read = given.as_array().and_then(|labels| labels.iter().map(name).collect());
    read.map(Some).ok_or_else(|| bad("labels"))
}

fn list(value: &[Value]) -> Value {
    json!({ "count": value.len(), "value": value })
}

pub(super) fn number(names: &Names) -> Option<u64> {
    names.get("set")?.parse().ok()
}

/// The set that a call is about, if it is the caller's.
fn of<'a>(state: &'a mut state::State, scope: &str, names: &Names) -> Result<&'a mut Set, Refused> {
    let set = number(names).and_then(|id| state.sets.all.get_mut(&id));
    set.filter(|set| set.scope == scope).ok_or_else(no_set)
}
