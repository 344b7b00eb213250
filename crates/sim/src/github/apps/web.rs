//! GitHub's pages on the way to an App: "Create GitHub App", then "Install". The buttons stand for GitHub's own.
//!
//! Whoever comes is signed in as an owner of the organization, and as [`PERSON`].

use super::super::server::Shared;
use super::PERSON;
use super::manifest::Manifest;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use std::collections::BTreeMap;
use std::sync::Arc;
use url::{Url, form_urlencoded};

type Github = State<Arc<Shared>>;
type Fields = BTreeMap<String, String>;

pub(in super::super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/organizations/{owner}/settings/apps/new", post(ask))
        .route("/organizations/{owner}/settings/apps", post(make))
        .route("/settings/apps/new", post(ask))
        .route("/settings/apps", post(make))
        .route("/apps/{slug}/installations/new", get(ask_to_install))
        .route("/apps/{slug}/installations", post(install))
}

/// The account whose settings these are; `None`: there is no such page for who is signed in.
fn owner(shared: &Shared, named: &Fields) -> Option<String> {
    let organization = &shared.config.organization;
    match named.get("owner") {
        None => Some(PERSON.to_owned()),
        Some(owner) => owner.eq_ignore_ascii_case(organization).then(|| organization.clone()),
    }
}

async fn ask(
    State(shared): Github,
    Path(named): Path<Fields>,
    Query(query): Query<Fields>,
    body: String,
) -> Response {
    let Some(owner) = owner(&shared, &named) else {
        return page(
            StatusCode::NOT_FOUND,
            "404",
            "<p>This is not the web page you are looking for.</p>",
        );
    };
    let fields = fields(&body);
    let text = fields.get("manifest").cloned().unwrap_or_default();
    let state = query.get("state").cloned().unwrap_or_default();
    match Manifest::read(&text) {
        Ok(manifest) => {
            form(StatusCode::OK, &Form { owner, text, state, name: manifest.name, told: "" })
        }
        Err(told) => {
            page(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", &format!("<p>{}</p>", escape(&told)))
        }
    }
}

/// What GitHub asks the owner.
struct Form<'a> {
    owner: String,
    text: String,
    state: String,
    name: String,
    /// Why it is asked again.
    told: &'a str,
}

fn form(status: StatusCode, form: &Form<'_>) -> Response {
    let Form { owner, text, state, name, told } = form;
    let action = match owner.as_str() {
        PERSON => "/settings/apps".to_owned(),
        owner => format!("/organizations/{owner}/settings/apps"),
    };
    let [action, text, state, name, told] = [&action, text, state, name, *told].map(escape);
    let body = format!(
        "<p>{told}</p>
<form action=\"{action}\" method=\"post\">
<input type=\"hidden\" name=\"manifest\" value=\"{text}\">
<input type=\"hidden\" name=\"state\" value=\"{state}\">
<label>GitHub App name <input name=\"name\" id=\"name\" value=\"{name}\"></label>
<button id=\"create\">Create GitHub App for {}</button>
</form>",
        escape(owner)
    );
    page(status, "Register a GitHub App", &body)
}

async fn make(State(shared): Github, Path(named): Path<Fields>, body: String) -> Response {
    let Some(owner) = owner(&shared, &named) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let fields = fields(&body);
    let [text, state, name] =
        ["manifest", "state", "name"].map(|field| fields.get(field).cloned().unwrap_or_default());
    let Ok(manifest) = Manifest::read(&text) else {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    };
    let back = Url::parse(&manifest.redirect_url);
    let made = manifest
        .named(name.clone())
        .and_then(|manifest| shared.change(|github, now| github.make_app(&owner, manifest, now)));
    match (made, back) {
        (Ok(code), Ok(mut back)) => {
            back.query_pairs_mut().append_pair("code", &code).append_pair("state", &state);
            Redirect::to(back.as_str()).into_response()
        }
        (Err(told), _) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            form(status, &Form { owner, text, state, name, told })
        }
        (Ok(_), Err(_)) => StatusCode::UNPROCESSABLE_ENTITY.into_response(),
    }
}

async fn ask_to_install(State(shared): Github, Path(slug): Path<String>) -> Response {
    let Some(name) = shared.look(|state| state.app(&slug).map(|app| app.name.clone())) else {
        return page(
            StatusCode::NOT_FOUND,
            "404",
            "<p>This is not the web page you are looking for.</p>",
        );
    };
    let body = format!(
        "<p>{} wants to be installed in {}.</p>
<form action=\"/apps/{slug}/installations\" method=\"post\"><button id=\"install\">Install</button></form>",
        escape(&name),
        escape(&shared.config.organization),
    );
    page(StatusCode::OK, "Install", &body)
}

async fn install(State(shared): Github, Path(slug): Path<String>) -> Response {
    let installed = shared.change(|state, _| {
        // Somebody's own App is for their own repositories: there are none here.
        state.app(&slug).filter(|app| app.owner != PERSON)?;
        let id = state.install(&slug)?;
        Some((id, state.app(&slug)?.setup_url.clone()))
    });
    match installed {
        None => StatusCode::NOT_FOUND.into_response(),
        Some((id, setup)) => match Url::parse(&setup) {
            Ok(mut back) => {
                let mut query = back.query_pairs_mut();
                query.append_pair("installation_id", &id.to_string());
                query.append_pair("setup_action", "install");
                drop(query);
                Redirect::to(back.as_str()).into_response()
            }
            Err(_) => page(StatusCode::OK, "Installed", "<p>Okay, it was installed.</p>"),
        },
    }
}

fn fields(body: &str) -> Fields {
    form_urlencoded::parse(body.as_bytes()).into_owned().collect()
}

fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html><meta charset=\"utf-8\"><title>{title} · GitHub, made up</title>\n<h1>{title}</h1>\n{body}\n"
    );
    (status, Html(html)).into_response()
}

fn escape(text: &str) -> String {
    let pairs = [("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\"", "&quot;"), ("'", "&#39;")];
    pairs.into_iter().fold(text.to_owned(), |text, (plain, safe)| text.replace(plain, safe))
}
