//! Where an App is installed, and the tokens that it gets there.

use super::super::clock::millis;
use super::super::page::{Asked, Listed, Page};
use super::super::payload::rfc3339;
use super::super::rest::{Answer, Names, answer, refusal, scope};
use super::super::server::{Shared, random_id};
use super::rest::app_of_the_start;
use super::{Caller, Rights, caller};
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::sync::Arc;

type Github = State<Arc<Shared>>;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/app/installations", get(list))
        .route("/app/installations/{id}/access_tokens", post(access_token))
        .route("/orgs/{owner}/installation", get(one))
        .route("/repos/{owner}/{repo}/installation", get(one))
}

async fn one(State(shared): Github, Path(names): Path<Names>, headers: HeaderMap) -> Answer {
    let found = caller(&shared, &headers).and_then(|caller| {
        scope(&shared, &names)?;
        let Caller::Made(id) = caller else {
            return Ok(of_the_start(&shared));
        };
        let shown = shared.look(|state| {
            let given = state.apps.all.get(&id)?.installed.as_ref()?;
            Some(show(&shared, id, given))
        });
        shown.ok_or_else(|| refusal(404, "Not Found"))
    });
    answer(found.map(|shown| (StatusCode::OK, shown)))
}

/// The installation that is there from the start. It has all that its App asks for.
fn of_the_start(shared: &Shared) -> Value {
    let mut shown = app_of_the_start(shared);
    shown["id"] = shared.config.installation.into();
    shown["suspended_at"] = Value::Null;
    shown["repository_selection"] = "all".into();
    shown
}

async fn access_token(State(shared): Github, Path(id): Path<u64>, headers: HeaderMap) -> Answer {
    let made = caller(&shared, &headers).and_then(|caller| {
        let own = match caller {
            Caller::OfTheStart => Some(shared.config.installation),
            Caller::Made(app) => shared.look(|state| {
                let (own, _) = state.apps.all.get(&app)?.installed.as_ref()?;
                Some(*own)
            }),
        };
        if own != Some(id) {
            return Err(refusal(404, "Not Found"));
        }
        let expires = shared.clock.now() + millis(shared.config.token_life);
        let token = format!("ghs_{}", random_id().replace('-', ""));
        shared.change(|state, _| {
            state.secrets.push(token.clone());
            if let Caller::Made(app) = caller {
                state.apps.tokens.insert(token.clone(), app);
            }
            state.tokens.insert(token.clone(), expires)
        });
        let expires_at = rfc3339(expires);
        let permissions = json!({ "organization_self_hosted_runners": "write", "actions": "read", "metadata": "read" });
        Ok((StatusCode::CREATED, json!({ "token": token, "expires_at": expires_at, "permissions": permissions,
            "repository_selection": "all" })))
    });
    answer(made)
}

/// An installation as GitHub shows it.
fn show(shared: &Shared, app: u64, (id, given): &(u64, Rights)) -> Value {
    json!({
        "id": id, "app_id": app, "suspended_at": null, "repository_selection": "all",
        "account": { "login": shared.config.organization },
        "permissions": given.permissions, "events": given.events,
    })
}

async fn list(
    State(shared): Github,
    Query(asked): Query<Asked>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let listed = caller(&shared, &headers).map(|caller| {
        let all = match caller {
            Caller::OfTheStart => vec![of_the_start(&shared)],
            Caller::Made(id) => shared.look(|state| {
                let app = state.apps.all.get(&id);
                let given = app.and_then(|app| app.installed.as_ref());
                given.map(|given| show(&shared, id, given)).into_iter().collect()
            }),
        };
        let page = Page::of(&asked);
        let (shown, more) = page.cut(all.into_iter());
        Listed::new(&shared, uri.path(), &asked, json!(shown), more.then(|| page.next()))
    });
    listed.map_or_else(axum::response::IntoResponse::into_response, Listed::into_response)
}
