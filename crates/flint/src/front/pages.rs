//! Two pages for machines that watch. The root half writes them; here they are only asked for and shown.

use super::words::Page;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// The root half writes a page from memory; if it takes longer, it is not well.
const WAIT: Duration = Duration::from_secs(8);

/// Prometheus's word for what the page is.
const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A page that somebody waits for.
pub(super) struct Asked {
    pub(super) page: Page,
    pub(super) shown: oneshot::Sender<Shown>,
}

/// What the root half wrote.
pub(super) struct Shown {
    pub(super) well: bool,
    pub(super) text: String,
}

/// Where pages are asked for, and where that is heard.
pub(super) fn asks(capacity: usize) -> (mpsc::Sender<Asked>, mpsc::Receiver<Asked>) {
    mpsc::channel(capacity)
}

/// `/healthz` and `/metrics`.
pub(super) fn router(asks: mpsc::Sender<Asked>) -> Router {
    Router::new().route("/healthz", get(healthz)).route("/metrics", get(metrics)).with_state(asks)
}

/// 200 while facts can be stored, 503 while they cannot.
async fn healthz(State(asks): State<mpsc::Sender<Asked>>) -> Response {
    match ask(&asks, Page::Health).await {
        Some(Shown { well: true, text }) => (StatusCode::OK, text).into_response(),
        Some(Shown { well: false, text }) => {
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
        None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn metrics(State(asks): State<mpsc::Sender<Asked>>) -> Response {
    match ask(&asks, Page::Metrics).await {
        Some(Shown { well: true, text }) => ([("content-type", KIND)], text).into_response(),
        _ => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn ask(asks: &mpsc::Sender<Asked>, page: Page) -> Option<Shown> {
    let (shown, answer) = oneshot::channel();
    let ask = async {
        asks.send(Asked { page, shown }).await.ok()?;
        answer.await.ok()
    };
    tokio::time::timeout(WAIT, ask).await.ok()?
}
