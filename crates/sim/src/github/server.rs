//! The one server: what all its parts share, its clock-driven part, and the task that sends webhooks.

use super::clock::{Clock, millis};
use super::faults::Faults;
use super::hooks::{self, Fate, Hooks, Outgoing};
use super::key::{Key, generate_pem};
use super::limits::{Ledger, Limits};
use super::state::{State, Times};
use super::{actions, admin, apps, broker, conditional, deliveries, gate, meddle, rest, workflow};
use anyhow::Context as _;
use axum::{Router, middleware};
use ring::rand::{SecureRandom as _, SystemRandom};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
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
    /// The slug of the enterprise that the organization belongs to.
    pub enterprise: String,
    /// The organization's first repository; more are added to the running server.
    pub repository: String,
    /// The App's id.
    pub app: String,
    /// The App's private key; only its public half is used.
    pub app_key_pem: String,
    /// The installation's id.
    pub installation: u64,
    /// How long an installation token lives.
    pub token_life: Duration,
    /// How long a poll for messages is held, of a runner and of a scale set. GitHub: 50 s.
    pub poll: Duration,
    /// After how long an offered job goes back to the queue. GitHub: 60 s.
    pub pickup: Duration,
    /// After how long a job without renewal counts as lost. GitHub: about 10 min.
    pub lock: Duration,
    /// After how long the registration of a connected runner without a job is removed. GitHub does so, in a time that it
    /// does not tell: reports speak of 2 to 6 min. None: never.
    pub idle: Option<Duration>,
    /// How long a token of the service of scale sets lives.
    pub service_life: Duration,
    /// How long a token of a scale set's message queue lives.
    pub queue_life: Duration,
    /// After how long without a poll a scale set's session lapses. GitHub: some minutes, which it does not tell.
    pub session: Duration,
    /// Whether scale sets are offered jobs and have to claim them, as by a GitHub Enterprise Server.
    pub offers: bool,
    /// How long a webhook's receiver may take to answer. GitHub: 10 s.
    pub answer_wait: Duration,
    /// How many calls it takes.
    pub limits: Limits,
    /// How many times as fast as the clock the books of the limits are kept: an hour of calls need not take one.
    pub hurry: u32,
    /// What the chances of [`super::HookRates`] and [`super::Fault`] are drawn from.
    pub seed: u64,
    /// The time of everything but a poll for messages and a webhook's answer.
    pub clock: Clock,
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
    /// GitHub's own times and limits; enterprise `flint-corp`, organization `flint-demo`, repository `widgets`, App
    /// 123456.
    #[must_use]
    pub fn new(app_key_pem: String) -> Self {
        Config {
            public_url: String::new(),
            webhook: None,
            organization: "flint-demo".to_owned(),
            enterprise: "flint-corp".to_owned(),
            repository: "widgets".to_owned(),
            app: "123456".to_owned(),
            app_key_pem,
            installation: 60_606_060,
            token_life: Duration::from_secs(3600),
            poll: Duration::from_secs(50),
            pickup: Duration::from_secs(60),
            lock: Duration::from_secs(600),
            idle: None,
            service_life: Duration::from_secs(3600),
            queue_life: Duration::from_secs(3600),
            session: Duration::from_secs(300),
            offers: false,
            answer_wait: Duration::from_secs(10),
            limits: Limits::default(),
            hurry: 1,
            seed: 1,
            clock: Clock::system(),
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
    pub(super) clock: Clock,
    /// When it was.
    started: u64,
    state: Mutex<State>,
    faults: Mutex<Faults>,
    ledger: Mutex<Ledger>,
    /// Counts changes of the state, for polls; and whatever a test may look at, for tests. Apart, because a call that
    /// changes nothing must not wake hundreds of polls.
    changed: watch::Sender<u64>,
    noticed: watch::Sender<u64>,
    outgoing: mpsc::UnboundedSender<Vec<Fate>>,
}

impl Shared {
    /// Changes the state, sends what that told, and wakes whoever waits.
    pub(super) fn change<R>(&self, how: impl FnOnce(&mut State, u64) -> R) -> R {
        let now = self.clock.now();
        let result = {
            let mut state = self.lock();
            let result = how(&mut state, now);
            // Handed over while the state is held, so that the order of the webhooks is the order of the changes.
            let target = apps::target(&self.config, &state);
            for told in std::mem::take(&mut state.outbox) {
                if let Some(target) = &target {
                    self.send(Outgoing::job((&self.config, target), &told, now));
                }
            }
            result
        };
        self.wake_all();
        result
    }

    /// As [`Self::change`], but wakes nobody when nothing came of it: else polls would wake each other for ever.
    pub(super) fn try_change<R>(
        &self,
        how: impl FnOnce(&mut State, u64) -> Option<R>,
    ) -> Option<R> {
        let now = self.clock.now();
        let result = how(&mut self.lock(), now);
        if result.is_some() {
            self.wake_all();
        }
        result
    }

    pub(super) fn look<R>(&self, how: impl FnOnce(&State) -> R) -> R {
        how(&self.lock())
    }

    /// Who hears of jobs now.
    pub(super) fn target(&self) -> Option<apps::Target> {
        self.look(|state| apps::target(&self.config, state))
    }

    /// The state changed: whoever waits looks again.
    fn wake_all(&self) {
        self.changed.send_modify(|count| *count += 1);
        self.wake();
    }

    /// Something else that a test may wait for.
    pub(super) fn wake(&self) {
        self.noticed.send_modify(|count| *count += 1);
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn notices(&self) -> watch::Receiver<u64> {
        self.noticed.subscribe()
    }

    pub(super) fn send(&self, outgoing: Outgoing) {
        let _ = self.outgoing.send(self.hooks.settle(outgoing));
    }

    pub(super) fn faults<R>(&self, how: impl FnOnce(&mut Faults) -> R) -> R {
        how(&mut self.faults.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The time of the books of the limits.
    pub(super) fn books_now(&self) -> u64 {
        let passed = self.clock.now().saturating_sub(self.started);
        self.started + passed * u64::from(self.config.hurry)
    }

    pub(super) fn ledger<R>(&self, how: impl FnOnce(&mut Ledger) -> R) -> R {
        how(&mut self.ledger.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Queues the jobs of a workflow text in a repository.
    pub(super) fn queue(
        &self,
        repository: &str,
        yaml: &str,
        from_fork: bool,
    ) -> anyhow::Result<Vec<u64>> {
        let specs = workflow::parse(yaml)?;
        let queued = self.change(|state, now| state.queue((repository, from_fork), specs, now));
        queued.with_context(|| {
            format!("there is no repository `{repository}`: add it with `add_repository`")
        })
    }

    /// What time alone changes.
    pub(super) fn pass(&self) {
        let config = &self.config;
        let times = Times {
            pickup: millis(config.pickup),
            lock: millis(config.lock),
            idle: config.idle.map(millis),
        };
        if self.look(|state| state.is_moving(&times)) {
            self.change(|state, now| state.pass(now, &times));
        }
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
    let mut state = State::default();
    state.org.add_repository(&config.repository, super::org::Kind::Private, config.clock.now());
    let shared = Arc::new(Shared {
        app_key: Key::from_pem(&config.app_key_pem)?,
        runner_key: Key::from_pem(runner_pem)?,
        hooks: Hooks::new(config.seed),
        clock: config.clock.clone(),
        state: Mutex::new(state),
        faults: Mutex::new(Faults::new(config.seed)),
        started: config.clock.now(),
        ledger: Mutex::new(Ledger::new(config.limits)),
        config,
        changed: watch::Sender::new(0),
        noticed: watch::Sender::new(0),
        outgoing,
    });
    let meddle = middleware::from_fn_with_state(Arc::clone(&shared), meddle::meddle);
    // The last layer is the first that a call comes through.
    let api = rest::routes()
        .merge(actions::routes())
        .merge(super::software::routes())
        .merge(deliveries::routes())
        .merge(super::scale_sets::rest_routes())
        .merge(apps::routes())
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), apps::check))
        .layer(middleware::from_fn(conditional::answer))
        .layer(meddle.clone())
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), gate::pass));
    let sets = super::scale_sets::routes()
        .layer(meddle.clone())
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), super::scale_sets::count));
    let routes = broker::routes()
        .layer(meddle)
        .merge(sets)
        .merge(api)
        .merge(admin::routes())
        .merge(apps::pages())
        .merge(super::software::pages())
        .with_state(Arc::clone(&shared));
    let routes = Router::new()
        .fallback_service(routes)
        .layer(middleware::from_fn(super::calls::at_server_path));
    let serve = tokio::spawn(async move {
        let _ = axum::serve(listener, routes).await;
    });
    let mut tasks = vec![serve, tokio::spawn(hooks::send(Arc::clone(&shared), http, queue))];
    if !shared.clock.is_manual() {
        tasks.push(tokio::spawn(pass_time(Arc::clone(&shared))));
    }
    Ok((shared, tasks))
}

/// Lets the machine's clock do its work. One that a test moves does it when it is moved.
async fn pass_time(shared: Arc<Shared>) {
    let mut tick = tokio::time::interval(Duration::from_millis(200));
    loop {
        tick.tick().await;
        shared.pass();
    }
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
