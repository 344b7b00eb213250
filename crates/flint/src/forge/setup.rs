//! What is asked of GitHub before Flint has an App: who an account is, and for a manifest's code the App itself.
//!
//! Source: GitHub's page on registering an App from a manifest.

use super::pages::Account;
use super::rest::{Bearer, CODE, Call, Freshness, Reply, Rest};
use super::{Error, Scope};
use flint_wire::Secret;
use reqwest::Method;
use serde::Deserialize;
use url::Url;

/// The address of a webhook that is off: GitHub asks for one all the same, and this one is nobody's (RFC 2606).
pub const NO_HOOK: &str = "https://example.com/webhook";

/// GitHub, for somebody who has no App there yet.
pub struct Setup {
    rest: Rest,
}

/// Who owns a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// `None`: GitHub tells strangers nothing.
    pub account: Option<Account>,
    /// GitHub's clock minus ours, seconds, if its answer said what time it is.
    pub skew: Option<i64>,
}

/// An App that was just made. GitHub shows its secrets this once.
pub struct Made {
    /// Its number.
    pub id: u64,
    /// Its name, which is unique over all of GitHub.
    pub name: String,
    /// The name as it stands in addresses.
    pub slug: String,
    /// Its public page.
    pub page: Url,
    /// Whose it is.
    pub owner: String,
    /// Its key, PEM.
    pub private_key: Secret,
    /// What its webhooks are signed with; GitHub makes none for an App without a webhook.
    pub webhook_secret: Option<Secret>,
}

#[derive(Deserialize)]
struct Shown {
    #[serde(rename = "type")]
    kind: String,
}

/// The client secret is left out: Flint signs nobody in.
#[derive(Deserialize)]
struct Converted {
    id: u64,
    name: String,
    slug: String,
    html_url: String,
    owner: Login,
    pem: Secret,
    webhook_secret: Option<Secret>,
}

#[derive(Deserialize)]
struct Login {
    login: String,
}

impl Setup {
    /// Prepares the client; nothing is sent. `ca_certificates` (PEM) are trusted beside the system's.
    ///
    /// # Errors
    /// [`Error::BadUrl`], [`Error::Client`].
    pub fn new(api_url: &str, ca_certificates: Option<&str>) -> Result<Self, Error> {
        Ok(Setup { rest: Rest::new(api_url, ca_certificates)? })
    }

    /// Looks the owner of a scope up, as anybody may.
    ///
    /// # Errors
    /// [`Error::NotFound`] when there is no such account; [`Error::NoAnswer`] and its like.
    pub async fn owner(&self, scope: &Scope) -> Result<Found, Error> {
        let reply = match self.get(Bearer::Nobody, &["users", scope.owner()]).await {
            Ok(reply) => reply,
            // A server in private mode, or too many strangers at this address: that is no reason to stop.
            Err(Error::Unauthorized { skew, .. }) => return Ok(Found { account: None, skew }),
            Err(Error::Forbidden { .. } | Error::RateLimited { .. }) => {
                return Ok(Found { account: None, skew: None });
            }
            Err(error) => return Err(error),
        };
        let shown: Shown = reply.json()?;
        let account = match shown.kind.as_str() {
            "Organization" => Some(Account::Organization),
            "User" => Some(Account::User),
            _ => None,
        };
        Ok(Found { account, skew: reply.skew() })
    }

    /// Exchanges a manifest's code for the App. A code works once, and for an hour.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the code was used or is too old.
    pub async fn exchange(&self, code: &Secret) -> Result<Made, Error> {
        let path = ["app-manifests", CODE, "conversions"];
        let (bearer, freshness) = (Bearer::Code(code), Freshness::Sent);
        let call =
            Call { method: Method::POST, path: &path, query: &[], body: None, bearer, freshness };
        let reply = self.rest.send(call).await?;
        let made: Converted = reply.json()?;
        let page = Url::parse(&made.html_url)
            .map_err(|_| reply.garbage("the App's page is no URL".to_owned()))?;
        Ok(Made {
            id: made.id,
            name: made.name,
            slug: made.slug,
            page,
            owner: made.owner.login,
            private_key: made.pem,
            webhook_secret: made.webhook_secret.filter(|secret| !secret.expose().is_empty()),
        })
    }

    async fn get(&self, bearer: Bearer<'_>, path: &[&str]) -> Result<Reply, Error> {
        let freshness = Freshness::Sent;
        let call = Call { method: Method::GET, path, query: &[], body: None, bearer, freshness };
        self.rest.send(call).await
    }
}
