//! What faces the network: the webhook, whose facts go through the door, and two pages for machines that watch.

use super::door::{Door, Taken, Window};
use super::metrics::{self, Count, Counts};
use crate::forge::webhook::{self, Committed, Counters, Delivery, Unavailable};
use crate::forge::{self, server};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flint_core::event::Event;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// Deliveries that may wait for the controller; more are answered 503, and GitHub keeps them for redelivery.
const DELIVERIES: usize = 1_024;

/// What the pages need.
#[derive(Clone)]
struct Pages {
    window: Window,
    counters: Arc<Counters>,
}

/// Serves until `stop` ends.
pub async fn serve(
    listener: TcpListener,
    options: &forge::Options,
    (door, window): (Door, Window),
    stop: impl Future<Output = ()>,
) {
    let counters = Arc::new(Counters::default());
    let (letterbox, deliveries) = webhook::Door::new(DELIVERIES);
    let pump = tokio::spawn(pump(deliveries, door));
    let pages = Pages { window, counters: Arc::clone(&counters) };
    let pages = Router::new()
        .route("/healthz", get(healthz))
        .route("/metrics", get(metrics_page))
        .with_state(pages);
    let routes = webhook::router(options, letterbox, counters).merge(pages);
    server::serve(listener, routes, server::Limits::WEBHOOK, stop).await;
    pump.abort();
}

/// Each delivery waits for its own commit; together they share one.
async fn pump(mut deliveries: mpsc::Receiver<Delivery>, door: Door) {
    while let Some(Delivery { guid, event, done }) = deliveries.recv().await {
        let door = door.clone();
        tokio::spawn(async move {
            let answer = match door.deliver(guid, Event::Forge(event)).await {
                Ok(Taken::Committed) => Ok(Committed::New),
                Ok(Taken::Known) => Ok(Committed::Known),
                Err(_) => Err(Unavailable { why: "the store cannot be written".to_owned() }),
            };
            // The request may have been given up meanwhile; its fact is committed all the same.
            drop(done.send(answer));
        });
    }
}

/// 200 while facts can be stored, 503 while they cannot.
async fn healthz(State(pages): State<Pages>) -> Response {
    let stored = pages.window.borrow().stored;
    match stored {
        true => (StatusCode::OK, "ok\n").into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, "the store cannot be written\n").into_response(),
    }
}

async fn metrics_page(State(pages): State<Pages>) -> Response {
    let view = pages.window.borrow().clone();
    let counts = counts(&pages.counters);
    let kind = [("content-type", "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    match metrics::render(&view, &counts) {
        Ok(text) => (kind, text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn counts(counters: &Counters) -> Counts {
    let count = |outcome, counter: &AtomicU64| {
        let times = counter.load(Ordering::Relaxed);
        Count { outcome, times }
    };
    Counts(vec![
        count("received", &counters.received),
        count("committed", &counters.committed),
        count("repeated", &counters.repeated),
        count("ping", &counters.pings),
        count("ignored", &counters.ignored),
        count("foreign", &counters.foreign),
        count("unproven", &counters.unproven),
        count("too_large", &counters.too_large),
        count("malformed", &counters.malformed),
        count("unavailable", &counters.unavailable),
    ])
}
