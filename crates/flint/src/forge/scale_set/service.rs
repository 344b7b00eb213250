//! Sends one call to GitHub's Actions service and gives its answer, whatever its status. It retries nothing.
//!
//! Source of the forms: actions/scaleset. Each call of the service carries `api-version`, and errors are JSON with
//! `typeName` and `message`, some with a byte order mark in front, some plain text.

use super::{Error, SetId};
use crate::forge::limits::{Gate, Seen};
use crate::forge::rest::now;
use crate::forge::{self, Proxy, body, transport};
use crate::text;
use flint_core::ask::Budget;
use flint_wire::Secret;
use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use serde_json::{Value, json};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use url::Url;
use zeroize::Zeroizing;

/// The only one there is; all of it is a preview.
pub(super) const API_VERSION: &str = "6.0-preview";
const FORM: &str = "application/json; api-version=6.0-preview";
/// GitHub itself gives up after ten seconds.
pub(super) const SHORT: Duration = Duration::from_secs(15);
/// A poll is held for about 50 s; the official client waits five minutes.
pub(super) const LONG: Duration = Duration::from_secs(5 * 60);
const CAPACITY: &str = "x-scalesetmaxcapacity";
const MARK: &[u8] = b"\xef\xbb\xbf";

/// The client.
pub(super) struct Service {
    http: reqwest::Client,
    /// Once GitHub said "too much", nothing goes out before the time that it named.
    gate: Mutex<Gate>,
}

/// Who calls.
#[derive(Clone, Copy)]
pub(super) enum Bearer<'a> {
    /// Whoever has a registration token.
    Registration(&'a Secret),
    /// Whoever has a token of the service or of a message queue.
    Token(&'a Secret),
}

/// One call.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) bearer: Bearer<'a>,
    pub(super) body: Option<&'a Value>,
    pub(super) about: About,
}

/// What a call says besides.
#[derive(Clone, Copy)]
pub(super) struct About {
    /// Which scale set it is for.
    pub(super) set: Option<SetId>,
    /// How many jobs that may have at once.
    pub(super) capacity: Option<u32>,
    /// How long an answer is waited for.
    pub(super) patience: Duration,
}

/// An answer.
pub(super) struct Reply {
    pub(super) call: String,
    pub(super) status: u16,
    body: Zeroizing<Vec<u8>>,
    /// The service's number of the call, which GitHub's support asks for.
    activity: Option<String>,
}

impl Service {
    /// Prepares the client of the GitHub at `base`; nothing is sent.
    pub(super) fn new(base: &Url, ca_certificates: Option<&str>) -> Result<Self, Error> {
        let client = transport::client(base, ca_certificates);
        // An answer does not choose where the next call goes.
        let http = client
            .map_err(|source| Error::Rest { source })?
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|source| Error::Rest {
                source: forge::Error::Client { source: source.into() },
            })?;
        // These calls are apart from those of the REST API; whether GitHub counts them is not documented.
        Ok(Service { http, gate: Mutex::new(Gate::of(Budget::Installation)) })
    }

    /// Sends it once.
    pub(super) async fn send(&self, call: Call<'_>) -> Result<Reply, Error> {
        let name = format!("{} {}", call.method, text::line(call.url.path()));
        let shut = self.gate().shut(now());
        if let Some(until) = shut {
            let wait_s = until.since(now()).as_secs();
            return Err(Error::Limited { call: name, until, wait_s });
        }
        let proxy = Proxy::of(&call.url);
        let mut request = self
            .http
            .request(call.method, call.url)
            .headers(headers(call.about)?)
            .timeout(call.about.patience);
        request = match call.bearer {
            Bearer::Token(token) => request.bearer_auth(token.expose()),
            Bearer::Registration(token) => request.header(AUTHORIZATION, remote_auth(token)?),
        };
        if let Some(body) = call.body {
            request = request.body(body.to_string());
        }
        let no_answer = |source: reqwest::Error| Error::NoAnswer {
            call: name.clone(),
            proxy: proxy.clone(),
            source: source.without_url(),
        };
        let response = request.send().await.map_err(no_answer)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = body::read(response, &name).await.map_err(unread)?;
        let activity = headers.get("activityid").and_then(|id| id.to_str().ok()).map(text::line);
        let reply = Reply { call: name, status, body, activity };
        let said = if reply.is_success() { String::new() } else { reply.said().1 };
        let now = now();
        let until = self.gate().learn(&Seen { status, headers: &headers, said: &said }, now);
        match until {
            Some(until) => {
                let wait_s = until.since(now).as_secs();
                Err(Error::Limited { call: reply.call, until, wait_s })
            }
            None => Ok(reply),
        }
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        // A panic while it was held leaves plain fields.
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl About {
    /// A short call that is about no set.
    pub(super) const NOTHING: About = About { set: None, capacity: None, patience: SHORT };

    /// A short call about one.
    pub(super) fn set(set: SetId) -> Self {
        About { set: Some(set), ..About::NOTHING }
    }
}

impl Reply {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body, without a byte order mark.
    pub(super) fn bytes(&self) -> &[u8] {
        self.body.strip_prefix(MARK).unwrap_or(&self.body)
    }

    /// The body as JSON of the wanted shape.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(self.bytes()).map_err(|e| {
            // Serde's own words quote the value, which may be a token.
            self.garbage(match e.classify() {
                serde_json::error::Category::Data => {
                    "a field is missing or has another type".to_owned()
                }
                _ => format!("no JSON at line {} column {}", e.line(), e.column()),
            })
        })
    }

    pub(super) fn garbage(&self, problem: String) -> Error {
        Error::Garbage { call: self.call.clone(), problem }
    }

    /// An error's type, and its message on one line.
    pub(super) fn said(&self) -> (String, String) {
        let body: Value = serde_json::from_slice(self.bytes()).unwrap_or_default();
        let kind = body["typeName"].as_str().unwrap_or_default();
        let plain = String::from_utf8_lossy(self.bytes());
        let plain = Some(plain.trim()).filter(|text| body.is_null() && !text.is_empty());
        let message = body["message"].as_str().or(plain).unwrap_or("(no message)");
        let message = match &self.activity {
            Some(activity) => format!("{} (ActivityId {activity})", text::line(message)),
            None => text::line(message),
        };
        (text::line(kind), message)
    }
}

