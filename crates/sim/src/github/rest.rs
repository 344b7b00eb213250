//! GitHub's REST API, as far as a coordinator needs it to have runners: the App, tokens, registrations.

use super::jit;
use super::page::{Asked, Listed, Page};
use super::reply::Reply;
use super::server::{Shared, random_id};
use super::state::Runner;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

type App = State<Arc<Shared>>;
/// What a personal access token begins with.
pub(super) const PERSONAL: &str = "ghp_";
/// What the path of a call names.
pub(super) type Names = BTreeMap<String, String>;
/// What a call is answered with.
pub(super) type Answer = (StatusCode, Reply);

pub(super) fn routes() -> Router<Arc<Shared>> {
    let mut routes = Router::new();
    for scope in ["/orgs/{owner}", "/repos/{owner}/{repo}"] {
        routes = routes
            .route(&format!("{scope}/actions/runners"), get(list))
            .route(&format!("{scope}/actions/runners/generate-jitconfig"), post(generate))
            .route(&format!("{scope}/actions/runners/{{id}}"), get(one).delete(delete));
    }
    routes
}

async fn generate(
    State(shared): App,
    Path(names): Path<Names>,
    headers: HeaderMap,
    body: String,
) -> Answer {
    answer(try_generate(&shared, &names, &headers, &body))
}

fn try_generate(
    shared: &Shared,
    names: &Names,
    headers: &HeaderMap,
    body: &str,
) -> Result<(StatusCode, Value), Answer> {
    as_installation(shared, headers)?;
    let scope = scope(shared, names)?;
    let body: Value =
        serde_json::from_str(body).map_err(|_| refusal(400, "Problems parsing JSON"))?;
    let name = body["name"].as_str().unwrap_or_default();
    if !is_name(name) {
        return Err(refusal(422, "Validation Failed: name"));
    }
    // A repository has no groups but GitHub's own one.
    let known = |group: &u64| match names.get("repo") {
        Some(_) => *group == 1,
        None => shared.look(|state| state.org.groups.contains_key(group)),
    };
    let group = body["runner_group_id"].as_u64().filter(known);
    let group = group.ok_or_else(|| refusal(422, "Validation Failed: runner_group_id"))?;
    let labels = labels(&body).ok_or_else(|| refusal(422, "Validation Failed: labels"))?;
    let work_folder = body["work_folder"].as_str().unwrap_or("_work");
    let runner = New { name, labels, group, scope, set: None };
    let made = register(shared, runner, work_folder);
    let taken = || refusal(409, "Already exists - A runner with the name already exists.");
    let made = made.map(|(shown, config)| json!({ "runner": shown, "encoded_jit_config": config }));
    made.map(|made| (StatusCode::CREATED, made)).ok_or_else(taken)
}

/// Whether a runner may have this name.
pub(super) fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.len() <= 64 && name.chars().all(plain)
}

/// A runner to be.
pub(super) struct New<'a> {
    pub(super) name: &'a str,
    pub(super) labels: Vec<String>,
    pub(super) group: u64,
    pub(super) scope: String,
    pub(super) set: Option<u64>,
}

/// Makes a runner and its one-job registration. None: another one has its name.
pub(super) fn register(
    shared: &Shared,
    new: New<'_>,
    work_folder: &str,
) -> Option<(Value, String)> {
    shared.change(|state, _| {
        let is_it = |r: &Runner| r.name == new.name && r.scope == new.scope && !r.spent;
        if state.runners.values().any(is_it) {
            return None;
        }
        let runner = Runner {
            id: state.number(),
            name: new.name.to_owned(),
            labels: new.labels,
            group: new.group,
            scope: new.scope,
            set: new.set,
            client_id: random_id(),
            session: None,
            idle: None,
            job: None,
            messages: VecDeque::new(),
            spent: false,
        };
        let config = jit::encode(shared, &runner, work_folder);
        let shown = show(&runner);
        state.secrets.push(config.clone());
        state.runners.insert(runner.id, runner);
        Some((shown, config))
    })
}

fn labels(body: &Value) -> Option<Vec<String>> {
    let items = body["labels"].as_array().filter(|items| (1..=100).contains(&items.len()))?;
    let fits =
        |item: &Value| item.as_str().filter(|l| (1..=256).contains(&l.len())).map(str::to_owned);
    items.iter().map(fits).collect()
}

async fn list(
    State(shared): App,
    Path(names): Path<Names>,
    Query(asked): Query<Asked>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let found = as_installation(&shared, &headers).and_then(|()| scope(&shared, &names));
    let listed = found.map(|scope| {
        let (wanted, page) = (asked.get("name"), Page::of(&asked));
        let (total, (shown, more)) = shared.look(|state| {
            let mine = |r: &&Runner| {
                r.scope == scope && !r.spent && wanted.is_none_or(|name| *name == r.name)
            };
            let mine: Vec<&Runner> = state.runners.values().filter(mine).collect();
            (mine.len(), page.cut(mine.iter().map(|runner| show(runner))))
        });
        let body = json!({ "total_count": total, "runners": shown });
        Listed::new(&shared, uri.path(), &asked, body, more.then(|| page.next()))
    });
    listed.map_or_else(axum::response::IntoResponse::into_response, Listed::into_response)
}

