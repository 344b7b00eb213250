//! A delivery: headers, an empty line, a body.

use axum::body::Body;
use axum::http::Request;
use flint::forge::{Scope, WebhookAuth};
use flint::front::webhook::{Committed, Counters, Door, router};
use flint::front::words::Hook;
use flint_wire::Secret;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use ring::hmac;
use std::cell::RefCell;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};

const SECRET: &str = "between the two of us";

thread_local! {
    // One runtime for all deliveries of a thread: to make one takes longer than a delivery.
    static RUNTIME: RefCell<Option<Runtime>> = const { RefCell::new(None) };
}

/// Delivers to the real route. `x-hub-signature-256: right` stands for the signature that is right, since no fuzzer
/// finds it.
///
/// # Panics
/// When a runtime cannot be made.
pub fn webhook(bytes: &[u8]) {
    let Some(request) = request(bytes) else { return };
    RUNTIME.with_borrow_mut(|runtime| {
        let runtime = runtime.get_or_insert_with(|| {
            Builder::new_current_thread().enable_time().build().expect("threads are to be had")
        });
        runtime.block_on(deliver(request));
    });
}

async fn deliver(request: Request<Body>) {
    let (door, mut facts) = Door::new(1);
    let route = router(&hook(), door, Arc::new(Counters::default()));
    let answer = TowerToHyperService::new(route).call(request);
    let commit = async {
        while let Some(delivery) = facts.recv().await {
            // The sender may have given up.
            let _ = delivery.done.send(Ok(Committed::New));
        }
    };
    let (answer, ()) = tokio::join!(answer, commit);
    let status = answer.expect("the route is infallible").status();
    assert!(!status.is_server_error(), "{status}");
}

fn request(bytes: &[u8]) -> Option<Request<Body>> {
    let split = bytes.windows(2).position(|two| two == b"\n\n")?;
    let (head, body) = (bytes.get(..split)?, bytes.get(split + 2..)?);
    let mut request = Request::post("/webhook");
    for line in head.split(|byte| *byte == b'\n') {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (line.get(..colon)?, line.get(colon + 1..)?.trim_ascii());
        request = match (name, value) {
            (b"x-hub-signature-256", b"right") => request.header(name, signature(body)),
            _ => request.header(name, value),
        };
    }
    request.body(Body::from(body.to_vec())).ok()
}

fn signature(body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag = hmac::sign(&key, body);
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

fn hook() -> Hook {
    let auth = WebhookAuth::Secrets { current: Secret::new(SECRET.to_owned()), other: None };
    Hook::one(auth, Scope::Organization("octo".to_owned()))
}
