//! Serves HTTP/1 to strangers: bounded connections, bounded time for headers and for each request, a graceful end.
//!
//! `axum::serve` sets no header timeout and no cap on connections, hence a loop of our own.

use super::places::{Place, Places};
use super::tls::Tls;
use axum::http::StatusCode;
use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;

/// How much a stranger may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at one time; one more sends another one away.
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
        connections: 1_024,
        headers: Duration::from_secs(10),
        request: Duration::from_secs(20),
        grace: Duration::from_secs(10),
    };
}

/// The longest head of a request; GitHub's has 1 KiB. Each connection has a buffer of this size at most.
const HEAD_MAX: usize = 64 * 1024;

/// Serves until `stop` ends, then lets requests under way finish within the grace.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    (limits, tls): (Limits, Tls),
    stop: impl Future<Output = ()>,
) {
    let routes = routes
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, limits.request))
        .layer(CatchPanicLayer::new());
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.headers).max_buf_size(HEAD_MAX);
    let places = Places::new(limits.connections);
    let open = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        // A place is taken only for a connection that is there.
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // No descriptors left, or the peer was gone already: the former needs a moment.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let place = tokio::select! {
            () = &mut stop => break,
            place = places.take() => Arc::new(place),
        };
        let visit = Visit { place, routes: routes.clone(), http: http.clone(), limits };
        tokio::spawn(visit.run(stream, tls.clone(), open.watcher()));
    }
    drop(listener);
    let _ = tokio::time::timeout(limits.grace, open.shutdown()).await;
}

/// One connection.
struct Visit {
    place: Arc<Place>,
    routes: Router,
    http: http1::Builder,
    limits: Limits,
}

impl Visit {
    async fn run(self, stream: TcpStream, tls: Tls, open: Watcher) {
        let place = Arc::clone(&self.place);
        tokio::select! {
            () = place.gone() => {}
            () = self.greet(stream, tls, open) => {}
        }
    }

    async fn greet(self, stream: TcpStream, tls: Tls, open: Watcher) {
        let Some(config) = tls.now() else {
            return self.serve(stream, open).await;
        };
        let greeting = TlsAcceptor::from(config).accept(stream);
        // What fails here is the peer's: too slow, not TLS, or of another time.
        if let Ok(Ok(stream)) = tokio::time::timeout(self.limits.headers, greeting).await {
            self.serve(stream, open).await;
        }
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + 'static, open: Watcher) {
        let routes = self.routes.layer(Extension(self.place));
        let service = TowerToHyperService::new(routes);
        let connection = self.http.serve_connection(TokioIo::new(stream), service);
        // An error here is the peer's: cut off, too slow, not HTTP.
        let _ = open.watch(connection).await;
    }
}
