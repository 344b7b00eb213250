//! The API socket: what the command line asks of a running daemon. Mode 0600; who opens it is the operator.

use super::door::{Door, View, Window};
use super::rows;
use crate::api::{GithubRow, Jobs, Refusal, Status, Vms, WhyAnswer};
use crate::store::Query;
use axum::extract::{Path, Query as Params, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use flint_core::event::{Event, OperatorEvent};
use flint_core::id::VmId;
use flint_core::units::{Resources, Timestamp};
use futures_util::future::BoxFuture;
use std::collections::HashMap;
use std::sync::Arc;

/// How many completed jobs `jobs?done=1` shows.
const DONE_SHOWN: u32 = 100;

/// Where the lines of a microVM are read.
pub trait Logs: Send + Sync + 'static {
    /// Its lines so far and, with `follow`, those to come until it is gone. `None`: nothing is kept of it.
    fn lines(&self, vm: VmId, console: bool, follow: bool) -> Option<axum::body::Body>;

    /// What it was refused of the network so far, a line each.
    fn refusals(&self, vm: VmId) -> BoxFuture<'_, Vec<String>>;
}

/// What the calls need.
#[derive(Clone)]
pub struct Api {
    /// Where facts and questions go.
    pub door: Door,
    /// What the daemon shows.
    pub window: Window,
    /// Where logs are read.
    pub logs: Arc<dyn Logs>,
    /// The VMM it chose and why.
    pub vmm: Arc<str>,
    /// When it started.
    pub started: Timestamp,
    /// GitHub's clock minus ours, in seconds, if that is so much that it does harm.
    pub skew: Arc<dyn Fn() -> Option<i64> + Send + Sync>,
}

/// The routes of [`crate::api`].
pub fn router(api: Api) -> Router {
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/vms", get(vms))
        .route("/v1/jobs", get(jobs))
        .route("/v1/why/{job}", get(why))
        .route("/v1/logs/{vm}", get(logs))
        .route("/v1/drain", post(drain))
        .with_state(api)
}

type Flags = Params<HashMap<String, String>>;

fn flag(flags: &Flags, name: &str) -> bool {
    flags.get(name).is_some_and(|value| value == "1" || value == "true")
}

async fn status(State(api): State<Api>) -> Json<Status> {
    let view = api.window.borrow().clone();
    Json(status_of(&api, &view))
}

fn status_of(api: &Api, view: &View) -> Status {
    let world = &view.world;
    let capacity = world.hosts.values().fold(Resources::default(), |sum, host| sum + host.capacity);
    let count = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        instance: world.instance.clone(),
        started: api.started,
        vmm: api.vmm.to_string(),
        draining: world.hosts.values().all(|host| host.draining),
        capacity,
        used: rows::used(world),
        slots: world.hosts.values().map(|host| host.slots).sum(),
        slots_used: count(world.vms.len()),
        profiles: rows::profiles(world, super::clock::Clock::now(&super::clock::SystemClock)),
        breakers: rows::breakers(world),
        github: GithubRow { skew: (api.skew)(), ..rows::github(world) },
    }
}

async fn vms(State(api): State<Api>) -> Json<Vms> {
    let view = api.window.borrow().clone();
    Json(Vms { vms: rows::vms(&view.world) })
}

async fn jobs(State(api): State<Api>, flags: Flags) -> Result<Json<Jobs>, Refused> {
    let view = api.window.borrow().clone();
    let mut jobs = rows::open_jobs(&view.world);
    if flag(&flags, "done") {
        let history = history(&api, Query::Newest(DONE_SHOWN)).await?;
        jobs.extend(rows::done_jobs(&history, &view.world));
    }
    Ok(Json(Jobs { jobs }))
}

async fn why(State(api): State<Api>, Path(job): Path<u64>) -> Result<Json<WhyAnswer>, Refused> {
    let view = api.window.borrow().clone();
    let open = rows::open_named(&view.world, job);
    let open = open.and_then(|key| Some((key, rows::why_open(&view, key)?)));
    let (mut answer, vm) = match open {
        Some((key, answer)) => (answer, rows::runs_in(&view.world, key)),
        None => {
            let ended = ended(&api, job).await?.ok_or_else(|| nobody_knows(&view, job))?;
            (rows::why_done(&ended), ended.vm)
        }
    };
    if let Some(vm) = vm {
        answer.egress = api.logs.refusals(vm).await;
    }
    Ok(Json(answer))
}

/// The completed job of this number; or one of the newest that are of the run of this number.
async fn ended(api: &Api, number: u64) -> Result<Option<flint_core::record::JobRecord>, Refused> {
    let by_job = history(api, Query::Job(number)).await?;
    if let Some(record) = by_job.jobs.into_iter().next() {
        return Ok(Some(record));
    }
    let newest = history(api, Query::Newest(DONE_SHOWN)).await?;
    Ok(newest.jobs.into_iter().find(|record| record.job.request.run_id == number))
}

fn nobody_knows(view: &View, job: u64) -> Refused {
    let mut sets = view.world.scale_sets.iter();
    let troubled = sets.find_map(|(id, set)| Some((id, set.trouble.as_ref()?)));
    if let Some((profile, why)) = troubled {
        let error = format!("GitHub has not told of job {job}, or it ended too long ago");
        let help = format!("the scale set of profile `{profile}` is not heard now: {why}");
        return Refused {
            status: StatusCode::NOT_FOUND,
            refusal: Refusal { error, help: Some(help) },
        };
    }
    Refused {
        status: StatusCode::NOT_FOUND,
        refusal: Refusal {
            error: format!("GitHub has not told of job {job}, or it ended too long ago"),
            help: Some(
                "the number is in the address of the job's or the run's page; GitHub's App settings list each \
                 webhook and its answer"
                    .to_owned(),
            ),
        },
    }
}

async fn logs(
    State(api): State<Api>,
    Path(vm): Path<String>,
    flags: Flags,
) -> Result<Response, Refused> {
    let refused = |error: String| Refused {
        status: StatusCode::NOT_FOUND,
        refusal: Refusal { error, help: Some("`flint ps` shows those that are there".to_owned()) },
    };
    let id: VmId = vm.parse().map_err(|error| refused(format!("{error}")))?;
    let body = api.logs.lines(id, flag(&flags, "console"), flag(&flags, "follow"));
    let body = body.ok_or_else(|| refused(format!("no log is kept of {id}")))?;
    Ok(([("content-type", "text/plain; charset=utf-8")], body).into_response())
}

async fn drain(State(api): State<Api>) -> Json<Status> {
    let view = api.window.borrow().clone();
    for host in view.world.hosts.keys().copied() {
        let event = OperatorEvent::Drain { host, draining: true };
        api.door.tell(Event::Operator(event)).await;
    }
    let mut window = api.window.clone();
    // An error means that the daemon is ending, which is a drain too.
    drop(window.wait_for(|view| view.world.hosts.values().all(|host| host.draining)).await);
    let view = window.borrow().clone();
    Json(status_of(&api, &view))
}

async fn history(api: &Api, query: Query) -> Result<crate::store::History, Refused> {
    let refused = |error: String| Refused {
        status: StatusCode::SERVICE_UNAVAILABLE,
        refusal: Refusal { error, help: None },
    };
    match api.door.history(query).await {
        Some(Ok(history)) => Ok(history),
        Some(Err(error)) => Err(refused(crate::error::chain(&error))),
        None => Err(refused("the daemon is ending".to_owned())),
    }
}

/// An answer that is not 2xx.
struct Refused {
    status: StatusCode,
    refusal: Refusal,
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.status, Json(self.refusal)).into_response()
    }
}