async fn one(State(shared): App, Path(names): Path<Names>, headers: HeaderMap) -> Answer {
    let found = as_installation(&shared, &headers).and_then(|()| {
        let id = runner_id(&names)?;
        let shown = shared.look(|state| state.runners.get(&id).filter(|r| !r.spent).map(show));
        shown.map(|shown| (StatusCode::OK, shown)).ok_or_else(|| refusal(404, "Not Found"))
    });
    answer(found)
}

async fn delete(State(shared): App, Path(names): Path<Names>, headers: HeaderMap) -> Answer {
    let deleted = as_installation(&shared, &headers).and_then(|()| {
        let id = runner_id(&names)?;
        shared.change(|state, _| match state.runners.get(&id).filter(|runner| !runner.spent) {
            None => Err(refusal(404, "Not Found")),
            Some(runner) if runner.job.is_some() => Err(refusal(
                422,
                "Bad request - Runner is currently running a job and cannot be deleted.",
            )),
            Some(_) => {
                state.runners.remove(&id);
                Ok((StatusCode::NO_CONTENT, Value::Null))
            }
        })
    });
    answer(deleted)
}

fn show(runner: &Runner) -> Value {
    let label = |name: &String| json!({ "id": 0, "name": name, "type": "custom" });
    json!({
        "id": runner.id, "name": runner.name, "os": "unknown", "busy": runner.job.is_some(), "ephemeral": true,
        "status": if runner.session.is_some() { "online" } else { "offline" }, "runner_group_id": runner.group,
        "labels": runner.labels.iter().map(label).collect::<Vec<_>>(),
    })
}

fn runner_id(names: &Names) -> Result<u64, Answer> {
    names.get("id").and_then(|id| id.parse().ok()).ok_or_else(|| refusal(404, "Not Found"))
}

/// The scope's name, if the App is installed there.
pub(super) fn scope(shared: &Shared, names: &Names) -> Result<String, Answer> {
    let organization = &shared.config.organization;
    let missing = || refusal(404, "Not Found");
    names.get("owner").filter(|own| own.eq_ignore_ascii_case(organization)).ok_or_else(missing)?;
    let Some(name) = names.get("repo") else {
        return Ok(organization.clone());
    };
    let own = |state: &super::state::State| state.org.repository(name).map(|r| r.repo.name.clone());
    let own = shared.look(own).ok_or_else(missing)?;
    Ok(format!("{organization}/{own}"))
}

/// Verifies an App's JWT, whichever App it is.
pub(super) fn as_app(shared: &Shared, headers: &HeaderMap) -> Result<(), Answer> {
    super::apps::caller(shared, headers).map(drop)
}

pub(super) fn as_installation(shared: &Shared, headers: &HeaderMap) -> Result<(), Answer> {
    common(headers)?;
    let now = shared.clock.now();
    let known = |token: &str| {
        shared.look(|state| state.tokens.get(token).is_some_and(|expires| *expires > now))
    };
    if bearer(headers).is_some_and(known) { Ok(()) } else { Err(refusal(401, "Bad credentials")) }
}

/// What GitHub asks of every call.
pub(super) fn common(headers: &HeaderMap) -> Result<(), Answer> {
    let has = |name: &str| headers.get(name).is_some_and(|value| !value.is_empty());
    if !has("user-agent") {
        return Err(refusal(
            403,
            "Request forbidden by administrative rules. Please make sure your request has a User-Agent header",
        ));
    }
    let version = headers.get("x-github-api-version").and_then(|value| value.to_str().ok());
    match version {
        None | Some("2022-11-28" | "2026-03-10") => Ok(()),
        Some(_) => Err(refusal(400, "This API version is not supported")),
    }
}

pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get("authorization")?.to_str().ok()?.strip_prefix("Bearer ")
}

/// Whether a person calls, and no App.
pub(super) fn is_personal(headers: &HeaderMap) -> bool {
    bearer(headers).is_some_and(|token| token.starts_with(PERSONAL))
}

pub(super) fn refusal(status: u16, message: &str) -> Answer {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (
        status,
        Reply(json!({ "message": message, "documentation_url": "https://docs.github.com/rest" })),
    )
}

pub(super) fn answer(result: Result<(StatusCode, Value), Answer>) -> Answer {
    result.map_or_else(|refusal| refusal, |(status, body)| (status, Reply(body)))
}
