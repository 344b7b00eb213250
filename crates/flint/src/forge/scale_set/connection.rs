//! The way to GitHub's Actions service: a registration token, and for it the service's address and a token of its own.
//!
//! Source: actions/scaleset. Both are made when needed, shared by all, and renewed before they end.

use super::Error;
use super::address::{Home, named};
use super::claims::ends;
use super::refusal::{Subject, refusal};
use super::service::{About, Bearer, Call, Reply, Service};
use crate::forge::caller::Caller;
use crate::forge::rest::{self, Freshness};
use crate::forge::{self, Scope};
use flint_core::units::Timestamp;
use flint_wire::Secret;
use reqwest::Method;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// What has less than this left is renewed, as the official client does.
const SPARE: Duration = Duration::from_secs(60);
/// How long a token is used that does not say when it ends.
const UNTOLD: Duration = Duration::from_secs(5 * 60);

/// Makes connections, one at a time.
pub(super) struct Connections {
    caller: Arc<Caller>,
    scope: Scope,
    home: Home,
    // Held while one is made: whoever else wants one waits for it instead of making another.
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    registration: Option<Registration>,
    connection: Option<Arc<Connection>>,
    made: u64,
}

/// A connection as handed out. The number tells an old one from its successor.
pub(super) struct Connection {
    pub(super) base: url::Url,
    pub(super) token: Secret,
    number: u64,
    expires: Timestamp,
}

struct Registration {
    token: Secret,
    expires: Timestamp,
}

#[derive(serde::Deserialize)]
struct Minted {
    token: Secret,
    expires_at: jiff::Timestamp,
}

#[derive(serde::Deserialize)]
struct Registered {
    #[serde(default)]
    url: String,
    token: Secret,
}

impl Connections {
    /// Prepares everything and sends nothing.
    pub(super) fn new(caller: Arc<Caller>, scope: Scope) -> Self {
        let home = Home::new(caller.rest.base(), scope.clone());
        Connections { caller, scope, home, held: Mutex::default() }
    }

    /// The REST API's address, and whom its clients trust beside the system's authorities: PEM.
    pub(super) fn server(&self) -> (&url::Url, Option<String>) {
        (self.caller.rest.base(), self.caller.rest.ca_certificates())
    }

    pub(super) fn home(&self) -> &Home {
        &self.home
    }

    /// The address that GitHub named in answer to a call, if tokens may be sent there.
    pub(super) fn address(&self, text: &str) -> Result<url::Url, &'static str> {
        named(text, self.caller.rest.base())
    }

    /// The connection in use, renewed when little of it is left.
    pub(super) async fn get(&self, service: &Service) -> Result<Arc<Connection>, Error> {
        let mut held = self.held.lock().await;
        let fresh = |connection: &&Arc<Connection>| rest::now().after(SPARE) < connection.expires;
        match held.connection.as_ref().filter(fresh) {
            Some(connection) => Ok(Arc::clone(connection)),
            None => self.make(service, &mut held).await,
        }
    }

    /// Another connection than `refused`, which GitHub answered 401 to.
    pub(super) async fn renewed(
        &self,
        service: &Service,
        refused: &Connection,
    ) -> Result<Arc<Connection>, Error> {
        let mut held = self.held.lock().await;
        match held.connection.as_ref().filter(|held| held.number != refused.number) {
            Some(newer) => Ok(Arc::clone(newer)),
            None => self.make(service, &mut held).await,
        }
    }

    async fn make(&self, service: &Service, held: &mut Held) -> Result<Arc<Connection>, Error> {
        held.connection = None;
        let fresh = |had: &Registration| rest::now().after(SPARE) < had.expires;
        let had = held.registration.take().filter(fresh);
        let (registration, is_new) = match had {
            Some(registration) => (registration, false),
            None => (self.registration().await?, true),
        };
        let mut reply = self.connect(service, &registration).await?;
        held.registration = Some(registration);
        if reply.status == 401 && !is_new {
            let registration = self.registration().await?;
            reply = self.connect(service, &registration).await?;
            held.registration = Some(registration);
        }
        if !reply.is_success() {
            held.registration = held.registration.take().filter(|_| reply.status != 401);
            return Err(refusal(&self.home, &reply, Subject::Service));
        }
        held.made += 1;
        let connection = Arc::new(self.connection(&reply, held.made)?);
        held.connection = Some(Arc::clone(&connection));
        Ok(connection)
    }

    /// A registration token. A 401 gets one try with a new token of the installation, for it was not carried out.
    async fn registration(&self) -> Result<Registration, Error> {
        let Caller { rest, tokens, .. } = &*self.caller;
        let token = tokens.get(rest).await.map_err(|e| self.told(e))?;
        let mut reply = self.ask_registration(&token.text).await;
        if matches!(reply, Err(forge::Error::Unauthorized { .. })) {
            let renewed = tokens.renewed(rest, &token).await;
            reply = self.ask_registration(&renewed.map_err(|e| self.told(e))?.text).await;
        }
        let minted: Minted = reply.and_then(|reply| reply.json()).map_err(|e| self.told(e))?;
        let expires = Timestamp(u64::try_from(minted.expires_at.as_millisecond()).unwrap_or(0));
        Ok(Registration { token: minted.token, expires })
    }

    async fn ask_registration(&self, token: &Secret) -> Result<rest::Reply, forge::Error> {
        let mut path = self.scope.home();
        path.extend(["actions", "runners", "registration-token"]);
        let (method, bearer) = (Method::POST, rest::Bearer::Installation(token));
        let freshness = Freshness::Sent;
        let call = rest::Call { method, path: &path, query: &[], body: None, bearer, freshness };
        self.caller.rest.send(call).await
    }

    async fn connect(&self, service: &Service, with: &Registration) -> Result<Reply, Error> {
        let mut url = self.caller.rest.base().clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["actions", "runner-registration"]);
        }
        let body = serde_json::json!({ "url": page(&self.home), "runner_event": "register" });
        let bearer = Bearer::Registration(&with.token);
        let (method, about) = (Method::POST, About::NOTHING);
        service.send(Call { method, url, bearer, body: Some(&body), about }).await
    }

    fn connection(&self, reply: &Reply, number: u64) -> Result<Connection, Error> {
        let Registered { url, token } = reply.json()?;
        let call = reply.call.clone();
        let base = self.address(&url).map_err(|problem| Error::Address { call, problem })?;
        let expires = ends(&token).unwrap_or_else(|| rest::now().after(UNTOLD));
        Ok(Connection { base, token, number, expires })
    }

    /// What the REST API refused, in this room's words.
    fn told(&self, error: forge::Error) -> Error {
        match error {
            forge::Error::Forbidden { call, said } => Error::Forbidden {
                call,
                said,
                permission: self.home.permission(),
                page: self.home.settings().into(),
            },
            forge::Error::RateLimited { call, until, wait_s, .. } => {
                Error::Limited { call, until, wait_s }
            }
            source => Error::Rest { source },
        }
    }
}

fn page(home: &Home) -> String {
    home.page().into()
}
