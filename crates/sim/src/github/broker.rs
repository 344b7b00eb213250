//! The runner's V2 protocol: token, session, messages, and the life of a job at the run service.

use super::clock::millis;
use super::jit;
use super::reply::Reply;
use super::rest::bearer;
use super::server::{Shared, random_id};
use super::state::Message;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

type App = State<Arc<Shared>>;
type Answer = (StatusCode, Reply);
type Asked = Query<BTreeMap<String, String>>;

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/token", post(token))
        .route("/broker/session", post(open).delete(close))
        .route("/broker/message", get(message))
        .route("/broker/acknowledge", post(acknowledge))
        .route("/run/{job}/acquirejob", post(acquire))
        .route("/run/{job}/renewjob", post(renew))
        .route("/run/{job}/completejob", post(complete))
        // The real runner looks whether its servers are there.
        .route("/health", get(async || StatusCode::OK))
        .route("/ready", get(async || StatusCode::OK))
}

async fn token(State(shared): App, body: String) -> Answer {
    let form: BTreeMap<_, _> = url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let invalid = |why: &str| {
        (
            StatusCode::BAD_REQUEST,
            Reply(json!({ "error": "invalid_client", "error_description": why })),
        )
    };
    let assertion = form.get("client_assertion").map(String::as_str).unwrap_or_default();
    let Ok(claims) = shared.runner_key.verified_claims(assertion) else {
        return invalid("the assertion is not signed by a registered runner");
    };
    let now = shared.clock.now();
    let now_s = now / 1000;
    // As the real one: 5 minutes to either side of the server's clock.
    if claims["nbf"].as_u64().is_none_or(|nbf| nbf > now_s + 300)
        || claims["exp"].as_u64().is_none_or(|exp| exp <= now_s)
    {
        let why = format!(
            "the assertion is not valid now; the server's time is {}",
            super::payload::rfc3339(now)
        );
        return (
            StatusCode::UNAUTHORIZED,
            Reply(json!({ "error": "invalid_grant", "error_description": why })),
        );
    }
    let client = claims["iss"].as_str().unwrap_or_default().to_owned();
    let made = shared.change(|state, _| {
        let runner =
            state.runners.values().find(|runner| runner.client_id == client && !runner.spent)?.id;
        let token = jit::token(&client, now);
        state.access.insert(token.clone(), runner);
        Some(token)
    });
    made.map_or_else(
        || invalid("the registration is gone"),
        |token| {
            (
                StatusCode::OK,
                Reply(json!({ "access_token": token, "token_type": "bearer", "expires_in": 3000 })),
            )
        },
    )
}

async fn open(State(shared): App, headers: HeaderMap, Json(body): Json<Value>) -> Answer {
    let Some(id) = runner_of(&shared, &headers) else {
        return broker_error(404, "RunnerNotFound");
    };
    let made = shared.change(|state, now| {
        let runner = state.runners.get_mut(&id).filter(|runner| runner.session.is_none())?;
        let session = random_id();
        runner.session = Some(session.clone());
        runner.idle = runner.job.is_none().then_some(now);
        Some(session)
    });
    match made {
        Some(session) => {
            let shown = json!({ "sessionId": session, "ownerName": body["ownerName"], "agent": body["agent"],
                "useFipsEncryption": false, "encryptionKey": null });
            (StatusCode::CREATED, Reply(shown))
        }
        None => broker_error(409, "RunnerSessionConflict"),
    }
}

async fn close(State(shared): App, headers: HeaderMap) -> StatusCode {
    if let Some(id) = runner_of(&shared, &headers) {
        shared.change(|state, _| {
            if let Some(runner) = state.runners.get_mut(&id) {
                runner.session = None;
                runner.idle = None;
            }
            state.runners.retain(|_, runner| runner.id != id || !runner.spent);
        });
    }
    StatusCode::OK
}

async fn message(State(shared): App, Query(asked): Asked, headers: HeaderMap) -> Answer {
    let until = tokio::time::Instant::now() + shared.config.poll;
    let mut changes = shared.changes();
    let online = asked.get("status").is_none_or(|status| status == "Online");
    loop {
        changes.borrow_and_update();
        match next_message(&shared, &headers, &asked, online) {
            Err(error) => return error,
            Ok(Some(message)) => return (StatusCode::OK, Reply(show(&shared, &message))),
            Ok(None) => {}
        }
        if tokio::time::timeout_at(until, changes.changed()).await.is_err() {
            return (StatusCode::ACCEPTED, Reply(Value::Null));
        }
    }
}

