//! Sends one REST call to GitHub and says plainly what came of it. It retries nothing.

use super::etags::{Etags, Kept};
use super::limits::{Gate, REGISTRATIONS, Seen};
use super::proxy::Proxy;
use super::{Error, body, clock, transport};
use crate::text;
use flint_core::ask::{Budget, Quota};
use flint_core::units::Timestamp;
use flint_wire::Secret;
use reqwest::Method;
use reqwest::header::{ACCEPT, DATE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH, LINK};
use serde_json::Value;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use url::Url;
use zeroize::Zeroizing;

/// Pinned: a newer default of GitHub's must not change what is read here.
const API_VERSION: &str = "2022-11-28";
const USER_AGENT: &str = concat!("flint/", env!("CARGO_PKG_VERSION"));
/// A generate-jitconfig takes about half a second; GitHub itself gives up after ten.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// Stands in a path for a manifest's code, in names of calls too: the code is as good as the App's key.
pub(super) const CODE: &str = "CODE";
/// GitHub's cursors have about 20 characters.
const LONGEST_CURSOR: usize = 256;
const NOT_MODIFIED: u16 = 304;
/// An Enterprise Server says its version with each answer.
const SERVER_VERSION: &str = "x-github-enterprise-version";

/// The client. GitHub counts calls of the App and calls of its installation apart, so there is a gate for each.
pub(super) struct Rest {
    http: reqwest::Client,
    base: Url,
    ca_certificates: Option<String>,
    app_gate: Mutex<Gate>,
    installation_gate: Mutex<Gate>,
    etags: Mutex<Etags>,
    skew: clock::Skew,
    server: OnceLock<String>,
}

/// Who calls, and by that: whose budget is used.
#[derive(Clone, Copy)]
pub(super) enum Bearer<'a> {
    /// The App itself, by its signed proof.
    App(&'a Secret),
    /// Its installation, by a token.
    Installation(&'a Secret),
    /// Somebody who made an App just now: the code stands in the path, in the place of [`CODE`].
    Code(&'a Secret),
    /// Anybody. As with a code, such calls are counted by address, not by App.
    Nobody,
}

/// One call.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    /// Segments below the base, not yet escaped: names of strangers are safe here.
    pub(super) path: &'a [&'a str],
    pub(super) query: &'a [(&'a str, &'a str)],
    pub(super) body: Option<Value>,
    pub(super) bearer: Bearer<'a>,
    pub(super) freshness: Freshness,
}

/// Where the body of an answer may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Freshness {
    /// From GitHub.
    Sent,
    /// From GitHub, and it has time: such calls take turns.
    InTurn,
    /// From the last answer, if GitHub says that it is still the same (304), which costs nothing of the budget. These
    /// take turns, too.
    Kept,
}

/// A 2xx answer.
#[derive(Debug)]
pub(super) struct Reply {
    call: String,
    /// Overwritten when the last who has it lets go of it: it may hold a token.
    body: Arc<Zeroizing<Vec<u8>>>,
    next: Option<String>,
    skew: Option<i64>,
}

impl Rest {
    /// Prepares the client; nothing is sent. `ca_certificates` (PEM) are trusted beside the system's.
    pub(super) fn new(api_url: &str, ca_certificates: Option<&str>) -> Result<Self, Error> {
        let base = base_url(api_url)?;
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
        headers.insert("x-github-api-version", HeaderValue::from_static(API_VERSION));
        let http = transport::client(&base, ca_certificates)?
            .user_agent(USER_AGENT)
            .default_headers(headers)
            .timeout(CALL_TIMEOUT)
            .build()
            .map_err(|source| Error::Client { source: source.into() })?;
        let gate = |budget| Mutex::new(Gate::of(budget));
        let (app_gate, installation_gate) = (gate(Budget::App), gate(Budget::Installation));
        let ca_certificates = ca_certificates.map(str::to_owned);
        let (etags, skew, server) = Default::default();
        Ok(Rest { http, base, ca_certificates, app_gate, installation_gate, etags, skew, server })
    }

    /// What every call is below.
    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    /// Whom the runners of this GitHub must trust, too: PEM.
    pub(super) fn ca_certificates(&self) -> Option<String> {
        self.ca_certificates.clone()
    }

    /// GitHub's clock minus ours, seconds, if that is so much that it does harm.
    pub(super) fn skew(&self) -> Option<i64> {
        self.skew.wide()
    }

    /// The version of an Enterprise Server, once it has answered.
    pub(super) fn server(&self) -> Option<&str> {
        self.server.get().map(String::as_str)
    }

