//! The App's own part of the REST API: a code becomes an App, and the App is told what it is.

use super::super::key::{Key, generate_pem};
use super::super::rest::{Answer, answer, common, refusal};
use super::super::server::Shared;
use super::{App, Caller, PERSON, caller, installed};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use serde_json::{Value, json};
use std::sync::Arc;

type Github = State<Arc<Shared>>;

pub(in super::super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/app-manifests/{code}/conversions", post(convert))
        .route("/app", get(app))
        .route("/app/hook/config", get(hook))
        .route("/users/{login}", get(user))
        .merge(installed::routes())
}

/// Whoever has the code is who made the App.
async fn convert(State(shared): Github, Path(code): Path<String>, headers: HeaderMap) -> Answer {
    if let Err(refused) = common(&headers) {
        return refused;
    }
    let Some(id) = shared.change(|state, now| state.use_code(&code, now)) else {
        return refusal(404, "Not Found");
    };
    let made = tokio::task::spawn_blocking(|| {
        let pem = generate_pem()?;
        anyhow::Ok((Key::from_pem(&pem)?, pem))
    });
    let Ok(Ok((key, pem))) = made.await else {
        return refusal(500, "Server Error");
    };
    let shown = shared.change(|state, _| {
        state.secrets.push(pem.clone());
        let app = state.apps.all.get_mut(&id)?;
        app.key = Some(key);
        let mut shown = show(&shared, app);
        shown["pem"] = pem.into();
        shown["client_secret"] = "never shown again".into();
        // GitHub makes none for a webhook that is off.
        shown["webhook_secret"] = match app.hook.active {
            true => app.hook.secret.clone().into(),
            false => Value::Null,
        };
        let secret = app.hook.secret.clone();
        state.secrets.push(secret);
        Some(shown)
    });
    answer(shown.map(|shown| (StatusCode::CREATED, shown)).ok_or_else(|| refusal(404, "Not Found")))
}

fn show(shared: &Shared, app: &App) -> Value {
    let kind = if app.owner == PERSON { "User" } else { "Organization" };
    json!({
        "id": app.id, "slug": app.slug, "name": app.name, "client_id": app.client_id,
        "owner": { "login": app.owner, "type": kind },
        "html_url": format!("{}/apps/{}", shared.config.public_url, app.slug),
        "permissions": app.asks.permissions, "events": app.asks.events,
    })
}

/// The App of the start as GitHub shows it. It may do all that a coordinator needs.
pub(super) fn app_of_the_start(shared: &Shared) -> Value {
    let config = &shared.config;
    let hears = config.webhook.is_some().then_some("workflow_job");
    json!({
        "id": config.app, "app_id": config.app, "slug": "flint", "name": "flint",
        "owner": { "login": config.organization, "type": "Organization" },
        "html_url": format!("{}/apps/flint", config.public_url),
        "permissions": { "metadata": "read", "actions": "read", "organization_self_hosted_runners": "write",
            "administration": "write" },
        "events": hears.into_iter().collect::<Vec<_>>(),
    })
}

async fn app(State(shared): Github, headers: HeaderMap) -> Answer {
    let shown = caller(&shared, &headers).and_then(|caller| match caller {
        Caller::OfTheStart => {
            let mut shown = app_of_the_start(&shared);
            // An App's own number is no text.
            shown["id"] = shared.config.app.parse::<u64>().unwrap_or(1).into();
            Ok(shown)
        }
        Caller::Made(id) => shared
            .look(|state| state.apps.all.get(&id).map(|app| show(&shared, app)))
            .ok_or_else(|| refusal(404, "Not Found")),
    });
    answer(shown.map(|shown| (StatusCode::OK, shown)))
}

async fn hook(State(shared): Github, headers: HeaderMap) -> Answer {
    let shown = caller(&shared, &headers).map(|caller| {
        let url = match caller {
            Caller::OfTheStart => shared.config.webhook.as_ref().map(|hook| hook.url.clone()),
            Caller::Made(id) => {
                shared.look(|state| state.apps.all.get(&id).map(|app| app.hook.url.clone()))
            }
        };
        json!({ "url": url, "content_type": "json", "insecure_ssl": "0", "secret": "********" })
    });
    answer(shown.map(|shown| (StatusCode::OK, shown)))
}

/// Anybody may look an account up.
async fn user(State(shared): Github, Path(login): Path<String>, headers: HeaderMap) -> Answer {
    let organization = &shared.config.organization;
    let found = common(&headers).and_then(|()| match login {
        login if login.eq_ignore_ascii_case(organization) => {
            Ok((organization.as_str(), "Organization"))
        }
        login if login.eq_ignore_ascii_case(PERSON) => Ok((PERSON, "User")),
        _ => Err(refusal(404, "Not Found")),
    });
    let shown = |(login, kind)| (StatusCode::OK, json!({ "login": login, "id": 1, "type": kind }));
    answer(found.map(shown))
}
