//! Routes under `/_sim/`, which no GitHub has: queue, watch and cancel jobs, make calls go wrong.

use super::faults::{Fault, Faults};
use super::hooks::{HookFault, HookRates};
use super::limits::{Counters, Limits};
use super::org::Kind;
use super::server::Shared;
use super::state::{Job, JobView, Runner, RunnerView, State, Tally};
use axum::extract;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

type App = extract::State<Arc<Shared>>;

#[derive(Deserialize)]
struct HookRule {
    kind: HookFault,
    times: u32,
}

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/_sim/jobs", get(jobs).post(queue))
        .route("/_sim/jobs/{id}", get(job))
        .route("/_sim/jobs/{id}/cancel", post(cancel))
        .route("/_sim/jobs/{id}/log", get(log).post(add_log))
        .route("/_sim/runners", get(runners))
        .route("/_sim/deliveries", get(deliveries))
        .route("/_sim/faults", post(fault).delete(no_faults))
        .route("/_sim/hooks", post(hook_fault))
        .route("/_sim/hooks/rates", put(hook_rates))
        .route("/_sim/repositories/{name}", put(add_repository))
        .route("/_sim/tally", get(tally))
        .route("/_sim/counters", get(counters))
        .route("/_sim/limits", put(limits))
}

/// The body is the text of a workflow file; `?repository=NAME` is where it runs.
async fn queue(
    extract::State(shared): App,
    Query(query): Query<BTreeMap<String, String>>,
    body: String,
) -> (StatusCode, Json<Value>) {
    let repository = query.get("repository").unwrap_or(&shared.config.repository);
    match shared.queue(repository, &body, false) {
        Ok(ids) => (StatusCode::CREATED, Json(json!({ "jobs": ids }))),
        Err(error) => {
            (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "message": format!("{error:#}") })))
        }
    }
}

async fn jobs(extract::State(shared): App) -> Json<Vec<JobView>> {
    Json(shared.look(|state| state.jobs.values().map(Job::view).collect()))
}

async fn job(
    extract::State(shared): App,
    Path(id): Path<u64>,
) -> Result<Json<JobView>, StatusCode> {
    shared
        .look(|state| state.jobs.get(&id).map(|job| Json(job.view())))
        .ok_or(StatusCode::NOT_FOUND)
}

async fn cancel(extract::State(shared): App, Path(id): Path<u64>) -> StatusCode {
    if shared.change(|state, now| state.cancel(id, now)) {
        StatusCode::ACCEPTED
    } else {
        StatusCode::CONFLICT
    }
}

async fn log(extract::State(shared): App, Path(id): Path<u64>) -> Result<String, StatusCode> {
    let text = |lines: &Vec<String>| lines.iter().map(|line| format!("{line}\n")).collect();
    let text = |state: &State| state.logs.get(&id).map(text).unwrap_or_default();
    let log = shared.look(|state| state.jobs.contains_key(&id).then(|| text(state)));
    log.ok_or(StatusCode::NOT_FOUND)
}

async fn add_log(extract::State(shared): App, Path(id): Path<u64>, body: String) -> StatusCode {
    let added = shared.change(|state, _| {
        let log = state.jobs.contains_key(&id).then(|| state.logs.entry(id).or_default())?;
        log.extend(body.lines().map(str::to_owned));
        Some(())
    });
    added.map_or(StatusCode::NOT_FOUND, |()| StatusCode::NO_CONTENT)
}

async fn runners(extract::State(shared): App) -> Json<Vec<RunnerView>> {
    let live =
        |state: &State| state.runners.values().filter(|r| !r.spent).map(Runner::view).collect();
    Json(shared.look(live))
}

async fn deliveries(extract::State(shared): App) -> Json<Value> {
    Json(shared.hooks.log(|log| json!(log.views().collect::<Vec<_>>())))
}

async fn fault(extract::State(shared): App, Json(fault): Json<Fault>) -> StatusCode {
    shared.faults(|faults| faults.add(fault));
    StatusCode::NO_CONTENT
}

async fn no_faults(extract::State(shared): App) -> StatusCode {
    shared.faults(Faults::clear);
    StatusCode::NO_CONTENT
}

async fn hook_fault(extract::State(shared): App, Json(rule): Json<HookRule>) -> StatusCode {
    shared.hooks.fault(rule.kind, rule.times);
    StatusCode::NO_CONTENT
}

async fn hook_rates(extract::State(shared): App, Json(rates): Json<HookRates>) -> StatusCode {
    shared.hooks.set_rates(rates);
    StatusCode::NO_CONTENT
}

async fn add_repository(extract::State(shared): App, Path(name): Path<String>) -> StatusCode {
    shared.change(|state, now| state.org.add_repository(&name, Kind::Private, now));
    StatusCode::NO_CONTENT
}

async fn tally(extract::State(shared): App) -> Json<Tally> {
    Json(shared.look(State::tally))
}

async fn counters(extract::State(shared): App) -> Json<Counters> {
    Json(shared.ledger(|ledger| ledger.counters.clone()))
}

async fn limits(extract::State(shared): App, Json(limits): Json<Limits>) -> StatusCode {
    shared.ledger(|ledger| ledger.set_limits(limits));
    StatusCode::NO_CONTENT
}
