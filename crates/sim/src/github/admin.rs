//! Routes under `/_sim/`, which no GitHub has: queue, watch and cancel jobs, make calls go wrong.

use super::faults::Fault;
use super::hooks::HookFault;
use super::server::Shared;
use super::state::{JobView, RunnerView};
use super::workflow;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

type App = State<Arc<Shared>>;

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
}

/// The body is the text of a workflow file.
async fn queue(State(shared): App, body: String) -> (StatusCode, Json<Value>) {
    match workflow::parse(&body) {
        Ok(specs) => {
            let ids = shared.change(|state, now| state.queue(specs, now));
            (StatusCode::CREATED, Json(json!({ "jobs": ids })))
        }
        Err(error) => {
            (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "message": format!("{error:#}") })))
        }
    }
}

async fn jobs(State(shared): App) -> Json<Vec<JobView>> {
    Json(shared.look(|state| state.jobs.values().map(super::state::Job::view).collect()))
}

async fn job(State(shared): App, Path(id): Path<u64>) -> Result<Json<JobView>, StatusCode> {
    shared
        .look(|state| state.jobs.get(&id).map(|job| Json(job.view())))
        .ok_or(StatusCode::NOT_FOUND)
}

async fn cancel(State(shared): App, Path(id): Path<u64>) -> StatusCode {
    if shared.change(|state, now| state.cancel(id, now)) {
        StatusCode::ACCEPTED
    } else {
        StatusCode::CONFLICT
    }
}

async fn log(State(shared): App, Path(id): Path<u64>) -> Result<String, StatusCode> {
    let text = |job: &super::state::Job| job.log.iter().map(|line| format!("{line}\n")).collect();
    shared.look(|state| state.jobs.get(&id).map(text)).ok_or(StatusCode::NOT_FOUND)
}

async fn add_log(State(shared): App, Path(id): Path<u64>, body: String) -> StatusCode {
    let added = shared.change(|state, _| {
        let job = state.jobs.get_mut(&id)?;
        job.log.extend(body.lines().map(str::to_owned));
        Some(())
    });
    added.map_or(StatusCode::NOT_FOUND, |()| StatusCode::NO_CONTENT)
}

async fn runners(State(shared): App) -> Json<Vec<RunnerView>> {
    let live = |state: &super::state::State| {
        state.runners.values().filter(|r| !r.spent).map(super::state::Runner::view).collect()
    };
    Json(shared.look(live))
}

async fn deliveries(State(shared): App) -> Json<Value> {
    Json(json!(shared.hooks.sent()))
}

async fn fault(State(shared): App, Json(fault): Json<Fault>) -> StatusCode {
    shared.add_fault(fault);
    StatusCode::NO_CONTENT
}

async fn no_faults(State(shared): App) -> StatusCode {
    shared.clear_faults();
    StatusCode::NO_CONTENT
}

async fn hook_fault(State(shared): App, Json(rule): Json<HookRule>) -> StatusCode {
    shared.hooks.fault(rule.kind, rule.times);
    StatusCode::NO_CONTENT
}
