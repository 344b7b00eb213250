//! A fake GitHub whose clock stands still, a plain HTTP client, a receiver of webhooks, and a runner's listener.

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use flint::forge::app_auth::App;
use flint_core::units::Timestamp;
use flint_sim::github::{Clock, Config, FakeGithub, Webhook, generate_pem};
use flint_wire::Secret;
use reqwest::{Method, RequestBuilder, Response};
use ring::rand::SystemRandom;
use ring::rsa;
use ring::signature::RSA_PKCS1_SHA256;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A workflow with one job.
pub(crate) const ONE: &str = "jobs: {a: {runs-on: linux, steps: []}}";

/// A delivery as the receiver saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) guid: String,
    pub(crate) action: String,
    pub(crate) job: u64,
}

/// What the receiver does.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Status(u16),
    Never,
}

pub(crate) struct Room {
    pub(crate) github: FakeGithub,
    pub(crate) clock: Clock,
    pub(crate) token: String,
    http: reqwest::Client,
    app: App,
    receiver: Receiver,
}

struct Receiver {
    seen: Arc<Mutex<Vec<Seen>>>,
    answer: Arc<Mutex<Answer>>,
    task: JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn pem() -> &'static str {
    static PEM: OnceLock<String> = OnceLock::new();
    PEM.get_or_init(|| generate_pem().expect("openssl is a test's requirement"))
}

async fn bind() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    (listener, url)
}

impl Room {
    pub(crate) async fn new() -> Self {
        Room::with(|_| {}).await
    }

    /// A room whose configuration differs in this.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let (receiver, url) = Receiver::start().await;
        let (listener, _) = bind().await;
        let mut config = Config::new(pem().to_owned());
        config.webhook = Some(Webhook { url, secret: "s3cret".to_owned() });
        config.clock = Clock::manual();
        // A poll that finds nothing is answered at once.
        config.poll = Duration::ZERO;
        change(&mut config);
        let clock = config.clock.clone();
        let app = App::new(&config.app, &Secret::new(pem().to_owned())).expect("it is a key");
        let github = FakeGithub::start(listener, config).await.expect("it starts");
        let http = reqwest::Client::builder().no_proxy().user_agent("test").build();
        let http = http.expect("the client has a provider: the server installed one");
        let mut room = Room { github, clock, token: String::new(), http, app, receiver };
        room.renew().await;
        room
    }

    /// Gets an installation's token.
    pub(crate) async fn renew(&mut self) {
        let call = self.as_app(Method::POST, "/app/installations/60606060/access_tokens");
        let made = value(call.send().await.expect("it answers")).await;
        self.token = made["token"].as_str().expect("there is a token").to_owned();
    }

    pub(crate) fn as_app(&self, method: Method, path: &str) -> RequestBuilder {
        let proof = self.app.proof(Timestamp(self.clock.now())).expect("the key signs");
        let url = format!("{}{path}", self.github.url());
        self.http.request(method, url).bearer_auth(proof.expose())
    }

    pub(crate) fn call(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.github.url());
        self.http.request(method, url).bearer_auth(&self.token)
    }

    pub(crate) fn http(&self) -> &reqwest::Client {
        &self.http
    }

    pub(crate) async fn get(&self, path: &str) -> Response {
        self.call(Method::GET, path).send().await.expect("it answers")
    }

    /// What the App is told.
    pub(crate) async fn told(&self, path: &str) -> Value {
        value(self.as_app(Method::GET, path).send().await.expect("it answers")).await
    }

    /// What the installation is told.
    pub(crate) async fn read(&self, path: &str) -> Value {
        value(self.get(path).await).await
    }

    /// Queues one job, in the first repository.
    pub(crate) fn queue(&self) -> u64 {
        self.github.queue(ONE).expect("it is a workflow")[0]
    }

    /// What the receiver has seen.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.receiver.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn receiver_answers(&self, answer: Answer) {
        *self.receiver.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    pub(crate) async fn until_delivered(&self, attempts: usize) {
        self.github.until(|github| github.delivered() >= attempts).await;
    }

    pub(crate) fn register(&self, name: &str, labels: &[&str], group: u64) -> RequestBuilder {
        let body = json!({ "name": name, "runner_group_id": group, "labels": labels });
        let path = "/orgs/flint-demo/actions/runners/generate-jitconfig";
        self.call(Method::POST, path).json(&body)
    }

    /// Registers a runner in the first group, and connects its listener.
    pub(crate) async fn listener(&self, name: &str, labels: &[&str]) -> Listener {
        let made = self.register(name, labels, 1).send().await.expect("it answers");
        self.connect(&value(made).await).await
    }

    /// Connects the listener of a registration.
    pub(crate) async fn connect(&self, made: &Value) -> Listener {
        let assertion = assertion(made, self.clock.now() / 1000);
        let answer = self.authorize(&assertion).await;
        let token = value(answer).await["access_token"].as_str().expect("it has one").to_owned();
        let mut listener = Listener {
            http: self.http.clone(),
            url: self.github.url().to_owned(),
            assertion,
            token,
            session: String::new(),
        };
        let opened = listener.post("/broker/session", &json!({ "ownerName": "test" })).await;
        listener.session =
            value(opened).await["sessionId"].as_str().expect("it is open").to_owned();
        listener
    }

    pub(crate) async fn authorize(&self, assertion: &str) -> Response {
        let url = format!("{}/token", self.github.url());
        let form = format!("grant_type=client_credentials&client_assertion={assertion}");
        self.http.post(url).body(form).send().await.expect("it answers")
    }
}

