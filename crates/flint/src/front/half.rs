//! The front's process: `flint front`, which the daemon starts and nobody else.

use super::confine::{before_the_runtime, in_the_runtime};
use super::server::{self, Limits};
use super::talk::{self, Talk};
use super::tls::Tls;
use super::webhook::{self, Counters};
use super::words::{Down, Hello, Hook, TlsPair, Up};
use super::{Error, Link, pages};
use crate::sys::{again, confine, packets};
use std::net;
use std::sync::Arc;
use tokio::net::TcpListener;

/// Confines itself, then serves until the daemon says so or is gone.
///
/// # Errors
/// [`Error`] when it was not started by a daemon, or the link breaks.
pub fn main(uid: u32) -> Result<(), Error> {
    let start = |source| Error::Start { source };
    // First, while nothing in this process has opened any.
    let closed = confine::close_others();
    let (link, listener) = again::given().map_err(|_| Error::Alone)?;
    if !packets::is_end(&link) {
        return Err(Error::Alone);
    }
    again::be_called(c"flint-front");
    let mut lost = before_the_runtime(uid, closed);
    // One thread: a filter and a user belong to a thread.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(start)?.block_on(async {
        lost.extend(in_the_runtime());
        let link = Link::new(link).map_err(start)?;
        let listener = net::TcpListener::from(listener);
        listener.set_nonblocking(true).map_err(start)?;
        let listener = TcpListener::from_std(listener).map_err(start)?;
        link.say(&Up::Confined { lost }).await?;
        serve(link, listener, Limits::WEBHOOK).await
    })
}

/// The daemon's first words.
async fn greeted(link: &Link) -> Result<(Hook, Option<TlsPair>), Error> {
    let Some(Down::Hello(Hello { gates, tls })) = link.hear().await? else {
        return Err(Error::Silent);
    };
    let mut hook = Hook::default();
    for _ in 0..gates {
        match link.hear().await? {
            Some(Down::Gate(gate)) => hook.gates.push(gate),
            _ => return Err(Error::Silent),
        }
    }
    Ok((hook, tls))
}

/// Serves `listener` for the half at the other end of `link`, from its first words on.
///
/// # Errors
/// [`Error`] when the link breaks.
pub async fn serve(link: Link, listener: TcpListener, limits: Limits) -> Result<(), Error> {
    let (hook, pair) = greeted(&link).await?;
    let tls = Tls::default();
    if let Err(why) = tls.replace(pair) {
        return link.say(&Up::Unusable { why }).await;
    }
    link.say(&Up::Serving).await?;
    let (door, deliveries) = webhook::Door::new(limits.connections);
    let (asks, asked) = pages::asks(limits.connections);
    let counters = Arc::new(Counters::default());
    let routes = webhook::router(&hook, door, Arc::clone(&counters));
    let routes = routes.merge(pages::router(asks));
    let (talk, stop) = Talk::new(link, counters, tls.clone());
    let talking = talk.run(talk::Queues { deliveries, asked });
    tokio::select! {
        ended = talking => ended,
        () = server::serve(listener, routes, (limits, tls), stop) => Ok(()),
    }
}
