//! GitHub's runner as a program: its releases, the newest archive for each kind of machine, and the downloads themselves.

use super::payload::rfc3339;
use super::rest::{Answer, Names, answer, as_installation, bearer, common, refusal, scope};
use super::server::Shared;
use super::state::Millis;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::{AUTHORIZATION, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use std::sync::Arc;

type App = State<Arc<Shared>>;

/// GitHub's name of this kind of machine; the others have no archives here.
const MACHINE: &str = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };

/// A release of the runner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunnerRelease {
    /// Its version; a prerelease has more behind the numbers.
    pub version: String,
    /// Milliseconds since 1970.
    pub published_ms: Millis,
    /// Whether it is for the curious alone.
    pub prerelease: bool,
    /// The archive.
    pub archive: Vec<u8>,
}

impl RunnerRelease {
    fn file(&self) -> String {
        format!("actions-runner-linux-{MACHINE}-{}.tar.gz", self.version)
    }

    fn sum(&self) -> String {
        let digest = digest(&SHA256, &self.archive);
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Where GitHub's pages give it; they send on from there.
    fn address(&self, shared: &Shared) -> String {
        let (base, version, file) = (&shared.config.public_url, &self.version, self.file());
        format!("{base}/actions/runner/releases/download/v{version}/{file}")
    }

    fn show(&self, shared: &Shared) -> Value {
        json!({
            "tag_name": format!("v{}", self.version), "draft": false, "prerelease": self.prerelease,
            "published_at": rfc3339(self.published_ms),
            "assets": [
                { "name": format!("actions-runner-win-x64-{}.zip", self.version), "size": 1,
                  "browser_download_url": "https://example.com/win.zip" },
                { "name": self.file(), "size": self.archive.len(), "browser_download_url": self.address(shared),
                  "digest": format!("sha256:{}", self.sum()) },
            ],
        })
    }
}

/// Of the REST API.
pub(super) fn routes() -> Router<Arc<Shared>> {
    let mut routes = Router::new()
        .route("/repos/actions/runner/releases", get(releases))
        .route("/repos/actions/runner/releases/tags/{tag}", get(release));
    for scope in ["/orgs/{owner}", "/repos/{owner}/{repo}"] {
        routes = routes.route(&format!("{scope}/actions/runners/downloads"), get(downloads));
    }
    routes
}

/// Of GitHub's pages and its storage.
pub(super) fn pages() -> Router<Arc<Shared>> {
    Router::new()
        .route("/actions/runner/releases/download/{tag}/{file}", get(send_on))
        .route("/storage/{file}", get(archive))
}

/// As GitHub does: the newest alone, for each kind of machine.
async fn downloads(State(shared): App, Path(names): Path<Names>, headers: HeaderMap) -> Answer {
    let seen = as_installation(&shared, &headers).and_then(|()| scope(&shared, &names));
    answer(seen.map(|_| {
        let newest = shared.look(|state| state.software.iter().rfind(|r| !r.prerelease).cloned());
        let listed: Vec<Value> = newest.iter().flat_map(|release| [
            json!({ "os": "win", "architecture": "x64", "filename": "actions-runner-win-x64-1.0.0.zip",
                "download_url": "https://example.com/win.zip" }),
            json!({ "os": "linux", "architecture": MACHINE, "filename": release.file(),
                "download_url": release.address(&shared), "sha256_checksum": release.sum() }),
        ]).collect();
        (StatusCode::OK, json!(listed))
    }))
}

/// Anybody may read what is public; a token that is none is refused all the same.
fn as_anybody(shared: &Shared, headers: &HeaderMap) -> Result<(), Answer> {
    if bearer(headers).is_some() { as_installation(shared, headers) } else { common(headers) }
}

async fn releases(State(shared): App, headers: HeaderMap) -> Answer {
    answer(as_anybody(&shared, &headers).map(|()| {
        let all = shared.look(|state| state.software.clone());
        let shown: Vec<Value> = all.iter().rev().map(|release| release.show(&shared)).collect();
        (StatusCode::OK, json!(shown))
    }))
}

async fn release(State(shared): App, Path(tag): Path<String>, headers: HeaderMap) -> Answer {
    answer(as_anybody(&shared, &headers).and_then(|()| {
        let found = shared.look(|state| {
            state.software.iter().find(|release| format!("v{}", release.version) == tag).cloned()
        });
        let shown = found.map(|release| (StatusCode::OK, release.show(&shared)));
        shown.ok_or_else(|| refusal(404, "Not Found"))
    }))
}

async fn send_on(State(shared): App, Path((_, file)): Path<(String, String)>) -> Response {
    let place = format!("{}/storage/{file}", shared.config.public_url);
    (StatusCode::FOUND, [(LOCATION, place)]).into_response()
}

/// Whoever shows credentials here gave them away to somebody who has no business with them.
async fn archive(
    State(shared): App,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Result<Vec<u8>, StatusCode> {
    if headers.contains_key(AUTHORIZATION) {
        return Err(StatusCode::BAD_REQUEST);
    }
    let found = shared.look(|state| {
        let release = state.software.iter().find(|release| release.file() == file)?;
        Some(release.archive.clone())
    });
    found.ok_or(StatusCode::NOT_FOUND)
}
