//! The messages of a session: waited for, acknowledged; and jobs, where they are offered first.

use super::message::{self, MessageId, Polled};
use super::refusal::Subject;
use super::service::{About, Bearer, Call, LONG, Reply, SHORT};
use super::session::{Queue, Session};
use super::{Error, SETS, ScaleSets, below};
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

#[derive(Deserialize)]
struct Won {
    #[serde(default)]
    value: Vec<i64>,
}

/// A call with a message queue's token.
struct Ask {
    method: Method,
    url: Url,
    body: Option<Value>,
    about: About,
}

impl ScaleSets {
    /// Waits for the next message, up to the 50 s or so that GitHub holds the call. `last` is the last message that
    /// was taken in; GitHub gives one after it. `capacity` is how many jobs the set may have at once, now: GitHub
    /// assigns no more. A message comes again until it is acknowledged. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Error::SessionGone`], [`Error::SetGone`], and whatever else GitHub refuses. A message that cannot be read is
    /// no error, but [`Polled::Unreadable`].
    pub async fn poll(
        &self,
        session: &Session,
        last: Option<MessageId>,
        capacity: u32,
    ) -> Result<Polled, Error> {
        let about = About { set: Some(session.set().id), capacity: Some(capacity), patience: LONG };
        let ask = |queue: &Queue| {
            let mut url = queue.url.clone();
            if let Some(MessageId(last)) = last {
                url.query_pairs_mut().append_pair("lastMessageId", &last.to_string());
            }
            Ask { method: Method::GET, url, body: None, about }
        };
        let reply = self.with_queue(session, ask).await?;
        Ok(match reply.status {
            202 | 204 => Polled::Nothing,
            _ => message::read(reply.bytes()),
        })
    }

    /// Tells GitHub that a message was taken in: it does not come again.
    ///
    /// # Errors
    /// [`Error::SessionGone`], [`Error::SetGone`], and whatever else GitHub refuses.
    pub async fn acknowledge(&self, session: &Session, message: MessageId) -> Result<(), Error> {
        let ask = |queue: &Queue| {
            let mut url = queue.url.clone();
            if let Ok(mut segments) = url.path_segments_mut() {
                segments.pop_if_empty().push(&message.0.to_string());
            }
            Ask { method: Method::DELETE, url, body: None, about: About::set(session.set().id) }
        };
        self.with_queue(session, ask).await.map(|_| ())
    }

    /// Claims jobs that were offered ([`super::JobMessage::Available`]), as a GitHub Enterprise Server does. Gives the
    /// requests that were won: others may have been faster.
    ///
    /// # Errors
    /// [`Error::SessionGone`], [`Error::SetGone`], and whatever else GitHub refuses.
    pub async fn acquire(&self, session: &Session, requests: &[i64]) -> Result<Vec<i64>, Error> {
        let base = self.connections.get(&self.service).await?.base.clone();
        let id = session.set().id.to_string();
        let url = below(&base, &[&SETS[..], &[&id, "acquirejobs"]].concat(), &[]);
        let about = About { patience: SHORT, ..About::set(session.set().id) };
        let ask = |_: &Queue| {
            let (url, body) = (url.clone(), Some(json!(requests)));
            Ask { method: Method::POST, url, body, about }
        };
        let Won { value } = self.with_queue(session, ask).await?.json()?;
        Ok(value)
    }

    /// Sends with the queue's token; a 401 gets one try with a renewed one.
    async fn with_queue(
        &self,
        session: &Session,
        ask: impl Fn(&Queue) -> Ask + Send,
    ) -> Result<Reply, Error> {
        let queue = session.queue().await;
        let mut reply = self.send_with(&queue, ask(&queue)).await?;
        if reply.status == 401 {
            let queue = self.renewed(session, &queue).await?;
            reply = self.send_with(&queue, ask(&queue)).await?;
        }
        if reply.is_success() {
            return Ok(reply);
        }
        Err(self.refusal(&reply, Subject::Session(&session.set().name)))
    }

    async fn send_with(&self, queue: &Queue, ask: Ask) -> Result<Reply, Error> {
        let Ask { method, url, body, about } = ask;
        let bearer = Bearer::Token(&queue.token);
        self.service.send(Call { method, url, bearer, body: body.as_ref(), about }).await
    }
}
