//! Carries faults out, between the books and the conditional requests.

use super::broken::Broken;
use super::calls;
use super::faults::{FaultKind, Faults};
use super::gate::Arrived;
use super::page::{Asked, link};
use super::server::Shared;
use super::state::Millis;
use axum::body::{Body, to_bytes};
use axum::extract::{Query, Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) async fn meddle(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let arrived = request.extensions().get::<Arrived>().copied();
    let name = calls::name(&request);
    let fault = shared.faults(|faults| faults.take(name, arrived.is_some()));
    let Some(fault) = fault else {
        return next.run(request).await;
    };
    if let FaultKind::Status { status, message, headers, error_kind } = fault {
        return instead(status, &message, &headers, &error_kind);
    }
    let (uri, arrived) = (request.uri().clone(), arrived.map_or(shared.clock.now(), |at| at.0));
    let response = next.run(request).await;
    bend(&shared, fault, response, &uri, arrived).await
}

fn instead(
    status: u16,
    message: &str,
    headers: &BTreeMap<String, String>,
    error_kind: &str,
) -> Response {
    let body = json!({ "message": message, "errorMessage": message, "errorKind": error_kind,
        "error": "server_error", "statusCode": status });
    let mut response = (code(status), axum::Json(body)).into_response();
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// What becomes of the answer to a call that was carried out.
async fn bend(
    shared: &Shared,
    fault: FaultKind,
    mut response: Response,
    uri: &Uri,
    arrived: Millis,
) -> Response {
    match fault {
        FaultKind::Status { .. } => response,
        FaultKind::Garbage => (response.status(), "<html>it works</html>").into_response(),
        FaultKind::Empty => response.status().into_response(),
        FaultKind::Says { at, value } => say(response, &at, value).await,
        FaultKind::Cut => {
            let status = response.status();
            let whole = to_bytes(response.into_body(), usize::MAX).await.unwrap_or_default();
            (status, Body::new(Broken::half_of(&whole))).into_response()
        }
        FaultKind::Lost { status } => {
            (code(status), "<html>the upstream has gone</html>").into_response()
        }
        FaultKind::Late { after_ms } => {
            shared.clock.until(arrived.saturating_add(after_ms)).await;
            response
        }
        FaultKind::Busy { says } => say_busy(response, says).await,
        FaultKind::Endless => {
            if !response.headers().contains_key(header::LINK) {
                lead_to(shared, &mut response, uri, &format!("v1_{}", u64::MAX));
            }
            mark_cursor(&mut response, shared.faults(Faults::mark));
            response
        }
        FaultKind::SameCursor => {
            lead_to(shared, &mut response, uri, &format!("v1_{}", u64::MAX));
            response
        }
    }
}

/// Makes the page under this cursor the next one.
fn lead_to(shared: &Shared, response: &mut Response, uri: &Uri, cursor: &str) {
    let asked = Query::<Asked>::try_from_uri(uri).map(|Query(asked)| asked).unwrap_or_default();
    let link = link(&shared.config.public_url, uri.path(), &asked, "cursor", cursor);
    if let Ok(link) = HeaderValue::from_str(&link) {
        response.headers_mut().insert(header::LINK, link);
    }
}

/// The same page under another cursor: it is the last word of the link.
fn mark_cursor(response: &mut Response, mark: u64) {
    let link = response.headers().get(header::LINK).and_then(|link| link.to_str().ok());
    let link = link.map(|link| link.replacen('>', &format!("_{mark}>"), 1));
    if let Some(link) = link.and_then(|link| HeaderValue::from_str(&link).ok()) {
        response.headers_mut().insert(header::LINK, link);
    }
}

/// Puts a value into the answer, where there is a field for it.
async fn say(response: Response, at: &str, said: Value) -> Response {
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let Ok(mut value) = serde_json::from_slice::<Value>(&bytes) else {
        return Response::from_parts(parts, bytes.into());
    };
    if let Some(field) = value.pointer_mut(at) {
        *field = said;
    }
    (parts.status, axum::Json(value)).into_response()
}

/// Says of every runner in the answer that it is busy, or that it is not.
async fn say_busy(response: Response, says: bool) -> Response {
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let Ok(mut value) = serde_json::from_slice::<Value>(&bytes) else {
        return Response::from_parts(parts, bytes.into());
    };
    let lie = |runner: &mut Value| runner["busy"] = says.into();
    if let Some(runners) = value.get_mut("runners").and_then(Value::as_array_mut) {
        runners.iter_mut().for_each(lie);
    } else if value.get("busy").is_some() {
        lie(&mut value);
    }
    (parts.status, axum::Json(value)).into_response()
}

fn code(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
