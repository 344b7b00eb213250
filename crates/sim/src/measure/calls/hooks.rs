//! Webhooks, as the half that faces the network takes them.

use flint::daemon::door::{Door, Taken};
use flint::forge::Options;
use flint::front::tls::Tls;
use flint::front::words::Hook;
use flint::front::{server, webhook};
use flint_core::event::Event;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// Takes deliveries in as the front does, and answers when they are on disk.
pub(super) fn take_webhooks(
    tasks: &mut JoinSet<()>,
    options: &Options,
    hook: TcpListener,
    door: Door,
) {
    let (inlet, mut deliveries) = webhook::Door::new(64);
    let proofs = Hook::one(options.webhook.clone(), options.scope.clone());
    let routes = webhook::router(&proofs, inlet, Arc::new(webhook::Counters::default()));
    let limits = (server::Limits::WEBHOOK, Tls::default());
    tasks.spawn(server::serve(hook, routes, limits, std::future::pending()));
    tasks.spawn(async move {
        while let Some(webhook::Delivery { guid, event, done }) = deliveries.recv().await {
            let door = door.clone();
            tokio::spawn(async move {
                let taken = door.deliver(guid, Event::Forge(event)).await;
                let unavailable = || webhook::Unavailable { why: "the store".to_owned() };
                let answer = taken.map(|taken| match taken {
                    Taken::Committed => webhook::Committed::New,
                    Taken::Known => webhook::Committed::Known,
                });
                // Whoever asked may have gone.
                drop(done.send(answer.map_err(|_| unavailable())));
            });
        }
    });
}
