//! What GitHub tells of the App's webhook: the list of attempts, one of them, and the wish to try again.

use super::hooks::Outgoing;
use super::log::{Attempt, HookView};
use super::page::{Asked, Listed, Page};
use super::rest::{Answer, answer, as_app, refusal};
use super::server::Shared;
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Router, extract};
use serde_json::{Value, json};
use std::sync::Arc;

type App = extract::State<Arc<Shared>>;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/app/hook/deliveries", get(list))
        .route("/app/hook/deliveries/{id}", get(one))
        .route("/app/hook/deliveries/{id}/attempts", post(redeliver))
}

async fn list(
    extract::State(shared): App,
    Query(asked): Query<Asked>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let found = as_app(&shared, &headers).and_then(|()| {
        let below = asked.get("cursor").map(|cursor| {
            // An attempt's number, and a mark if a fault put one there.
            let id = cursor.split('_').nth(1).and_then(|id| id.parse::<u64>().ok());
            id.ok_or_else(|| refusal(422, "Validation Failed: cursor"))
        });
        let below = below.transpose()?.unwrap_or(u64::MAX);
        let good = match asked.get("status").map(String::as_str) {
            None => None,
            Some("success") => Some(true),
            Some("failure") => Some(false),
            Some(_) => return Err(refusal(422, "Validation Failed: status")),
        };
        let wanted = |attempt: &&Attempt| {
            let ok = (200..300).contains(&attempt.view.status_code);
            attempt.view.id < below && good.is_none_or(|good| good == ok)
        };
        let now = shared.clock.now();
        let size = Page::of(&asked).size();
        let (page, more) = shared.hooks.log(|log| {
            let mut all = log.kept(now).filter(wanted).map(|attempt| &attempt.view);
            let page: Vec<HookView> = all.by_ref().take(size).cloned().collect();
            (page, all.next().is_some())
        });
        let last = page.last().filter(|_| more);
        let next = last.map(|last| ("cursor", format!("v1_{}", last.id)));
        Ok(Listed::new(&shared, uri.path(), &asked, json!(page), next))
    });
    found.map_or_else(axum::response::IntoResponse::into_response, Listed::into_response)
}

async fn one(extract::State(shared): App, Path(id): Path<u64>, headers: HeaderMap) -> Answer {
    let found = as_app(&shared, &headers).and_then(|()| {
        let now = shared.clock.now();
        let shown = shared.hooks.log(|log| log.get(id, now).map(show));
        shown.map(|shown| (StatusCode::OK, shown)).ok_or_else(|| refusal(404, "Not Found"))
    });
    answer(found)
}

/// The whole of it. A payload that is no JSON is shown as the text that it is.
fn show(attempt: &Attempt) -> Value {
    let text = || Value::from(&*attempt.view.payload);
    let payload = serde_json::from_str(&attempt.view.payload).unwrap_or_else(|_| text());
    let mut shown = json!(attempt.view);
    shown["request"] = json!({ "headers": attempt.headers, "payload": payload });
    shown["response"] = attempt.response.clone();
    shown
}

async fn redeliver(extract::State(shared): App, Path(id): Path<u64>, headers: HeaderMap) -> Answer {
    let asked = as_app(&shared, &headers).and_then(|()| {
        let now = shared.clock.now();
        let again = shared
            .hooks
            .log(|log| log.get(id, now).map(|attempt| Outgoing::again(&attempt.view, now)));
        shared.send(again.ok_or_else(|| refusal(404, "Not Found"))?);
        Ok((StatusCode::ACCEPTED, json!({})))
    });
    answer(asked)
}