    /// What is left of a budget, as far as GitHub said so lately.
    pub(super) fn quota(&self, budget: Budget) -> Option<Quota> {
        let gate = match budget {
            Budget::App => &self.app_gate,
            Budget::Installation => &self.installation_gate,
        };
        lock(gate).quota(now())
    }

    /// Sends it once. Only a 2xx is a success, and a 304 to the question whether it is the same as before.
    pub(super) async fn send(&self, call: Call<'_>) -> Result<Reply, Error> {
        let name = format!("{} {}", call.method, self.url(&call, None).path());
        let (gate, token, code) = match call.bearer {
            Bearer::App(proof) => (&self.app_gate, Some(proof), None),
            Bearer::Installation(token) => (&self.installation_gate, Some(token), None),
            Bearer::Code(code) => (&self.app_gate, None, Some(code)),
            Bearer::Nobody => (&self.app_gate, None, None),
        };
        let url = self.url(&call, code);
        admit(gate, &call, &name).await?;
        // Held over the call: the cache may drop it meanwhile.
        let key = (call.freshness == Freshness::Kept).then(|| url.to_string());
        let kept = key.as_deref().and_then(|key| lock(&self.etags).get(key));
        let mut request = self.http.request(call.method, url);
        if let Some(token) = token {
            request = request.bearer_auth(token.expose());
        }
        if let Some(kept) = &kept {
            request = request.header(IF_NONE_MATCH, kept.etag.clone());
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let no_answer = |source: reqwest::Error| Error::NoAnswer {
            call: name.clone(),
            proxy: Proxy::of(&self.base),
            source: source.without_url(),
        };
        let response = request.send().await.map_err(no_answer)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = body::read(response, &name).await?;
        let said = if status < 300 { String::new() } else { message(&body) };
        let now = now();
        let skew = skew(&headers, now);
        skew.into_iter().for_each(|skew| self.skew.learn(skew));
        if let Some(version) = headers.get(SERVER_VERSION).and_then(|value| value.to_str().ok()) {
            self.server.get_or_init(|| text::line(version));
        }
        let seen = Seen { status, headers: &headers, said: &said };
        let refused_until = lock(gate).learn(&seen, now);
        match (refused_until, kept) {
            (Some(until), _) => Err(limited(name, until, now, seen.has_no_registration_left())),
            (None, Some(kept)) if status == NOT_MODIFIED => {
                Ok(Reply { call: name, body: kept.body, next: kept.next, skew })
            }
            (None, _) if (200..300).contains(&status) => {
                let (body, next) = (Arc::new(body), next_cursor(&headers));
                if let (Some(key), Some(etag)) = (key, headers.get(ETAG)) {
                    let kept =
                        Kept { etag: etag.clone(), body: Arc::clone(&body), next: next.clone() };
                    lock(&self.etags).put(key, kept);
                }
                Ok(Reply { call: name, body, next, skew })
            }
            (None, _) => Err(self.refusal(name, status, said, skew)),
        }
    }

    fn refusal(&self, call: String, status: u16, said: String, skew: Option<i64>) -> Error {
        match status {
            401 => Error::Unauthorized { call, said, skew },
            403 => Error::Forbidden { call, said, lacks: None },
            404 => Error::NotFound { call, said, pathless: pathless(&self.base) },
            409 => Error::Conflict { call, said },
            422 => Error::Invalid { call, said },
            500..=599 => Error::Server { call, status, said },
            _ => Error::Unexpected { call, status, said },
        }
    }

    /// `code` takes the place of [`CODE`].
    fn url(&self, call: &Call<'_>, code: Option<&Secret>) -> Url {
        let mut url = self.base.clone();
        let path = call.path.iter().map(|segment| match code {
            Some(code) if *segment == CODE => code.expose(),
            _ => segment,
        });
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(call.query);
        }
        url
    }
}

impl Call<'_> {
    /// Whether it only answers a question, and shares its budget with calls that microVMs wait for. The App's own calls
    /// have theirs for themselves, and come one after the other.
    fn can_wait(&self) -> bool {
        match self.bearer {
            Bearer::App(_) | Bearer::Code(_) | Bearer::Nobody => false,
            Bearer::Installation(_) => self.freshness != Freshness::Sent,
        }
    }

    /// What it costs of GitHub's limit of a minute.
    fn points(&self) -> u32 {
        if self.method == Method::GET { 1 } else { 5 }
    }

    /// Whether it gets a runner registered, or a token for that.
    fn registers(&self) -> bool {
        self.method == Method::POST
            && self.path.windows(2).any(|part| part == ["actions", "runners"])
    }
}