fn headers(about: About) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static(FORM));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(capacity) = about.capacity {
        headers.insert(CAPACITY, capacity.into());
    }
    let agent =
        HeaderValue::from_str(&user_agent(about.set)).map_err(|_| unusable("user agent"))?;
    headers.insert(USER_AGENT, agent);
    Ok(headers)
}

/// The official client's form, with Flint as the system, so that GitHub knows whom to ask.
fn user_agent(set: Option<SetId>) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let set = set.map_or(0, |SetId(id)| id);
    json!({
        "system": "flint", "version": version, "commit_sha": "", "scale_set_id": set, "subsystem": "daemon",
        "build_version": version, "build_commit_sha": "", "kind": "scaleset",
    })
    .to_string()
}

fn remote_auth(token: &Secret) -> Result<HeaderValue, Error> {
    let text = Zeroizing::new(format!("RemoteAuth {}", token.expose()));
    let mut value = HeaderValue::from_str(&text).map_err(|_| unusable("registration token"))?;
    value.set_sensitive(true);
    Ok(value)
}

fn unusable(what: &str) -> Error {
    let (call, problem) = ("connect".to_owned(), format!("the {what} fits into no header"));
    Error::Garbage { call, problem }
}

/// The errors of a body that was not read to its end.
fn unread(error: forge::Error) -> Error {
    match error {
        forge::Error::NoAnswer { call, proxy, source } => Error::NoAnswer { call, proxy, source },
        forge::Error::Garbage { call, problem } => Error::Garbage { call, problem },
        source => Error::Rest { source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(body: &[u8]) -> Reply {
        Reply {
            call: "GET /x".to_owned(),
            status: 404,
            body: Zeroizing::new(body.to_vec()),
            activity: None,
        }
    }

    #[test]
    fn an_error_is_read_as_json_with_a_mark_in_front_and_as_plain_text() {
        let body = b"\xef\xbb\xbf{\"typeName\":\"RunnerScaleSetNotFoundException\",\"message\":\"no\\u001b[31m set\"}";
        let (kind, message) = reply(body).said();
        assert_eq!(kind, "RunnerScaleSetNotFoundException");
        assert_eq!(message, "no\u{fffd}[31m set");
        assert_eq!(reply(b"gone\n").said(), (String::new(), "gone".to_owned()));
        assert_eq!(reply(b"").said().1, "(no message)");
        let told = Reply { activity: Some("a-1".to_owned()), ..reply(b"gone") };
        assert_eq!(told.said().1, "gone (ActivityId a-1)");
    }

    #[test]
    fn a_body_that_is_not_read_is_not_quoted() {
        let error = reply(b"{\"token\": \"hunter2\"").json::<Value>().expect_err("it is cut");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn the_user_agent_names_flint_and_the_set() {
        let agent: Value = serde_json::from_str(&user_agent(Some(SetId(7)))).expect("it is JSON");
        assert_eq!(
            (agent["system"].as_str(), agent["scale_set_id"].as_u64()),
            (Some("flint"), Some(7))
        );
    }
}
