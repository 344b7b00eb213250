//! Makes chosen calls go wrong: the next N of a route answer something else, too late, or not at all.

use super::calls;
use super::dice::Dice;
use super::gate::Arrived;
use super::page::{Asked, link};
use super::server::Shared;
use super::state::Millis;
use axum::body::{Body, to_bytes};
use axum::extract::{Query, Request, State};
use axum::http::header::LINK;
use axum::http::{HeaderName, HeaderValue, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use hyper::body::{Bytes, Frame};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Which call. Of the REST API: `installation`, `access-tokens`, `generate-jitconfig`, `list-runners`, `get-runner`,
    /// `delete-runner`, `list-runs`, `list-jobs`, `get-job`, `runner-groups`, `list-repositories`, `deliveries`,
    /// `delivery`, `redeliver`; all of them: `rest`. Of the runner's protocol: `token`, `session`, `message`,
    /// `acknowledge`, `acquirejob`, `renewjob`, `completejob`.
    pub route: String,
    /// For how many calls.
    pub times: u32,
    /// How many in a thousand of those calls it hits; drawn from [`super::Config::seed`].
    #[serde(default = "always")]
    pub per_mille: u32,
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
    /// Carried out; answered with this status, as by a proxy that lost the answer.
    Lost {
        /// The HTTP status.
        status: u16,
    },
    /// Carried out; every runner in the answer is said to be busy, or not.
    Busy {
        /// What is said.
        says: bool,
    },
    /// Carried out; the list goes on where it ends: it begins anew, with a cursor that was never given before.
    Endless,
    /// Carried out; the page that follows is always under the same cursor, and that page is the first one.
    SameCursor,
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

    /// 429, and after how many seconds to come again, if that is said.
    #[must_use]
    pub fn limited(retry_after: Option<u64>) -> Self {
        let headers = retry_after.map(|seconds| ("retry-after".to_owned(), seconds.to_string()));
        let (message, error_kind) = ("too many requests".to_owned(), String::new());
        let headers = headers.into_iter().collect();
        FaultKind::Status { status: 429, message, headers, error_kind }
    }
}

fn always() -> u32 {
    1000
}

/// All rules, in the order in which they were made.
pub(super) struct Faults {
    rules: Vec<Fault>,
    dice: Dice,
    /// How many cursors were made up.
    cursors: u64,
}

impl Faults {
    pub(super) fn new(seed: u64) -> Self {
        Faults { rules: Vec::new(), dice: Dice::new(seed ^ 0xfa_0175), cursors: 0 }
    }

    pub(super) fn add(&mut self, fault: Fault) {
        self.rules.push(fault);
    }

    pub(super) fn clear(&mut self) {
        self.rules.clear();
    }

    /// What happens to this call: the first rule that is for it and hits.
    fn take(&mut self, name: &str, rest: bool) -> Option<FaultKind> {
        let dice = &mut self.dice;
        let fits = |f: &&mut Fault| {
            f.times > 0
                && (f.route == name || (rest && f.route == "rest"))
                && (f.per_mille >= 1000 || dice.chance(f.per_mille))
        };
        let fault = self.rules.iter_mut().find(fits)?;
        fault.times -= 1;
        let kind = fault.kind.clone();
        self.rules.retain(|fault| fault.times > 0);
        Some(kind)
    }

    /// Larger than every delivery's number, and never the same.
    fn cursor(&mut self) -> String {
        self.cursors += 1;
        format!("v1_{}", u64::MAX - self.cursors)
    }
}

/// What carries a fault out: between the books and the conditional requests.
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
        FaultKind::Cut => (response.status(), Body::new(Broken)).into_response(),
        FaultKind::Lost { status } => {
            (code(status), "<html>the upstream has gone</html>").into_response()
        }
        FaultKind::Late { after_ms } => {
            shared.clock.until(arrived.saturating_add(after_ms)).await;
            response
        }
        FaultKind::Busy { says } => say_busy(response, says).await,
        FaultKind::Endless => {
            if !response.headers().contains_key(LINK) {
                let cursor = shared.faults(Faults::cursor);
                lead_to(shared, &mut response, uri, &cursor);
            }
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
        response.headers_mut().insert(LINK, link);
    }
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
