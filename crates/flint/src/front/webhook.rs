//! Takes GitHub's deliveries in: proves them, reads them, and answers only when they are written down.
//!
//! No call to GitHub is made inside a request. GitHub never retries by itself and shows every answer but 2xx as a
//! failure, so 202 is said only after whoever stands behind the [`Door`] said that the fact is committed.

use super::bodies::{Bodies, Unread};
use super::gates::{Gates, Proven};
use super::places::Place;
use super::words::{Counted, Hook};
use crate::forge::payload::{self, Malformed, Told};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::{Router, routing};
use flint_core::event::ForgeEvent;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// Where GitHub delivers.
pub const PATH: &str = "/webhook";
/// GitHub sends no larger payload.
pub const BODY_CAP: usize = 25 * 1024 * 1024;
/// All bodies being read at one time, together: strangers can open many connections before any proof is checked.
const BODIES_CAP: usize = 64 * 1024 * 1024;
/// GitHub waits 10 s for an answer; ours must be on its way before.
const COMMIT_WAIT: Duration = Duration::from_secs(8);

/// Where facts go: a bounded queue to whoever commits them.
#[derive(Clone, Debug)]
pub struct Door(mpsc::Sender<Delivery>);

/// One proven delivery on its way to the store.
#[derive(Debug)]
pub struct Delivery {
    /// GitHub's id of the event: the same in every redelivery.
    pub guid: String,
    /// What it tells.
    pub event: ForgeEvent,
    /// Must be answered once the fact is safe; dropped means it is not.
    pub done: oneshot::Sender<Result<Committed, Unavailable>>,
}

/// The fact is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// It was written down now.
    New,
    /// Its GUID was known already.
    Known,
}

/// The fact could not be written down; GitHub is told, and an operator or a later redelivery repairs it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot take the delivery: {why}")]
pub struct Unavailable {
    /// For people.
    pub why: String,
}

/// What has been seen so far; for metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests to the webhook's path.
    pub received: AtomicU64,
    /// Facts written down.
    pub committed: AtomicU64,
    /// Facts that were known by their GUID.
    pub repeated: AtomicU64,
    /// Pings.
    pub pings: AtomicU64,
    /// Events, actions and states that Flint does nothing about.
    pub ignored: AtomicU64,
    /// Jobs of organizations or repositories that this daemon does not serve.
    pub foreign: AtomicU64,
    /// Wrong, missing or malformed signatures.
    pub unproven: AtomicU64,
    /// Bodies over the cap.
    pub too_large: AtomicU64,
    /// Proven deliveries that could not be read.
    pub malformed: AtomicU64,
    /// Facts that could not be written down.
    pub unavailable: AtomicU64,
}

impl Counters {
    /// All of them, now.
    #[must_use]
    pub fn counted(&self) -> Counted {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counted {
            received: read(&self.received),
            committed: read(&self.committed),
            repeated: read(&self.repeated),
            pings: read(&self.pings),
            ignored: read(&self.ignored),
            foreign: read(&self.foreign),
            unproven: read(&self.unproven),
            too_large: read(&self.too_large),
            malformed: read(&self.malformed),
            unavailable: read(&self.unavailable),
        }
    }
}

struct Intake {
    gates: Gates,
    door: Door,
    counters: Arc<Counters>,
    bodies: Bodies,
}

type Answer = (StatusCode, String);

impl Door {
    /// A door and its far end. `capacity` deliveries may wait; more are answered 503 after a while.
    #[must_use]
    pub fn new(capacity: usize) -> (Door, mpsc::Receiver<Delivery>) {
        let (sender, receiver) = mpsc::channel(capacity);
        (Door(sender), receiver)
    }

    async fn pass(&self, guid: String, event: ForgeEvent) -> Result<Committed, Unavailable> {
        let unavailable = |why: &str| Unavailable { why: why.to_owned() };
        let (done, answer) = oneshot::channel();
        let pass = async {
            let delivery = Delivery { guid, event, done };
            self.0.send(delivery).await.map_err(|_| unavailable("Flint is stopping"))?;
            answer.await.map_err(|_| unavailable("it was given up"))?
        };
        tokio::time::timeout(COMMIT_WAIT, pass)
            .await
            .unwrap_or_else(|_| Err(unavailable("the store is too slow")))
    }
}

/// The route [`PATH`]. Deliveries about other scopes than those of the gates they pass are counted and not passed on.
pub fn router(hook: &Hook, door: Door, counters: Arc<Counters>) -> Router {
    let Some(gates) = Gates::new(hook) else {
        return Router::new().route(PATH, routing::post(none_taken));
    };
    let intake = Intake { gates, door, counters, bodies: Bodies::new(BODIES_CAP) };
    Router::new().route(PATH, routing::post(receive)).with_state(Arc::new(intake))
}

async fn none_taken() -> Answer {
    (StatusCode::NOT_FOUND, "no profile here hears of its jobs by webhooks".to_owned())
}

