//! GitHub's runner scale sets: demand by long poll instead of webhooks, and runners for it.
//!
//! All of it is a preview of GitHub's, api-version 6.0-preview. There is no reference of the calls; their source here
//! is the official client, actions/scaleset, which Actions Runner Controller is made with.
//!
//! A scale set has at most one session, and only its owner hears of jobs. So the order is: [`ScaleSets::take`], then
//! [`ScaleSets::poll`] and [`ScaleSets::acknowledge`] in a loop, [`ScaleSets::jit`] for each runner, and at an orderly
//! end [`ScaleSets::close`]. Nothing here retries but once after a 401: [`Error::next`] says what the caller does.

mod address;
mod claims;
mod connection;
mod error;
mod job;
mod message;
mod profile;
mod queue;
mod refusal;
mod service;
mod session;
mod sets;

pub use error::{Error, Next};
pub use job::{Job, JobId, JobMessage, Outcome, Taker};
pub use message::{Message, MessageId, Polled, Statistics, Unreadable};
pub use profile::ProfileSet;
pub use session::Session;
pub use sets::{ScaleSet, SetId, Wanted};

use crate::forge::Scope;
use crate::forge::caller::Caller;
use connection::{Connection, Connections};
use refusal::{Subject, refusal};
use reqwest::Method;
use serde_json::Value;
use service::{API_VERSION, About, Bearer, Call, Reply, Service};
use std::sync::Arc;
use url::Url;

/// Where the service keeps scale sets.
const SETS: [&str; 3] = ["_apis", "runtime", "runnerscalesets"];

/// GitHub's scale sets, for one scope.
pub struct ScaleSets {
    connections: Connections,
    service: Service,
}

/// A call of the service's administration.
struct Ask<'a> {
    method: Method,
    /// Segments below the service's address, not yet escaped.
    path: &'a [&'a str],
    query: &'a [(&'a str, &'a str)],
    body: Option<Value>,
    set: Option<SetId>,
    subject: Subject<'a>,
}

impl ScaleSets {
    /// Prepares everything and sends nothing. Whoever calls for others too shares one budget with them.
    ///
    /// # Errors
    /// [`Error::Rest`] when the HTTP client cannot be made.
    pub fn new(caller: Arc<Caller>, scope: Scope) -> Result<Self, Error> {
        let connections = Connections::new(caller, scope);
        let (base, ca_certificates) = connections.server();
        let service = Service::new(base, ca_certificates.as_deref())?;
        Ok(ScaleSets { connections, service })
    }

    /// Shows that GitHub lets us in: connects, unless it is connected. For `flint doctor`.
    ///
    /// # Errors
    /// Whatever stands in the way.
    pub async fn check(&self) -> Result<(), Error> {
        self.connections.get(&self.service).await.map(|_| ())
    }

    /// The page of a workflow run, for people.
    #[must_use]
    pub fn run_page(&self, repository: &str, run: u64) -> String {
        self.connections.home().run(repository, run).into()
    }

    /// Sends with the service's token; a 401 gets one try with a new one, for it was not carried out.
    async fn ask(&self, ask: Ask<'_>) -> Result<Reply, Error> {
        let connection = self.connections.get(&self.service).await?;
        let mut reply = self.ask_at(&connection, &ask).await?;
        if reply.status == 401 {
            let connection = self.connections.renewed(&self.service, &connection).await?;
            reply = self.ask_at(&connection, &ask).await?;
        }
        match (reply.status, ask.subject) {
            _ if reply.is_success() => Ok(reply),
            // It was the service's token, not the session's.
            (401, _) => Err(self.refusal(&reply, Subject::Service)),
            (_, subject) => Err(self.refusal(&reply, subject)),
        }
    }

    async fn ask_at(&self, connection: &Connection, ask: &Ask<'_>) -> Result<Reply, Error> {
        let url = below(&connection.base, ask.path, ask.query);
        let (method, body) = (ask.method.clone(), ask.body.as_ref());
        let bearer = Bearer::Token(&connection.token);
        let about = ask.set.map_or(About::NOTHING, About::set);
        self.service.send(Call { method, url, bearer, body, about }).await
    }

    fn refusal(&self, reply: &Reply, subject: Subject<'_>) -> Error {
        refusal(self.connections.home(), reply, subject)
    }
}

/// An address of the service, below the one that GitHub named.
fn below(base: &Url, path: &[&str], query: &[(&str, &str)]) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url.query_pairs_mut().extend_pairs(query).append_pair("api-version", API_VERSION);
    url
}

#[cfg(test)]
mod tests {
    use super::below;
    use url::Url;

    #[test]
    fn names_of_strangers_cannot_leave_their_place_in_an_address() {
        let base = Url::parse("https://broker.example/rest/?tenant=7").unwrap();
        let url = below(&base, &["_apis", "a/../b?c"], &[("name", "x&y")]);
        let wanted = "https://broker.example/rest/_apis/a%2F..%2Fb%3Fc?tenant=7&name=x%26y&api-version=6.0-preview";
        assert_eq!(url.as_str(), wanted);
    }
}
