//! Who calls the REST API: one for each installation, shared by all who call on its budget.

use super::lack::Lack;
use super::pages::web;
use super::rest::{Bearer, Call, Freshness, Reply, Rest};
use super::token::Tokens;
use super::{Error, Options, Scope};
use flint_core::id::InstallationId;
use flint_wire::Secret;
use reqwest::Method;
use serde_json::Value;

/// An App at one installation, or a person by a token.
pub struct Caller {
    pub(super) installation: InstallationId,
    pub(super) rest: Rest,
    pub(super) tokens: Tokens,
}

/// What a call needs beyond who calls.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) path: &'a [&'a str],
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) body: Option<Value>,
    pub(super) freshness: Freshness,
}

impl Caller {
    /// Prepares everything and sends nothing. The App is installed where the options' scope is.
    ///
    /// # Errors
    /// [`Error::NotAKey`], [`Error::BadUrl`], [`Error::Client`].
    pub fn new(options: &Options) -> Result<Self, Error> {
        let Options { api_url, ca_certificates, scope, credentials, .. } = options;
        let rest = Rest::new(api_url, ca_certificates.as_deref())?;
        let tokens = Tokens::new(credentials, scope)?;
        Ok(Caller { installation: installation(scope), rest, tokens })
    }

    /// GitHub's clock minus ours, seconds, if that is so much that it does harm.
    #[must_use]
    pub fn skew(&self) -> Option<i64> {
        self.rest.skew()
    }

    /// The version of an Enterprise Server, such as `3.20.1`, once it has answered.
    #[must_use]
    pub fn server(&self) -> Option<&str> {
        self.rest.server()
    }

    /// Whether an App calls, and not a person.
    pub(super) fn is_app(&self) -> bool {
        self.tokens.is_app()
    }

    /// Sends with the installation's token; a 401 gets one try with a new token, for it was not carried out.
    pub(super) async fn send(&self, ask: Ask<'_>) -> Result<Reply, Error> {
        let token = self.tokens.get(&self.rest).await?;
        let first = self.send_as(&ask, &token.text).await;
        if !matches!(first, Err(Error::Unauthorized { .. })) {
            return first;
        }
        let token = self.tokens.renewed(&self.rest, &token).await?;
        self.send_as(&ask, &token.text).await
    }

    async fn send_as(&self, ask: &Ask<'_>, token: &Secret) -> Result<Reply, Error> {
        let Ask { method, path, query, body, freshness } = ask;
        let lacks = || {
            let lack = Lack::of(self.is_app(), path)?;
            Some((lack, lack.page(&web(self.rest.base()), path).into()))
        };
        let (method, body, freshness) = (method.clone(), body.clone(), *freshness);
        let bearer = Bearer::Installation(token);
        let sent = self.rest.send(Call { method, path, query, body, bearer, freshness }).await;
        sent.map_err(|error| match error {
            Error::Forbidden { call, said, .. } => Error::Forbidden { call, said, lacks: lacks() },
            other => other,
        })
    }

    /// Reads something that often stays the same from one question to the next.
    pub(super) async fn read(&self, path: &[&str], query: &[(&str, &str)]) -> Result<Reply, Error> {
        let (method, freshness) = (Method::GET, Freshness::Kept);
        self.send(Ask { method, path, query, body: None, freshness }).await
    }

    /// Reads what only the App itself may read.
    pub(super) async fn read_as_app(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Reply, Error> {
        self.tokens.read_as_app(&self.rest, path, query).await
    }
}

/// Whose calls those about a scope are. All scopes of an owner are of one entry of the configuration, so nobody else's
/// have his name.
pub(super) fn installation(scope: &Scope) -> InstallationId {
    match scope {
        Scope::Enterprise(_) => InstallationId::new(scope.id().as_str()),
        Scope::Organization(_) | Scope::Repository { .. } => {
            InstallationId::new(&scope.owner().to_ascii_lowercase())
        }
    }
}