async fn receive(State(intake): State<Arc<Intake>>, request: Request) -> Answer {
    count(&intake.counters.received);
    let (parts, body) = request.into_parts();
    let share = intake.bodies.begin();
    let read = match is_too_large(&parts.headers) {
        true => Err(Unread::TooLarge),
        false => share.read(body, BODY_CAP).await,
    };
    let body = match read {
        Ok(body) => body,
        Err(unread) => return intake.unread(unread),
    };
    // Before anything in the body is looked at.
    let signature = header(&parts.headers, "x-hub-signature-256");
    let Some(proven) = intake.gates.prove(signature, &body) else {
        count(&intake.counters.unproven);
        return (StatusCode::UNAUTHORIZED, "the signature is wrong or missing".to_owned());
    };
    let place = parts.extensions.get::<Arc<Place>>();
    let _held = place.map(|place| place.hold());
    let judged = judge(&intake, &proven, &parts.headers, &body);
    drop((body, share));
    match judged {
        Ok(Judged::Pass { guid, event }) => hand_over(&intake, guid, event).await,
        Ok(Judged::Answer(answer)) => answer,
        Err(malformed) => {
            count(&intake.counters.malformed);
            tracing::warn!(%malformed, "a proven delivery cannot be read");
            (StatusCode::BAD_REQUEST, malformed.to_string())
        }
    }
}

fn is_too_large(headers: &HeaderMap) -> bool {
    let told = header(headers, CONTENT_LENGTH.as_str()).and_then(|v| v.parse::<usize>().ok());
    told.is_some_and(|length| length > BODY_CAP)
}

enum Judged {
    Pass { guid: String, event: ForgeEvent },
    Answer(Answer),
}

fn judge(
    intake: &Intake,
    proven: &Proven<'_>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<Judged, Malformed> {
    let missing = |field: &str| Malformed::Missing { field: field.to_owned() };
    let guid = header(headers, "x-github-delivery").filter(|guid| !guid.is_empty());
    let guid = guid.ok_or_else(|| missing("X-GitHub-Delivery"))?;
    let event = header(headers, "x-github-event").ok_or_else(|| missing("X-GitHub-Event"))?;
    if event != "workflow_job" && event != "ping" {
        return Ok(intake.ignore(&format!("event `{}`", crate::text::line(event))));
    }
    let body = payload::json(&unwrap_form(headers, body))?;
    if event == "ping" {
        return Ok(Judged::Answer(intake.pong(payload::ping_has_jobs(&body))));
    }
    match payload::workflow_job(&body)? {
        Told::Nothing(what) => Ok(intake.ignore(&what)),
        Told::Fact(event) if !payload::repository(&event).is_some_and(|r| proven.covers(r)) => {
            count(&intake.counters.foreign);
            Ok(Judged::Answer((
                StatusCode::ACCEPTED,
                "not of an organization or repository that this webhook's secret is for".to_owned(),
            )))
        }
        Told::Fact(event) => Ok(Judged::Pass { guid: crate::text::line(guid), event }),
    }
}

async fn hand_over(intake: &Intake, guid: String, event: ForgeEvent) -> Answer {
    match intake.door.pass(guid, event).await {
        Ok(Committed::New) => {
            count(&intake.counters.committed);
            (StatusCode::ACCEPTED, "written down".to_owned())
        }
        Ok(Committed::Known) => {
            count(&intake.counters.repeated);
            (StatusCode::ACCEPTED, "known".to_owned())
        }
        Err(unavailable) => {
            count(&intake.counters.unavailable);
            tracing::error!(%unavailable, "GitHub was told 503; redeliver it in the App's settings, Advanced");
            (StatusCode::SERVICE_UNAVAILABLE, unavailable.to_string())
        }
    }
}

impl Intake {
    fn unread(&self, unread: Unread) -> Answer {
        match unread {
            Unread::Cut => (StatusCode::BAD_REQUEST, "the body was cut off".to_owned()),
            Unread::TooLarge => {
                count(&self.counters.too_large);
                (StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {BODY_CAP} bytes"))
            }
            Unread::NoRoom => {
                count(&self.counters.unavailable);
                let text = "too many large bodies at one time".to_owned();
                (StatusCode::SERVICE_UNAVAILABLE, text)
            }
        }
    }

    fn ignore(&self, what: &str) -> Judged {
        count(&self.counters.ignored);
        Judged::Answer((StatusCode::ACCEPTED, format!("ignored: {what}")))
    }

    fn pong(&self, has_jobs: Option<bool>) -> Answer {
        count(&self.counters.pings);
        if has_jobs == Some(false) {
            tracing::warn!(
                "the webhook does not send `workflow_job`: tick \"Workflow jobs\" in the App's event settings"
            );
        }
        (StatusCode::OK, "pong".to_owned())
    }
}

/// The JSON of a body that may be form-encoded, as GitHub's settings allow.
fn unwrap_form<'a>(headers: &HeaderMap, body: &'a [u8]) -> std::borrow::Cow<'a, [u8]> {
    let form = header(headers, CONTENT_TYPE.as_str()).is_some_and(|kind| {
        kind.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded")
    });
    if !form {
        return body.into();
    }
    let payload = url::form_urlencoded::parse(body).find(|(name, _)| name == "payload");
    payload.map_or_else(Vec::new, |(_, text)| text.into_owned().into_bytes()).into()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
