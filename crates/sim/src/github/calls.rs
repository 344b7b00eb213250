//! The names of the calls, by which faults choose and counters count, and whose budget a call is on.

use axum::extract::{MatchedPath, Request};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;

/// Where an Enterprise Server has its API.
const SERVER_API: &str = "/api/v3";
/// What it says of itself there.
const SERVER_VERSION: &str = "3.20.1";

/// Whose calls GitHub counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Budget {
    /// The App's own, by its signed proof.
    App,
    /// Those with an installation's token.
    Installation,
}

/// A call of the REST API.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) name: &'static str,
    pub(super) budget: Budget,
    /// What it costs of the points of a minute.
    pub(super) points: u32,
    /// Whether it makes something.
    pub(super) content: bool,
}

impl Call {
    pub(super) fn of(request: &Request) -> Self {
        let name = name(request);
        let own = [
            "installation",
            "access-tokens",
            "deliveries",
            "delivery",
            "redeliver",
            "app",
            "app-hook",
            "installations",
            "conversion",
            "account",
        ];
        let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
        Call {
            name,
            budget: if own.contains(&name) { Budget::App } else { Budget::Installation },
            points: if reads { 1 } else { 5 },
            content: [Method::POST, Method::PUT, Method::PATCH].contains(request.method()),
        }
    }
}

/// An Enterprise Server has the same API below a path of its own, and its pages where this one has its API, too.
pub(super) async fn at_server_path(mut request: Request, next: Next) -> Response {
    let whole = request.uri().path_and_query().map(PathAndQuery::as_str);
    let below = whole.and_then(|path| path.strip_prefix(SERVER_API)?.parse().ok());
    let Some(below) = below else { return next.run(request).await };
    *request.uri_mut() = below;
    let mut response = next.run(request).await;
    let version = HeaderValue::from_static(SERVER_VERSION);
    response.headers_mut().insert("x-github-enterprise-version", version);
    response
}

/// What a request is called here.
pub(super) fn name(request: &Request) -> &'static str {
    let matched = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let below = matched.trim_start_matches("/orgs/{owner}");
    let below = below.trim_start_matches("/repos/{owner}/{repo}");
    let below = below.trim_start_matches("/enterprises/{enterprise}");
    match (request.method().as_str(), below) {
        ("POST", "/app/installations/{id}/access_tokens") => "access-tokens",
        ("GET", "/app") => "app",
        ("GET", "/app/hook/config") => "app-hook",
        ("GET", "/app/installations") => "installations",
        ("POST", "/app-manifests/{code}/conversions") => "conversion",
        ("GET", "/users/{login}") => "account",
        ("GET", "/app/hook/deliveries") => "deliveries",
        ("GET", "/app/hook/deliveries/{id}") => "delivery",
        ("POST", "/app/hook/deliveries/{id}/attempts") => "redeliver",
        ("GET", "/installation") => "installation",
        ("GET", "/actions/runners") => "list-runners",
        ("POST", "/actions/runners/generate-jitconfig") => "generate-jitconfig",
        ("GET", "/actions/runners/{id}") => "get-runner",
        ("DELETE", "/actions/runners/{id}") => "delete-runner",
        ("GET", "/actions/runners/downloads") => "runner-downloads",
        ("GET", "/repos/actions/runner/releases") => "runner-releases",
        ("GET", "/repos/actions/runner/releases/tags/{tag}") => "runner-release",
        ("GET", "/actions/runs") => "list-runs",
        ("GET", "/actions/runs/{run}") => "get-run",
        ("GET", "/actions/runs/{run}/attempts/{attempt}/jobs") => "list-jobs",
        ("GET", "/actions/jobs/{job}") => "get-job",
        ("GET", "/actions/runner-groups") => "runner-groups",
        ("GET", "/actions/runner-groups/{group}") => "runner-group",
        ("GET", "/repos" | "/installation/repositories") => "list-repositories",
        ("POST", "/actions/runners/registration-token") => "registration-token",
        ("POST", "/actions/runner-registration") => "runner-registration",
        (_, "/token") => "token",
        (_, "/broker/session") => "session",
        (_, "/broker/message") => "message",
        (_, "/broker/acknowledge") => "acknowledge",
        (_, "/run/{job}/acquirejob") => "acquirejob",
        (_, "/run/{job}/renewjob") => "renewjob",
        (_, "/run/{job}/completejob") => "completejob",
        (method, path) => super::scale_sets::name(method, path),
    }
}
