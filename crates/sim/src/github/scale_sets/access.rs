//! The way in: a registration token, and for it the service's address and a token of its own.

use super::super::clock::millis;
use super::super::jit;
use super::super::payload::rfc3339;
use super::super::rest::{self, Names, bearer};
use super::super::server::{Shared, random_id};
use super::super::state::Millis;
use super::{Refused, SERVICE, unauthorized};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

type App = State<Arc<Shared>>;

/// GitHub's registration tokens live for an hour.
const REGISTRATION: Duration = Duration::from_secs(3600);

pub(super) async fn registration(
    State(shared): App,
    Path(names): Path<Names>,
    headers: HeaderMap,
) -> rest::Answer {
    let made = rest::caller(&shared, &headers, &names).map(|scope| {
        let expires = shared.clock.now() + millis(REGISTRATION);
        let token = format!("A{}", random_id().replace('-', "").to_uppercase());
        shared.change(|state, _| {
            state.secrets.push(token.clone());
            state.sets.registrations.insert(token.clone(), (scope, expires));
        });
        (StatusCode::CREATED, json!({ "token": token, "expires_at": rfc3339(expires) }))
    });
    rest::answer(made)
}

pub(super) async fn connect(State(shared): App, headers: HeaderMap, body: String) -> rest::Answer {
    let body: Value = serde_json::from_str(&body).unwrap_or_default();
    rest::answer(try_connect(&shared, &headers, &body))
}

fn try_connect(
    shared: &Shared,
    headers: &HeaderMap,
    body: &Value,
) -> Result<(StatusCode, Value), rest::Answer> {
    let given = headers.get("authorization").and_then(|value| value.to_str().ok());
    let given = given.and_then(|text| text.strip_prefix("RemoteAuth ")).unwrap_or_default();
    let now = shared.clock.now();
    let scope = shared.look(|state| live(state.sets.registrations.get(given), now));
    let scope = scope.ok_or_else(|| rest::refusal(401, "Bad credentials"))?;
    let page = format!("{}/{scope}", shared.config.public_url);
    let same = body["url"].as_str().is_some_and(|url| url.eq_ignore_ascii_case(&page));
    if !same || body["runner_event"] != "register" {
        return Err(rest::refusal(404, "Not Found"));
    }
    let expires = now + millis(shared.config.service_life);
    let token = jit::token_until(&scope, expires / 1000);
    shared.change(|state, _| {
        state.secrets.push(token.clone());
        state.sets.services.insert(token.clone(), (scope, expires));
    });
    let url = format!("{}{SERVICE}/", shared.config.public_url);
    let body = json!({ "url": url, "token": token, "token_schema": "OAuthAccessToken", "use_v2_flow": true });
    Ok((StatusCode::OK, body))
}

/// Whose sets a caller of the service may have.
pub(super) fn service(shared: &Shared, headers: &HeaderMap) -> Result<String, Refused> {
    let now = shared.clock.now();
    let known = |token: &str| shared.look(|state| live(state.sets.services.get(token), now));
    bearer(headers).and_then(known).ok_or_else(unauthorized)
}

fn live(known: Option<&(String, Millis)>, now: Millis) -> Option<String> {
    known.filter(|(_, expires)| *expires > now).map(|(scope, _)| scope.clone())
}
