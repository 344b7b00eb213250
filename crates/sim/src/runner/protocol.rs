//! The eight calls of the runner's V2 protocol, one function each.

use super::Error;
use super::http::{self, Request, Response};
use super::jit::Identity;
use serde_json::{Value, json};

const JSON: &str = "application/json";

/// An open session.
pub(super) struct Session {
    pub(super) token: String,
    pub(super) id: String,
}

/// What a poll brought.
pub(super) enum Message {
    /// A job for us: where to fetch it.
    Job { request: String, service: String, billing: String, acknowledge: bool },
    /// Someone cancelled this job.
    Cancel { job: String },
    /// Nothing, or nothing this runner reacts to.
    Nothing,
}

/// Gets an access token for the registration.
pub(super) fn authorize(identity: &Identity) -> Result<String, Error> {
    let body = format!(
        "grant_type=client_credentials\
         &client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer&client_assertion={}",
        identity.assertion()?
    );
    let url = &identity.authorization_url;
    let kind = "application/x-www-form-urlencoded";
    let answer =
        http::send(&Request { method: "POST", url, token: None, kind, body: body.as_bytes() })?;
    let said = body_of(&answer);
    match answer.status {
        200 => text(&said, "access_token", "the token request"),
        400 if said["error"] == "invalid_client" => Err(Error::Gone),
        _ => Err(refused("the token request", &answer)),
    }
}

/// Opens the one session of this registration.
pub(super) fn open_session(identity: &Identity, token: &str) -> Result<String, Error> {
    let body = json!({
        "sessionId": "00000000-0000-0000-0000-000000000000",
        "ownerName": format!("{} (PID: {})", identity.name, std::process::id()),
        "agent": { "id": identity.agent_id, "name": identity.name, "version": super::VERSION, "osDescription": "Linux" },
        "useFipsEncryption": false,
    });
    let answer = call("POST", &format!("{}session", identity.server), token, &body)?;
    match answer.status {
        200 | 201 => text(&body_of(&answer), "sessionId", "the session request"),
        409 => Err(Error::SessionConflict),
        _ => Err(broker_error("the session request", &answer)),
    }
}

/// Ends it. The server may have ended it already.
pub(super) fn close_session(identity: &Identity, session: &Session) {
    let _ = call("DELETE", &format!("{}session", identity.server), &session.token, &Value::Null);
}

/// Waits up to 50 s for a message.
pub(super) fn poll(server: &str, session: &Session, busy: bool) -> Result<Message, Error> {
    let url = format!(
        "{}message?sessionId={}&status={}&runnerVersion={}&os=Linux&architecture={}&disableUpdate=true",
        server,
        session.id,
        if busy { "Busy" } else { "Online" },
        super::VERSION,
        if cfg!(target_arch = "aarch64") { "ARM64" } else { "X64" },
    );
    let answer = call("GET", &url, &session.token, &Value::Null)?;
    match answer.status {
        200 if !answer.body.is_empty() => read_message(&body_of(&answer)),
        200 | 202 => Ok(Message::Nothing),
        _ => Err(broker_error("a poll for messages", &answer)),
    }
}

fn read_message(message: &Value) -> Result<Message, Error> {
    let inner = message["body"].as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let inner = inner.unwrap_or_default();
    let wanted = |name: &str| text(&inner, name, "a poll for messages");
    match message["messageType"].as_str() {
        Some("RunnerJobRequest") => Ok(Message::Job {
            request: wanted("runner_request_id")?,
            service: wanted("run_service_url")?,
            billing: inner["billing_owner_id"].as_str().unwrap_or_default().to_owned(),
            acknowledge: inner["should_acknowledge"] == true,
        }),
        Some("JobCancellation") => {
            let job = inner["jobId"].as_str().or_else(|| inner["JobId"].as_str());
            Ok(Message::Cancel { job: job.unwrap_or_default().to_owned() })
        }
        _ => Ok(Message::Nothing),
    }
}

/// Says that the job request arrived. A failure changes nothing for this runner.
pub(super) fn acknowledge(identity: &Identity, session: &Session, request: &str) {
    let url = format!("{}acknowledge?sessionId={}", identity.server, session.id);
    let _ = call("POST", &url, &session.token, &json!({ "runnerRequestId": request }));
}

/// Takes the job. `None`: somebody else has it, or it is gone.
pub(super) fn acquire(
    service: &str,
    token: &str,
    request: &str,
    billing: &str,
) -> Result<Option<Value>, Error> {
    let body = json!({ "jobMessageId": request, "runnerOS": "Linux", "billingOwnerId": billing });
    let answer = call("POST", &join(service, "acquirejob"), token, &body)?;
    match answer.status {
        200 => Ok(Some(body_of(&answer))),
        404 | 409 | 422 => Ok(None),
        _ => Err(refused("the job request", &answer)),
    }
}

/// Says that the job is still worked on. `Ok(false)`: it is no longer ours.
pub(super) fn renew(service: &str, token: &str, plan: &str, job: &str) -> Result<bool, Error> {
    let answer =
        call("POST", &join(service, "renewjob"), token, &json!({ "planId": plan, "jobId": job }))?;
    match answer.status {
        200 | 204 => Ok(true),
        400..=499 => Ok(false),
        _ => Err(refused("a renewal", &answer)),
    }
}

/// Reports the end of the job.
pub(super) fn complete(service: &str, token: &str, report: &Value) -> Result<(), Error> {
    let answer = call("POST", &join(service, "completejob"), token, report)?;
    if answer.status < 300 { Ok(()) } else { Err(refused("the job's completion", &answer)) }
}

/// Lines of the job's log. Only the fake GitHub asks for them, by a variable that no other server sends.
pub(super) fn send_log(url: &str, token: &str, lines: &str) {
    let request = Request {
        method: "POST",
        url,
        token: Some(token),
        kind: "text/plain",
        body: lines.as_bytes(),
    };
    // A lost log line must not fail a job.
    let _ = http::send(&request);
}

fn call(method: &str, url: &str, token: &str, body: &Value) -> Result<Response, Error> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    http::send(&Request { method, url, token: Some(token), kind: JSON, body: body.as_bytes() })
}

fn broker_error(call: &'static str, answer: &Response) -> Error {
    match body_of(answer)["errorKind"].as_str() {
        Some("RunnerVersionTooOld") => Error::TooOld,
        Some("RunnerNotFound") => Error::Gone,
        _ => refused(call, answer),
    }
}

fn refused(call: &'static str, answer: &Response) -> Error {
    let said = body_of(answer);
    let said = said["errorMessage"]
        .as_str()
        .or_else(|| said["error_description"].as_str())
        .unwrap_or("(no message)");
    Error::Refused { call, status: answer.status, said: said.to_owned() }
}

fn body_of(answer: &Response) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_default()
}

fn text(value: &Value, name: &str, call: &'static str) -> Result<String, Error> {
    value[name].as_str().map(str::to_owned).ok_or(Error::Answer { call })
}

fn join(base: &str, last: &str) -> String {
    format!("{}/{last}", base.trim_end_matches('/'))
}
