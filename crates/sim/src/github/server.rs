//! The one server: what all its parts share, its clock-driven part, and the task that sends webhooks.

use super::faults::{self, Fault, FaultKind};
use super::hooks::{Hooks, Outgoing};
use super::key::{Key, generate_pem};
use super::state::{Job, Stage, State};
use super::{admin, broker, rest};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, middleware};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::Value;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::{OnceCell, mpsc, watch};
use tokio::task::JoinHandle;

/// Made once for all servers of a process: it takes some tenths of a second.
static RUNNER_PEM: OnceCell<String> = OnceCell::const_new();

/// What it is told at its start.
#[derive(Clone)]
pub struct Config {
    /// How runners reach it, without a slash at the end. Empty: the listener's address.
    pub public_url: String,
    /// Where webhooks go.
    pub webhook: Option<Webhook>,
    /// The organization's login.
    pub organization: String,
    /// Its one repository.
    pub repository: String,
    /// The App's id.
    pub app: String,
    /// The App's private key; only its public half is used.
    pub app_key_pem: String,
    /// The installation's id.
    pub installation: u64,
    /// How long an installation token lives.
    pub token_life: Duration,
    /// How long a poll for messages is held. GitHub: 50 s.
    pub poll: Duration,
    /// After how long an offered job goes back to the queue. GitHub: 60 s.
    pub pickup: Duration,
    /// After how long a job without renewal counts as lost. GitHub: about 10 min.
    pub lock: Duration,
}

/// A webhook's target.
#[derive(Clone)]
pub struct Webhook {
    /// Where.
    pub url: String,
    /// Signed with this.
    pub secret: String,
}

impl Config {
    /// GitHub's own times; organization `flint-demo`, repository `widgets`, App 123456.
    #[must_use]
    pub fn new(app_key_pem: String) -> Self {
        Config {
            public_url: String::new(),
            webhook: None,
            organization: "flint-demo".to_owned(),
            repository: "widgets".to_owned(),
            app: "123456".to_owned(),
            app_key_pem,
            installation: 60_606_060,
            token_life: Duration::from_secs(3600),
            poll: Duration::from_secs(50),
            pickup: Duration::from_secs(60),
            lock: Duration::from_secs(600),
        }
    }
}

pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) app_key: Key,
    /// One key for all runners of this process: making one costs a noticeable time, and here it protects nothing.
    /// Runners are told apart by their client id.
    pub(super) runner_key: Key,
    pub(super) hooks: Hooks,
    state: Mutex<State>,
    faults: Mutex<Vec<Fault>>,
    changed: watch::Sender<u64>,
    outgoing: mpsc::UnboundedSender<Outgoing>,
}

impl Shared {
    /// Changes the state, sends what that told, and wakes whoever waits.
    pub(super) fn change<R>(&self, how: impl FnOnce(&mut State, u64) -> R) -> R {
        let (result, told) = {
            let mut state = self.lock();
            let result = how(&mut state, now());
            (result, std::mem::take(&mut state.outbox))
        };
        for told in &told {
            let _ = self.outgoing.send(Outgoing::job(&self.config, told));
        }
        self.changed.send_modify(|count| *count += 1);
        result
    }

    /// As [`Self::change`], but wakes nobody when nothing came of it: else polls would wake each other for ever.
    pub(super) fn try_change<R>(
        &self,
        how: impl FnOnce(&mut State, u64) -> Option<R>,
    ) -> Option<R> {
        let result = how(&mut self.lock(), now());
        if result.is_some() {
            self.changed.send_modify(|count| *count += 1);
        }
        result
    }

    pub(super) fn look<R>(&self, how: impl FnOnce(&State) -> R) -> R {
        how(&self.lock())
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn send(&self, outgoing: Outgoing) {
        let _ = self.outgoing.send(outgoing);
    }

    pub(super) fn add_fault(&self, fault: Fault) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push(fault);
    }

    pub(super) fn clear_faults(&self) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn take_fault(&self, route: &str) -> Option<FaultKind> {
        let mut faults = self.faults.lock().unwrap_or_else(PoisonError::into_inner);
        let fault = faults.iter_mut().find(|fault| fault.route == route && fault.times > 0)?;
        fault.times -= 1;
        Some(fault.kind.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts everything. Gives what is shared and the tasks that run until aborted.
pub(super) async fn start(
    listener: TcpListener,
    mut config: Config,
) -> anyhow::Result<(Arc<Shared>, Vec<JoinHandle<()>>)> {
    if config.public_url.is_empty() {
        config.public_url = format!("http://{}", listener.local_addr()?);
    }
    let runner_pem = RUNNER_PEM
        .get_or_try_init(async || tokio::task::spawn_blocking(generate_pem).await?)
        .await?;
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().build()?;
    let (outgoing, queue) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared {
        app_key: Key::from_pem(&config.app_key_pem)?,
        runner_key: Key::from_pem(runner_pem)?,
        config,
        hooks: Hooks::default(),
        state: Mutex::default(),
        faults: Mutex::default(),
        changed: watch::Sender::new(0),
        outgoing,
    });
    let routes = Router::new()
        .merge(rest::routes())
        .merge(broker::routes())
        .merge(admin::routes())
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), faults::meddle))
        .with_state(Arc::clone(&shared));
    let serve = tokio::spawn(async move {
        let _ = axum::serve(listener, routes).await;
    });
    let send = tokio::spawn(send_hooks(Arc::clone(&shared), http, queue));
    let pass = tokio::spawn(pass_time(Arc::clone(&shared)));
    Ok((shared, vec![serve, send, pass]))
}

async fn send_hooks(
    shared: Arc<Shared>,
    http: reqwest::Client,
    mut queue: mpsc::UnboundedReceiver<Outgoing>,
) {
    let mut held = Vec::new();
    while let Some(next) = queue.recv().await {
        for out in shared.hooks.bend(next, &mut held) {
            shared.hooks.deliver(&http, &shared.config, out).await;
            shared.changed.send_modify(|count| *count += 1);
        }
    }
}

async fn pass_time(shared: Arc<Shared>) {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX / 2);
    let (pickup, lock) = (millis(shared.config.pickup), millis(shared.config.lock));
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    loop {
        tick.tick().await;
        let running =
            |job: &Job| matches!(job.stage, Stage::Offered { .. } | Stage::InProgress { .. });
        let due = shared.look(|state| state.jobs.values().any(running));
        if due {
            shared.change(|state, now| state.pass(now, pickup, lock));
        }
    }
}

/// A JSON body; null is an empty body, because 202 and 204 come without one.
pub(super) struct Reply(pub(super) Value);

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        if self.0.is_null() { ().into_response() } else { Json(self.0).into_response() }
    }
}

pub(super) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// In the form of a UUID, version 4.
pub(super) fn random_id() -> String {
    let mut bytes = [0_u8; 16];
    // Without entropy ids repeat, which a test would notice.
    let _ = SystemRandom::new().fill(&mut bytes);
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
