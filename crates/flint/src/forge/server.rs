//! Serves HTTP/1 to strangers: bounded connections, bounded time for headers and for each request, a graceful end.
//!
//! `axum::serve` sets no header timeout and no cap on connections, hence a loop of our own. TLS is a proxy's work.

use super::Error;
use axum::Router;
use axum::http::StatusCode;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;

/// How much a stranger may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at one time; more wait in the kernel's queue.
    pub connections: usize,
    /// From a connection's start, or its last answer, to a request's last header.
    pub headers: Duration,
    /// From a request's last header to its answer; 408 after.
    pub request: Duration,
    /// For requests under way when the end is asked.
    pub grace: Duration,
}

impl Limits {
    /// For deliveries: GitHub waits 10 s for an answer and keeps few connections.
    pub const WEBHOOK: Limits = Limits {
        connections: 256,
        headers: Duration::from_secs(10),
        request: Duration::from_secs(20),
        grace: Duration::from_secs(10),
    };
}

/// Takes the address.
///
/// # Errors
/// [`Error::Listen`]; its help says who has the port, or what is missing.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })
}

/// Serves until `stop` ends, then lets requests under way finish within the grace.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    limits: Limits,
    stop: impl Future<Output = ()>,
) {
    let routes = routes
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, limits.request))
        .layer(CatchPanicLayer::new());
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.headers);
    let places = Arc::new(Semaphore::new(limits.connections));
    let open = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let next = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = &mut stop => break,
            next = next => next,
        };
        let Ok((stream, _)) = accepted else {
            // No descriptors left, or the peer was gone already: the former needs a moment.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let service = TowerToHyperService::new(routes.clone());
        let connection = open.watch(http.serve_connection(TokioIo::new(stream), service));
        tokio::spawn(async move {
            // An error here is the peer's: cut off, too slow, not HTTP.
            let _ = connection.await;
            drop(place);
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(limits.grace, open.shutdown()).await;
}
