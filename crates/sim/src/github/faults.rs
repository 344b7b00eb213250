//! Makes chosen calls go wrong: the next N of a route answer something else, too late, or not at all.

use super::server::Shared;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Bytes, Frame};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Which call: `installation`, `access-tokens`, `generate-jitconfig`, `list-runners`, `delete-runner`,
    /// `deliveries`, `token`, `session`, `message`, `acknowledge`, `acquirejob`, `renewjob`, `completejob`.
    pub route: String,
    /// For how many calls.
    pub times: u32,
    /// What happens.
    #[serde(flatten)]
    pub kind: FaultKind,
}

/// What happens to a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum FaultKind {
    /// Not carried out; answered with this status.
    Status {
        /// The HTTP status.
        status: u16,
        /// The answer's `message`.
        #[serde(default)]
        message: String,
        /// More headers.
        #[serde(default)]
        headers: BTreeMap<String, String>,
        /// `errorKind`, as the broker names its errors.
        #[serde(default)]
        error_kind: String,
    },
    /// Carried out; the answer is a success that is no JSON.
    Garbage,
    /// Carried out; the connection breaks before the answer is whole.
    Cut,
    /// Carried out; the answer comes after so many milliseconds.
    Late {
        /// Milliseconds.
        after_ms: u64,
    },
}

impl FaultKind {
    /// Only a status.
    #[must_use]
    pub fn status(status: u16, message: &str) -> Self {
        let (message, headers, error_kind) = (message.to_owned(), BTreeMap::new(), String::new());
        FaultKind::Status { status, message, headers, error_kind }
    }
}

pub(super) async fn meddle(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let name = route(request.method(), request.uri().path());
    let fault = name.and_then(|name| shared.take_fault(name));
    match fault {
        None => next.run(request).await,
        Some(FaultKind::Status { status, message, headers, error_kind }) => {
            let body = serde_json::json!({ "message": message, "errorMessage": message, "errorKind": error_kind,
                "error": "server_error", "statusCode": status });
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = (status, axum::Json(body)).into_response();
            for (name, value) in &headers {
                if let (Ok(name), Ok(value)) =
                    (name.parse::<HeaderName>(), HeaderValue::from_str(value))
                {
                    response.headers_mut().insert(name, value);
                }
            }
            response
        }
        Some(FaultKind::Garbage) => {
            let status = next.run(request).await.status();
            (status, "<html>it works</html>").into_response()
        }
        Some(FaultKind::Cut) => {
            let status = next.run(request).await.status();
            (status, Body::new(Broken)).into_response()
        }
        Some(FaultKind::Late { after_ms }) => {
            let response = next.run(request).await;
            tokio::time::sleep(Duration::from_millis(after_ms)).await;
            response
        }
    }
}

fn route(method: &Method, path: &str) -> Option<&'static str> {
    let path = path.trim_end_matches('/');
    let last = path.rsplit('/').next().unwrap_or_default();
    let known = [
        "access_tokens",
        "generate-jitconfig",
        "token",
        "session",
        "message",
        "acknowledge",
        "acquirejob",
    ];
    if last == "access_tokens" {
        return Some("access-tokens");
    }
    if let Some(name) =
        known.into_iter().chain(["renewjob", "completejob", "installation"]).find(|n| *n == last)
    {
        return Some(name);
    }
    match (method, path) {
        (&Method::DELETE, path) if path.contains("/actions/runners/") => Some("delete-runner"),
        (&Method::GET, path) if path.ends_with("/actions/runners") => Some("list-runners"),
        (_, path) if path.contains("/hook/deliveries") => Some("deliveries"),
        _ => None,
    }
}

/// A body that breaks after its first bytes.
struct Broken;

impl hyper::body::Body for Broken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::ConnectionReset, "cut on purpose"))))
    }
}
