//! Serves the page on loopback: heads of GET requests are all that is read, and nothing is decided here.

use super::page::{Answer, policy};
use super::visit::{Door, Visit};
use crate::front::server::{Limits, serve};
use crate::front::tls::Tls;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

/// One person with one browser, which opens some connections ahead of time. An exchange with GitHub takes 15 s at most.
const LIMITS: Limits = Limits {
    connections: 32,
    headers: Duration::from_secs(10),
    request: Duration::from_secs(60),
    grace: Duration::from_secs(2),
};

/// Somebody who waits for a page.
pub(super) struct Asked {
    pub(super) visit: Visit,
    pub(super) answer: oneshot::Sender<Answer>,
}

type Shared = (Arc<Door>, mpsc::Sender<Asked>);

/// Serves until `stop` ends; pages that somebody waits for are still sent then.
pub(super) async fn run(
    listener: TcpListener,
    door: Arc<Door>,
    asks: mpsc::Sender<Asked>,
    stop: impl Future<Output = ()>,
) {
    let routes = Router::new().fallback(visit).with_state((door, asks));
    serve(listener, routes, (LIMITS, Tls::default()), stop).await;
}

async fn visit(State((door, asks)): State<Shared>, request: Request) -> Response {
    if request.method() != Method::GET {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let visit = door.read(host, request.uri().path(), request.uri().query());
    let (answer, answered) = oneshot::channel();
    let asked = Asked { visit, answer };
    let answer = match asks.send(asked).await {
        Ok(()) => answered.await.ok(),
        Err(_) => None,
    };
    dressed(match answer {
        Some(Answer::Page(status, html)) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            (status, Html(html)).into_response()
        }
        Some(Answer::Go(url)) => Redirect::to(url.as_str()).into_response(),
        // The command has ended meanwhile.
        None => StatusCode::GONE.into_response(),
    })
}

/// Neither the key in the address nor GitHub's code in it leaves this page.
fn dressed(mut response: Response) -> Response {
    let fixed = [
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    let headers = response.headers_mut();
    headers.extend(fixed.map(|(name, value)| (name, HeaderValue::from_static(value))));
    if let Ok(policy) = HeaderValue::from_str(&policy()) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}
