//! Runner scale sets: a name that jobs ask for, one session that hears of them, and runners that get them.
//!
//! The calls are those of actions/scaleset, api-version 6.0-preview. Not modelled: assignments that are taken back
//! because no runner comes, deletion over the wire, and the calls about runners (the REST API has the same runners).

mod access;
mod manage;
mod queue;
mod sets;
mod show;
mod views;

pub(super) use sets::Sets;
pub use views::SetView;

use super::server::Shared;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post};
use serde_json::{Value, json};
use std::sync::Arc;

/// Where the service is, below the server.
const SERVICE: &str = "/actions-service";
const SETS: &str = "/actions-service/_apis/runtime/runnerscalesets";
/// Where message queues are.
const QUEUE: &str = "/actions-queue";

/// What is part of the REST API.
pub(super) fn rest_routes() -> Router<Arc<Shared>> {
    let mut routes = Router::new();
    for scope in ["/orgs/{owner}", "/repos/{owner}/{repo}", "/enterprises/{enterprise}"] {
        let path = format!("{scope}/actions/runners/registration-token");
        routes = routes.route(&path, post(access::registration));
    }
    routes.route("/actions/runner-registration", post(access::connect))
}

/// What is not.
pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route(&format!("{SERVICE}/_apis/runtime/runnergroups/"), get(manage::group))
        .route(SETS, get(manage::find).post(manage::create))
        .route(&format!("{SETS}/{{set}}"), get(manage::read).patch(manage::update))
        .route(&format!("{SETS}/{{set}}/sessions"), post(manage::open))
        .route(
            &format!("{SETS}/{{set}}/sessions/{{session}}"),
            patch(manage::refresh).delete(manage::close),
        )
        .route(&format!("{SETS}/{{set}}/generatejitconfig"), post(manage::jit))
        .route(&format!("{SETS}/{{set}}/acquirejobs"), post(queue::acquire))
        .route(&format!("{QUEUE}/{{set}}"), get(queue::poll))
        .route(&format!("{QUEUE}/{{set}}/{{message}}"), delete(queue::acknowledge))
}

/// What a call is called, by which faults choose.
pub(super) fn name(method: &str, path: &str) -> &'static str {
    let below = path.strip_prefix(SETS).or_else(|| path.strip_prefix(QUEUE));
    match (method, below.unwrap_or(path)) {
        ("GET", "/actions-service/_apis/runtime/runnergroups/") => "find-group",
        ("GET", "") => "find-set",
        ("POST", "") => "create-set",
        ("GET", "/{set}") if path.starts_with(QUEUE) => "poll-queue",
        ("GET", "/{set}") => "get-set",
        ("PATCH", "/{set}") => "update-set",
        ("POST", "/{set}/sessions") => "open-session",
        ("PATCH", "/{set}/sessions/{session}") => "refresh-session",
        ("DELETE", "/{set}/sessions/{session}") => "close-session",
        ("POST", "/{set}/generatejitconfig") => "set-jit",
        ("POST", "/{set}/acquirejobs") => "acquire-jobs",
        ("DELETE", "/{set}/{message}") => "acknowledge-message",
        _ => "other",
    }
}

/// These calls are on no budget that GitHub tells of; they are only counted.
pub(super) async fn count(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let name = super::calls::name(&request);
    shared.ledger(|ledger| ledger.count(name));
    shared.wake();
    next.run(request).await
}

/// A refusal as the service says it.
struct Refused {
    status: u16,
    kind: &'static str,
    message: String,
}

impl IntoResponse for Refused {
    /// With a byte order mark in front, which the service's callers have to expect.
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = json!({ "typeName": self.kind, "message": self.message });
        let form = [(header::CONTENT_TYPE, "application/json; charset=utf-8")];
        (status, form, format!("\u{feff}{body}")).into_response()
    }
}

fn refusal(status: u16, kind: &'static str, message: &str) -> Refused {
    Refused { status, kind, message: message.to_owned() }
}

fn no_set() -> Refused {
    refusal(
        404,
        "RunnerScaleSetNotFoundException",
        "No runner scale set found with that identifier.",
    )
}

fn no_session() -> Refused {
    let message = "The runner scale set session does not exist.";
    refusal(404, "RunnerScaleSetSessionNotFoundException", message)
}

fn unauthorized() -> Refused {
    refusal(401, "VssUnauthorizedException", "The token has expired or is not known.")
}

fn bad(message: &str) -> Refused {
    refusal(400, "ArgumentException", message)
}

/// The one shape of these calls: a JSON answer, or a refusal.
fn answer(result: Result<Value, Refused>) -> Response {
    result.map_or_else(IntoResponse::into_response, |value| axum::Json(value).into_response())
}
