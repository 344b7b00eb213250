//! Conditional requests: what a reader knows already is answered with 304 and no body.

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::header::{ETAG, IF_NONE_MATCH, LINK};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use ring::digest::{Context, SHA256};

/// More than any answer here has: a page is at most 100 of something.
const LARGEST: usize = 64 * 1024 * 1024;

pub(super) async fn answer(request: Request, next: Next) -> Response {
    let known = request.headers().get(IF_NONE_MATCH).cloned();
    let reads = *request.method() == Method::GET;
    let response = next.run(request).await;
    if !reads || response.status() != StatusCode::OK {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, LARGEST).await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    // A page whose text is the same but that is no longer the last one has changed.
    let mut digest = Context::new(&SHA256);
    digest.update(parts.headers.get(LINK).map_or(&[], HeaderValue::as_bytes));
    digest.update(&bytes);
    let digest = digest.finish();
    let hex: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    // Weak, as GitHub's are.
    let tag = format!("W/\"{hex}\"");
    if let Ok(value) = HeaderValue::from_str(&tag) {
        parts.headers.insert(ETAG, value);
    }
    if known
        .as_ref()
        .and_then(|known| known.to_str().ok())
        .is_some_and(|known| matches(known, &tag))
    {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove("content-length");
        parts.headers.remove("content-type");
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, bytes.into())
}

/// Compared weakly: the marks of weakness do not count.
fn matches(known: &str, tag: &str) -> bool {
    let plain = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    known.split(',').any(|one| one.trim() == "*" || plain(one) == plain(tag))
}