impl Receiver {
    async fn start() -> (Receiver, String) {
        let (listener, url) = bind().await;
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let answer = Arc::new(Mutex::new(Answer::Status(202)));
        let (log, told) = (Arc::clone(&seen), Arc::clone(&answer));
        let take = async move |headers: HeaderMap, body: String| {
            let body: Value = serde_json::from_str(&body).expect("it is JSON");
            let guid = headers["x-github-delivery"].to_str().expect("it is text").to_owned();
            let action = body["action"].as_str().unwrap_or_default().to_owned();
            let job = body["workflow_job"]["id"].as_u64().unwrap_or_default();
            log.lock().unwrap_or_else(PoisonError::into_inner).push(Seen { guid, action, job });
            let answer = *told.lock().unwrap_or_else(PoisonError::into_inner);
            match answer {
                Answer::Status(status) => StatusCode::from_u16(status).expect("it is a status"),
                Answer::Never => std::future::pending().await,
            }
        };
        let routes = Router::new().route("/", post(take));
        let task = tokio::spawn(async move {
            axum::serve(listener, routes).await.expect("it serves until it is aborted");
        });
        (Receiver { seen, answer, task }, url)
    }
}

/// The listener of a runner: as the real one, step by step.
pub(crate) struct Listener {
    http: reqwest::Client,
    url: String,
    pub(crate) assertion: String,
    token: String,
    session: String,
}

impl Listener {
    async fn post(&self, path: &str, body: &Value) -> Response {
        let call = self.http.post(format!("{}{path}", self.url)).bearer_auth(&self.token);
        call.json(body).send().await.expect("it answers")
    }

    /// Asks for a message. Gives the status and the job, if it is one.
    pub(crate) async fn poll(&self) -> (u16, Option<u64>) {
        let url = format!("{}/broker/message?sessionId={}&status=Online", self.url, self.session);
        let answer = self.http.get(url).bearer_auth(&self.token).send().await;
        let answer = answer.expect("it answers");
        let status = answer.status().as_u16();
        if status != 200 {
            return (status, None);
        }
        let message = value(answer).await;
        (status, message["messageId"].as_u64().map(|id| id - 4_000_000_000))
    }

    /// Fetches the job. Gives the status.
    pub(crate) async fn acquire(&self, job: u64) -> u16 {
        self.post(&format!("/run/{job}/acquirejob"), &json!({})).await.status().as_u16()
    }

    pub(crate) async fn complete(&self, job: u64) -> u16 {
        let body = json!({ "conclusion": "succeeded" });
        self.post(&format!("/run/{job}/completejob"), &body).await.status().as_u16()
    }
}

pub(crate) async fn value(response: Response) -> Value {
    let text = response.text().await.expect("it is whole");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// A number of an answer's head.
pub(crate) fn header(response: &Response, name: &str) -> Option<u64> {
    response.headers().get(name)?.to_str().ok()?.parse().ok()
}

/// Where the next page is, below the server's address.
pub(crate) fn next(response: &Response, base: &str) -> Option<String> {
    let link = response.headers().get("link")?.to_str().ok()?;
    let (url, relation) = link.strip_prefix('<')?.split_once('>')?;
    assert_eq!(relation, "; rel=\"next\"");
    url.strip_prefix(base).map(str::to_owned)
}

/// The proof of being the runner that these answers of `generate-jitconfig` made.
pub(crate) fn assertion(made: &Value, now_s: u64) -> String {
    let decode = |text: &Value| -> Value {
        let bytes = STANDARD.decode(text.as_str().expect("it is text")).expect("it is base64");
        serde_json::from_slice(&bytes).expect("it is JSON")
    };
    let files = decode(&made["encoded_jit_config"]);
    let client = decode(&files[".credentials"])["data"]["clientId"].clone();
    let key = decode(&files[".credentials_rsaparams"]);
    let number = |name: &str| {
        let bytes = STANDARD.decode(key[name].as_str().expect("it is there"));
        let bytes = bytes.expect("it is base64").into_iter();
        bytes.skip_while(|byte| *byte == 0).collect::<Vec<u8>>()
    };
    let public = rsa::PublicKeyComponents { n: number("modulus"), e: number("exponent") };
    let parts = rsa::KeyPairComponents {
        public_key: public,
        d: number("d"),
        p: number("p"),
        q: number("q"),
        dP: number("dp"),
        dQ: number("dq"),
        qInv: number("inverseQ"),
    };
    let key = rsa::KeyPair::from_components(&parts).expect("it is a key");
    let claims = json!({ "iss": client, "nbf": now_s, "exp": now_s + 300 }).to_string();
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#);
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
    let mut proof = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut proof)
        .expect("it signs");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(proof))
}
