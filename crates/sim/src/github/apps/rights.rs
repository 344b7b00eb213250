//! What an App that was made may do with its installation's token: no more than its owner agreed to.

use super::super::rest::{bearer, refusal};
use super::super::server::Shared;
use super::Rights;
use axum::extract::{MatchedPath, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use std::sync::Arc;

pub(in super::super) async fn check(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let token = bearer(request.headers()).unwrap_or_default();
    let given = shared.look(|state| {
        let app = state.apps.all.get(state.apps.tokens.get(token)?)?;
        app.installed.as_ref().map(|(_, given)| given.clone())
    });
    let path = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let reads = [Method::GET, Method::HEAD].contains(request.method());
    match given {
        Some(given) if !allows(&given, path, reads) => {
            refusal(403, "Resource not accessible by integration").into_response()
        }
        _ => next.run(request).await,
    }
}

fn allows(given: &Rights, path: &str, reads: bool) -> bool {
    let name = match path {
        // What is public needs no right.
        path if path.starts_with("/repos/actions/runner/") => return reads,
        path if path.contains("/actions/runner") && path.starts_with("/orgs/") => {
            "organization_self_hosted_runners"
        }
        path if path.contains("/actions/runner") => "administration",
        path if path.contains("/actions/") => "actions",
        _ => "metadata",
    };
    match given.permissions.get(name).map(String::as_str) {
        Some("write") => true,
        Some("read") => reads,
        _ => false,
    }
}
