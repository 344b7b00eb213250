//! The session of a scale set: who hears of its jobs.

use super::message::Statistics;
use super::refusal::Subject;
use super::service::Reply;
use super::{Ask, Error, SETS, ScaleSet, ScaleSets, SetId, Wanted};
use flint_wire::Secret;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::sync::Mutex;
use url::Url;

/// A session that we hold. It ends by [`ScaleSets::close`], or lapses at GitHub some minutes after the last poll.
pub struct Session {
    set: ScaleSet,
    id: String,
    statistics: Option<Statistics>,
    // Held while its token is renewed: whoever else needs it waits for it instead of renewing again.
    queue: Mutex<Arc<Queue>>,
}

/// Where its messages are. The number tells an old token from its successor.
pub(super) struct Queue {
    pub(super) url: Url,
    pub(super) token: Secret,
    number: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Opened {
    #[serde(default)]
    session_id: String,
    #[serde(default)]
    message_queue_url: String,
    message_queue_access_token: Option<Secret>,
    #[serde(default)]
    statistics: Value,
}

impl Session {
    /// Of which set.
    #[must_use]
    pub fn set(&self) -> &ScaleSet {
        &self.set
    }

    /// GitHub's id of it: with it, [`ScaleSets::close_left`] ends a session whose owner died.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How things stood when it was opened, if GitHub said so.
    #[must_use]
    pub fn statistics(&self) -> Option<Statistics> {
        self.statistics
    }

    pub(super) async fn queue(&self) -> Arc<Queue> {
        Arc::clone(&*self.queue.lock().await)
    }
}

impl ScaleSets {
    /// Finds or makes the set, opens its session, and gives it our labels: in this order, so that nothing of a set is
    /// changed that somebody else serves.
    ///
    /// # Errors
    /// [`Error::Conflict`] when somebody else holds the session; as [`Self::ensure`] and [`Self::relabel`].
    pub async fn take(&self, wanted: &Wanted, owner: &str) -> Result<Session, Error> {
        self.take_over(wanted, owner, None).await
    }

    /// As [`Self::take`]; a session of the same set that an earlier life of ours left open is ended first.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub async fn take_over(
        &self,
        wanted: &Wanted,
        owner: &str,
        left: Option<(SetId, &str)>,
    ) -> Result<Session, Error> {
        let set = self.ensure(wanted).await?;
        if let Some((_, session)) = left.filter(|(of, _)| *of == set.id) {
            self.let_go(&set, session).await;
        }
        let mut session = self.open(&set, owner).await?;
        match self.relabel(&set, wanted).await {
            Ok(set) => {
                session.set = set;
                Ok(session)
            }
            Err(error) => {
                self.let_go(&session.set, &session.id).await;
                Err(error)
            }
        }
    }

    /// Opens the session of a set.
    ///
    /// # Errors
    /// [`Error::Conflict`], [`Error::SetGone`], [`Error::NoQueue`], and whatever else GitHub refuses.
    pub async fn open(&self, set: &ScaleSet, owner: &str) -> Result<Session, Error> {
        let id = set.id.to_string();
        let path = [&SETS[..], &[&id, "sessions"]].concat();
        let (method, body) = (Method::POST, Some(json!({ "ownerName": owner })));
        let subject = Subject::NewSession(&set.name);
        let ask = Ask { method, path: &path, query: &[], body, set: Some(set.id), subject };
        let reply = self.ask(ask).await?;
        let opened: Opened = reply.json()?;
        if opened.session_id.is_empty() {
            return Err(reply.garbage("`sessionId` is missing".to_owned()));
        }
        let (id, statistics) = (opened.session_id.clone(), Statistics::read(&opened.statistics));
        match self.queue_of(&reply, opened, set, 0) {
            Ok(queue) => {
                let queue = Mutex::new(Arc::new(queue));
                Ok(Session { set: set.clone(), id, statistics, queue })
            }
            Err(error) => {
                // It is open at GitHub, and would be in the way of the next try.
                self.let_go(set, &id).await;
                Err(error)
            }
        }
    }

    /// Renews the token of a session's messages. Polls do so by themselves when it has ended.
    ///
    /// # Errors
    /// [`Error::SessionGone`], [`Error::SetGone`], and whatever else GitHub refuses.
    pub async fn refresh(&self, session: &Session) -> Result<(), Error> {
        let queue = session.queue().await;
        self.renewed(session, &queue).await.map(|_| ())
    }

    /// Ends a session. One that is gone is ended.
    ///
    /// # Errors
    /// Whatever GitHub refuses; the session then lapses by itself.
    pub async fn close(&self, session: &Session) -> Result<(), Error> {
        self.close_left(&session.set, &session.id).await
    }

    /// Ends a session that an earlier life of ours left open.
    ///
    /// # Errors
    /// As [`Self::close`].
    pub async fn close_left(&self, set: &ScaleSet, session: &str) -> Result<(), Error> {
        match self.on_session(Method::DELETE, set, session).await {
            Ok(_) | Err(Error::SessionGone { .. } | Error::SetGone { .. }) => Ok(()),
            Err(other) => Err(other),
        }
    }

    /// Another token than that of `refused`, which GitHub answered 401 to.
    pub(super) async fn renewed(
        &self,
        session: &Session,
        refused: &Queue,
    ) -> Result<Arc<Queue>, Error> {
        let mut held = session.queue.lock().await;
        if held.number != refused.number {
            return Ok(Arc::clone(&held));
        }
        let reply = self.on_session(Method::PATCH, &session.set, &session.id).await?;
        let queue = self.queue_of(&reply, reply.json()?, &session.set, held.number + 1)?;
        *held = Arc::new(queue);
        Ok(Arc::clone(&held))
    }

    async fn on_session(
        &self,
        method: Method,
        set: &ScaleSet,
        session: &str,
    ) -> Result<Reply, Error> {
        let id = set.id.to_string();
        let path = [&SETS[..], &[&id, "sessions", session]].concat();
        let subject = Subject::Session(&set.name);
        self.ask(Ask { method, path: &path, query: &[], body: None, set: Some(set.id), subject })
            .await
    }

    fn queue_of(
        &self,
        reply: &Reply,
        opened: Opened,
        set: &ScaleSet,
        number: u64,
    ) -> Result<Queue, Error> {
        let none =
            |problem| Error::NoQueue { call: reply.call.clone(), set: set.name.clone(), problem };
        let url = self.connections.address(&opened.message_queue_url).map_err(none)?;
        let token = opened.message_queue_access_token.filter(|token| !token.expose().is_empty());
        let token = token.ok_or_else(|| none("its token is missing"))?;
        Ok(Queue { url, token, number })
    }

    async fn let_go(&self, set: &ScaleSet, session: &str) {
        if let Err(error) = self.close_left(set, session).await {
            tracing::warn!(%set, %error, "cannot close a session that is of no use");
        }
    }
}
