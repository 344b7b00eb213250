//! A microVM's lines as an HTTP body: those so far, and with `follow` those to come.

use super::api::Logs;
use crate::host::Host;
use crate::host::log::{Line, View};
use crate::images::Images;
use crate::net::Net;
use crate::vmm::Vmm;
use axum::body::{Body, Bytes};
use flint_core::id::VmId;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt};
use std::convert::Infallible;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// The most of a file that is shown: an operator who wants more has the file.
const KEPT_MAX: u64 = 1 << 20;

impl<V: Vmm, N: Net, I: Images> Logs for Host<V, N, I> {
    fn lines(&self, vm: VmId, console: bool, follow: bool) -> Option<Body> {
        if console {
            return kept(self.kept_console(vm, KEPT_MAX));
        }
        match self.log(vm) {
            Some(view) => Some(body(view, follow)),
            None => kept(self.kept_log(vm, KEPT_MAX)),
        }
    }

    fn refusals(&self, vm: VmId) -> BoxFuture<'_, Vec<String>> {
        Box::pin(self.refused(vm))
    }
}

fn kept(bytes: Vec<u8>) -> Option<Body> {
    (!bytes.is_empty()).then(|| Body::from(bytes))
}

fn body(view: View, follow: bool) -> Body {
    let past: String = view.past.iter().map(shown).collect();
    if !follow {
        return Body::from(past);
    }
    let past = stream::once(async { Ok::<_, Infallible>(Bytes::from(past)) });
    let live = stream::unfold(view.live, next);
    Body::from_stream(past.chain(live))
}

/// The next line; the stream ends with the microVM.
async fn next(mut live: Receiver<Line>) -> Option<(Result<Bytes, Infallible>, Receiver<Line>)> {
    let text = match live.recv().await {
        Ok(line) => shown(&line),
        Err(RecvError::Lagged(lines)) => format!("[{lines} lines were lost here]\n"),
        Err(RecvError::Closed) => return None,
    };
    Some((Ok(Bytes::from(text)), live))
}

fn shown(line: &Line) -> String {
    format!("{}\n", line.text)
}