fn next_message(
    shared: &Shared,
    headers: &HeaderMap,
    asked: &BTreeMap<String, String>,
    online: bool,
) -> Result<Option<Message>, Answer> {
    let runner = runner_of(shared, headers).ok_or_else(|| broker_error(404, "RunnerNotFound"))?;
    let session = asked.get("sessionId");
    // Changes wake every poll, so a look that finds nothing must not be one.
    let found = shared.look(|state| {
        let runner = state.runners.get(&runner)?;
        let open = runner.session.is_some() && runner.session.as_ref() == session;
        let work = !state.queued.is_empty();
        Some((open, !runner.messages.is_empty() || (online && runner.job.is_none() && work)))
    });
    match found {
        None => Err(broker_error(404, "RunnerNotFound")),
        Some((false, _)) => Err(broker_error(400, "RunnerSessionInvalid")),
        Some((true, false)) => Ok(None),
        Some((true, true)) => Ok(shared.try_change(|state, now| {
            if online {
                state.offer(runner, now);
            }
            state.runners.get_mut(&runner)?.messages.pop_front()
        })),
    }
}

fn show(shared: &Shared, message: &Message) -> Value {
    let (kind, job, body) = match message {
        Message::Job(job) => {
            let service = format!("{}/run/{job}/", shared.config.public_url);
            let body = json!({ "runner_request_id": jit::job_uuid(*job, 0x8005), "run_service_url": service,
                "billing_owner_id": "700000001", "should_acknowledge": true });
            ("RunnerJobRequest", job, body)
        }
        Message::Cancel(job) => {
            let body = json!({ "jobId": jit::job_uuid(*job, 0x8001), "timeout": "00:05:00" });
            ("JobCancellation", job, body)
        }
    };
    json!({ "messageId": 4_000_000_000 + job, "messageType": kind, "body": body.to_string() })
}

async fn acknowledge(State(shared): App, headers: HeaderMap) -> StatusCode {
    if runner_of(&shared, &headers).is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND }
}

async fn acquire(State(shared): App, Path(job): Path<u64>, headers: HeaderMap) -> Answer {
    let Some(runner) = runner_of(&shared, &headers) else {
        return run_error(401, "the token is not known");
    };
    let token = jit::token(&format!("job-{job}"), shared.clock.now());
    let acquired = shared.change(|state, now| {
        let acquired = state.acquire(runner, job, now);
        if acquired {
            state.access.insert(token.clone(), runner);
        }
        acquired
    });
    let job = shared.look(|state| {
        let job = state.jobs.get(&job).cloned()?;
        let from_fork = state.org.runs.get(&job.run_id).is_some_and(|run| run.from_fork);
        Some((job, from_fork))
    });
    match job.filter(|_| acquired) {
        Some((job, from_fork)) => {
            (StatusCode::OK, Reply(jit::job_message(&shared, (&job, from_fork), &token)))
        }
        None => run_error(404, "the job is gone"),
    }
}

async fn renew(State(shared): App, Path(job): Path<u64>, headers: HeaderMap) -> Answer {
    let runner = runner_of(&shared, &headers);
    let renewed = shared.change(|state, now| runner.is_some_and(|id| state.renew(id, job, now)));
    if renewed {
        let until = shared.clock.now() + millis(shared.config.lock);
        (StatusCode::OK, Reply(json!({ "lockedUntil": super::payload::rfc3339(until) })))
    } else {
        run_error(404, "the job is not this runner's")
    }
}

async fn complete(
    State(shared): App,
    Path(id): Path<u64>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Answer {
    let runner = runner_of(&shared, &headers);
    let conclusion =
        match body["conclusion"].as_str().unwrap_or_default().to_ascii_lowercase().as_str() {
            "succeeded" | "succeededwithissues" | "success" => "success",
            "canceled" | "cancelled" => "cancelled",
            "skipped" => "skipped",
            _ => "failure",
        };
    let completed = shared.change(|state, now| {
        let holder = state.jobs.get(&id)?.runner.as_ref().map(|taker| taker.id);
        (holder.is_some() && holder == runner).then(|| state.complete(id, conclusion, now))
    });
    match completed {
        Some(()) => (StatusCode::NO_CONTENT, Reply(Value::Null)),
        None => run_error(404, "the job is not this runner's"),
    }
}

/// Whose token it is, if the registration is still there (a spent one may say goodbye).
fn runner_of(shared: &Shared, headers: &HeaderMap) -> Option<u64> {
    let token = bearer(headers)?;
    shared
        .look(|state| state.access.get(token).copied().filter(|id| state.runners.contains_key(id)))
}

fn broker_error(status: u16, kind: &str) -> Answer {
    error(
        status,
        json!({ "source": "actions-broker-listener", "errorKind": kind, "statusCode": status, "errorMessage": kind }),
    )
}

fn run_error(status: u16, message: &str) -> Answer {
    error(
        status,
        json!({ "source": "actions-run-service", "statusCode": status, "errorMessage": message }),
    )
}

fn error(status: u16, body: Value) -> Answer {
    (StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), Reply(body))
}
