//! What every call of the REST API passes: the books are kept, limits enforced, and every answer says what is left.

use super::calls::{Budget, Call};
use super::clock::millis;
use super::limits::{Limit, Refusal, Standing};
use super::rest::refusal;
use super::server::Shared;
use super::state::Millis;
use axum::extract::{Request, State};
use axum::http::header::{DATE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use std::sync::Arc;
use std::time::Duration;

/// When a call came in; whatever it waits for is counted from there.
#[derive(Clone, Copy)]
pub(super) struct Arrived(pub(super) Millis);

/// A call that was let in, until it ends or its caller goes away.
struct Open {
    shared: Arc<Shared>,
    budget: Budget,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.ledger(|ledger| ledger.leave(self.budget));
        self.shared.wake();
    }
}

pub(super) async fn pass(
    State(shared): State<Arc<Shared>>,
    mut request: Request,
    next: Next,
) -> Response {
    let call = Call::of(&request);
    let now = shared.clock.now();
    request.extensions_mut().insert(Arrived(now));
    let books_now = shared.books_now();
    let entered = shared.ledger(|ledger| ledger.enter(call, books_now));
    shared.wake();
    let mut response = match entered {
        Ok(()) => {
            let open = Open { shared: Arc::clone(&shared), budget: call.budget };
            let response = next.run(request).await;
            drop(open);
            response
        }
        Err(refused) => refuse(&shared, refused),
    };
    let now = shared.books_now();
    let standing = shared.ledger(|ledger| {
        if response.status() == StatusCode::NOT_MODIFIED {
            ledger.not_modified(call.budget);
        }
        ledger.standing(call.budget, now)
    });
    tell(response.headers_mut(), standing, now);
    if let Some(until) = told_to_wait(response.status(), response.headers(), now)
        && entered.is_ok()
    {
        shared.ledger(|ledger| ledger.told(call.budget, now, until));
    }
    response
}

fn refuse(shared: &Shared, refused: Refusal) -> Response {
    let message = match refused.limit {
        Limit::Primary => "API rate limit exceeded for installation.",
        Limit::Points | Limit::Content | Limit::Concurrent => {
            "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
        }
    };
    let status = shared.ledger(|ledger| ledger.limits.status);
    let mut response = refusal(status, message).into_response();
    if let Some(seconds) = refused.retry_after {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

/// The headers of every answer; what a fault has set stays.
fn tell(headers: &mut HeaderMap, standing: Standing, now: Millis) {
    let Standing { limit, used, resets } = standing;
    let numbers = [
        ("x-ratelimit-limit", u64::from(limit)),
        ("x-ratelimit-remaining", u64::from(limit - used)),
        ("x-ratelimit-used", u64::from(used)),
        ("x-ratelimit-reset", resets),
    ];
    for (name, value) in numbers {
        headers.entry(HeaderName::from_static(name)).or_insert(value.into());
    }
    let core = HeaderValue::from_static("core");
    headers.entry(HeaderName::from_static("x-ratelimit-resource")).or_insert(core);
    if let Ok(date) = HeaderValue::from_str(&date(now)) {
        headers.entry(DATE).or_insert(date);
    }
}

/// Until when an answer asks its caller to be silent, by GitHub's rules of how to read one.
fn told_to_wait(status: StatusCode, headers: &HeaderMap, now: Millis) -> Option<Millis> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.parse::<u64>().ok();
    let limited = status == StatusCode::TOO_MANY_REQUESTS;
    match (number("retry-after"), number("x-ratelimit-remaining"), number("x-ratelimit-reset")) {
        _ if !limited && status != StatusCode::FORBIDDEN => None,
        (Some(seconds), ..) => Some(now + seconds * 1000),
        (None, Some(0), Some(reset)) => Some(reset * 1000),
        _ => limited.then(|| now + millis(Duration::from_secs(60))),
    }
}

fn date(now: Millis) -> String {
    let second = i64::try_from(now / 1000).unwrap_or_default();
    let at = jiff::Timestamp::from_second(second).unwrap_or_default();
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