impl Reply {
    /// The body as JSON of the wanted shape.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_slice(&self.body).map_err(|e| {
            // Serde's own words quote the value, which may be a token.
            self.garbage(match e.classify() {
                serde_json::error::Category::Data => {
                    "a field is missing or has another type".to_owned()
                }
                _ => format!("no JSON at line {} column {}", e.line(), e.column()),
            })
        })
    }

    /// The error of a body that is not what it should be. `problem` must hold no part of it.
    pub(super) fn garbage(&self, problem: String) -> Error {
        Error::Garbage { call: self.call.clone(), problem }
    }

    /// The cursor of the next page, where GitHub counts pages by cursors.
    pub(super) fn next(&self) -> Option<&str> {
        self.next.as_deref()
    }

    /// GitHub's clock minus ours, seconds, if the answer said what time it is there.
    pub(super) fn skew(&self) -> Option<i64> {
        self.skew
    }
}

/// The present, as the core counts it.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Waits for the call's turn, if it can wait. Nothing passes while the gate is shut.
async fn admit(gate: &Mutex<Gate>, call: &Call<'_>, name: &str) -> Result<(), Error> {
    let now = now();
    let turn = if call.can_wait() { lock(gate).turn(now, call.points()) } else { now };
    if turn > now {
        tokio::time::sleep(turn.since(now)).await;
    }
    let now = self::now();
    let gate = lock(gate);
    let registrations = gate.registrations_shut(now).filter(|_| call.registers());
    match gate.shut(now).or(registrations) {
        Some(until) => Err(limited(name.to_owned(), until, now, gate.shut(now).is_none())),
        None => Ok(()),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while it was held leaves nothing half changed that matters: a gate is plain fields, and what the cache
    // holds is true or not there.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Only the cursor is taken from the link: an answer must not choose where the next call goes.
fn next_cursor(headers: &HeaderMap) -> Option<String> {
    let links = headers.get(LINK)?.to_str().ok()?;
    let next = links.split(',').find(|link| link.contains("rel=\"next\""))?;
    let (_, rest) = next.split_once('<')?;
    let (url, _) = rest.split_once('>')?;
    let url = Url::parse(url).ok()?;
    let (_, cursor) = url.query_pairs().find(|(name, _)| name == "cursor")?;
    (cursor.len() <= LONGEST_CURSOR).then(|| cursor.into_owned())
}

fn base_url(text: &str) -> Result<Url, Error> {
    let bad = |problem: &str| Error::BadUrl { url: text::line(text), problem: problem.to_owned() };
    let url = Url::parse(text).map_err(|e| bad(&e.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(bad("it is not an http or https URL"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() {
        return Err(bad("it holds more than scheme, host, port and path"));
    }
    Ok(url)
}

/// The server, if it may be an Enterprise Server whose path was forgotten: GitHub's other APIs have none.
fn pathless(base: &Url) -> Option<String> {
    let host = base.host_str()?;
    let known = host == "api.github.com" || host.ends_with(".ghe.com");
    let bare = base.scheme() == "https" && base.path() == "/" && !known;
    let port = base.port().map(|port| format!(":{port}")).unwrap_or_default();
    bare.then(|| format!("{host}{port}"))
}

fn limited(call: String, until: Timestamp, now: Timestamp, registrations: bool) -> Error {
    let pot = registrations.then_some(REGISTRATIONS);
    Error::RateLimited { call, until, wait_s: until.since(now).as_secs(), pot }
}

/// GitHub's `message`, and the first of its `errors`, on one line.
fn message(body: &[u8]) -> String {
    let Ok(body) = serde_json::from_slice::<Value>(body) else {
        return "(no message)".to_owned();
    };
    let main = body["message"].as_str().unwrap_or("(no message)");
    let first = &body["errors"][0];
    match first.as_str().or_else(|| first["message"].as_str()) {
        Some(detail) => text::line(&format!("{main} ({detail})")),
        None => text::line(main),
    }
}

/// GitHub's clock minus ours, in seconds.
fn skew(headers: &HeaderMap, now: Timestamp) -> Option<i64> {
    let date = headers.get(DATE)?.to_str().ok()?;
    let theirs = jiff::fmt::rfc2822::parse(date).ok()?.timestamp().as_second();
    let ours = i64::try_from(now.0 / 1000).ok()?;
    Some(theirs - ours)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_strangers_cannot_leave_their_place_in_the_path() {
        let rest = Rest::new("https://ghe.example/api/v3/", None).expect("the base is good");
        let token = Secret::new("t".to_owned());
        let call = Call {
            method: Method::GET,
            path: &["orgs", "a/../b?c", "actions"],
            query: &[("name", "x&y")],
            body: None,
            bearer: Bearer::App(&token),
            freshness: Freshness::Sent,
        };
        let url = rest.url(&call, None);
        assert_eq!(
            url.as_str(),
            "https://ghe.example/api/v3/orgs/a%2F..%2Fb%3Fc/actions?name=x%26y"
        );
    }

    #[tokio::test]
    async fn a_manifests_code_is_in_the_path_and_in_no_error() {
        let code = Secret::new("c0de".to_owned());
        // Nobody listens on the port of the discard service.
        let rest = Rest::new("http://127.0.0.1:9", None).expect("the base is good");
        let path = ["app-manifests", CODE, "conversions"];
        let (bearer, freshness) = (Bearer::Code(&code), Freshness::Sent);
        let call =
            Call { method: Method::POST, path: &path, query: &[], body: None, bearer, freshness };
        assert_eq!(rest.url(&call, Some(&code)).path(), "/app-manifests/c0de/conversions");
        let error = rest.send(call).await.expect_err("nobody answers");
        let told = format!("{} {error:?}", crate::error::chain(&error));
        assert!(
            told.contains("/app-manifests/CODE/conversions") && !told.contains("c0de"),
            "{told}"
        );
    }

    #[test]
    fn only_what_answers_a_question_can_wait() {
        let token = Secret::new("t".to_owned());
        let can_wait = |method, freshness, is_app: bool| {
            let bearer = if is_app { Bearer::App(&token) } else { Bearer::Installation(&token) };
            Call { method, path: &[], query: &[], body: None, bearer, freshness }.can_wait()
        };
        assert!(can_wait(Method::GET, Freshness::Kept, false), "a repository's runs");
        assert!(can_wait(Method::DELETE, Freshness::InTurn, false), "a stray's removal");
        assert!(!can_wait(Method::GET, Freshness::Sent, false), "our runners");
        assert!(!can_wait(Method::POST, Freshness::Sent, false), "a registration");
        assert!(!can_wait(Method::DELETE, Freshness::Sent, false), "a removal");
        assert!(!can_wait(Method::POST, Freshness::Sent, true), "a token");
    }

    #[test]
    fn a_base_that_is_no_web_address_is_refused_with_its_fix() {
        for text in ["api.github.com", "ftp://x", "https://user:pw@x", ""] {
            let error = Rest::new(text, None).err().expect("it is refused");
            assert!(matches!(error, Error::BadUrl { .. }), "{text}");
            assert!(error.help().is_some_and(|help| help.contains("https://api.github.com")));
        }
    }

    #[test]
    fn an_enterprise_servers_forgotten_path_is_told_where_nothing_is_found() {
        for (base, host) in [
            ("https://ghes.example", Some("ghes.example")),
            ("https://ghes.example:8443/", Some("ghes.example:8443")),
            ("https://ghes.example/api/v3/", None),
            ("https://api.github.com", None),
            ("https://api.octo.ghe.com", None),
            ("http://127.0.0.1:4000", None),
        ] {
            let rest = Rest::new(base, None).expect("the base is good");
            let error = rest.refusal("GET /x".to_owned(), 404, "Not Found".to_owned(), None);
            let help = error.help().unwrap_or_default();
            let wanted = host.map(|host| format!("`https://{host}/api/v3`"));
            assert_eq!(help.contains("/api/v3"), wanted.is_some(), "{base}: {help}");
            assert!(help.contains(&wanted.unwrap_or_default()), "{base}: {help}");
        }
    }

    #[test]
    fn the_clocks_difference_is_read_from_the_date_header() {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, HeaderValue::from_static("Thu, 01 Jan 1970 00:10:00 GMT"));
        assert_eq!(skew(&headers, Timestamp(0)), Some(600));
    }

    #[test]
    fn of_the_link_to_the_next_page_only_the_cursor_is_taken() {
        let cursor = |link: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(LINK, HeaderValue::from_str(link).expect("a test's header is valid"));
            next_cursor(&headers)
        };
        let both = "<https://x/d?cursor=a>; rel=\"first\", <https://evil/d?per_page=1&cursor=v1_2%2F>; rel=\"next\"";
        assert_eq!(cursor(both).as_deref(), Some("v1_2/"));
        let endless = format!("<https://x/?cursor={}>; rel=\"next\"", "a".repeat(300));
        for none in ["", "<https://x/?cursor=a>; rel=\"prev\"", "cursor=a; rel=\"next\"", &endless]
        {
            assert_eq!(cursor(none), None, "{none}");
        }
    }
}
