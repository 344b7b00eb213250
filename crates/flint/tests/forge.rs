//! The forge room against bad deliveries and against a GitHub that answers everything it may.

use flint::forge::{
    Credentials, Error, Forge as _, GitHub, Options, Removal, Request, RunnerGroup, Scope, Told,
    WebhookAuth, app_auth,
};
use flint::front::tls::Tls;
use flint::front::webhook::{self, BODY_CAP, Committed, Counters, Delivery, Door, Unavailable};
use flint::front::{keeper, server, words};
use flint_core::ask::{AskFailure, Question};
use flint_core::event::{ForgeEvent, RegisterFailure};
use flint_core::id::{InstallationId, ProfileId, RunnerName, ScopeId, VmId};
use flint_core::units::Timestamp;
use flint_sim::github::{Clock, Config, FakeGithub, FaultKind, Limits, generate_pem};
use flint_wire::Secret;
use ring::hmac;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const SECRET: &str = "s3cret";
/// The example of GitHub's documentation on validating deliveries.
const DOCUMENTED_SECRET: &str = "It's a Secret to Everybody";

fn pem() -> &'static str {
    static PEM: OnceLock<String> = OnceLock::new();
    PEM.get_or_init(|| generate_pem().expect("openssl is a test's requirement"))
}

fn app() -> Credentials {
    Credentials::App { id: "123456".to_owned(), private_key: Secret::new(pem().to_owned()) }
}

fn options(api_url: &str, webhook: WebhookAuth) -> Options {
    Options {
        api_url: api_url.to_owned(),
        ca_certificates: None,
        scope: Scope::Organization("flint-demo".to_owned()),
        credentials: app(),
        webhook,
        runner_group: RunnerGroup::Number(1),
    }
}

fn secrets(current: &str, other: Option<&str>) -> WebhookAuth {
    let secret = |text: &str| Secret::new(text.to_owned());
    WebhookAuth::Secrets { current: secret(current), other: other.map(secret) }
}

fn queued() -> Value {
    serde_json::from_str(include_str!("../../sim/src/github/workflow_job.queued.json"))
        .expect("it is JSON")
}

fn sign(secret: &str, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let hex: String =
        hmac::sign(&key, body).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256={hex}")
}

/// A webhook server.
struct Hook {
    url: String,
    http: reqwest::Client,
    counters: Arc<Counters>,
    serving: JoinHandle<()>,
}

impl Drop for Hook {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// What a delivery differs in from a good one.
#[derive(Default)]
struct Differs {
    signature: Option<Option<String>>,
    guid: Option<&'static str>,
    event: Option<&'static str>,
    kind: Option<&'static str>,
}

async fn hook(auth: WebhookAuth) -> (Hook, mpsc::Receiver<Delivery>) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has a free port");
    let url = format!("http://{}/webhook", listener.local_addr().expect("it is bound"));
    let (door, facts) = Door::new(4);
    let counters = Arc::new(Counters::default());
    let hook = words::Hook::one(auth, options("http://unused", WebhookAuth::Insecure).scope);
    let routes = webhook::router(&hook, door, Arc::clone(&counters));
    let limits = (server::Limits::WEBHOOK, Tls::default());
    let serving = tokio::spawn(server::serve(listener, routes, limits, std::future::pending()));
    let http = reqwest::Client::builder().no_proxy().build().expect("the client is plain");
    (Hook { url, http, counters, serving }, facts)
}

impl Hook {
    async fn send(&self, body: Vec<u8>, differs: Differs) -> (u16, String) {
        let signature = differs.signature.unwrap_or_else(|| Some(sign(SECRET, &body)));
        let guid = differs.guid.unwrap_or("72d3162e-cc78-11e3-81ab-4c9367dc0958");
        let mut request = self
            .http
            .post(&self.url)
            .header("x-github-event", differs.event.unwrap_or("workflow_job"));
        request = request.header("content-type", differs.kind.unwrap_or("application/json"));
        request = request.header("x-github-delivery", guid);
        if let Some(signature) = signature {
            request = request.header("x-hub-signature-256", signature);
        }
        let answer = request.body(body).send().await.expect("the server answers");
        (answer.status().as_u16(), answer.text().await.expect("the answer has a body"))
    }

    async fn send_json(&self, body: &Value) -> (u16, String) {
        self.send(body.to_string().into_bytes(), Differs::default()).await
    }

    fn seen(&self) -> BTreeMap<&'static str, u64> {
        let c = &self.counters;
        let all = [
            ("committed", &c.committed),
            ("repeated", &c.repeated),
            ("pings", &c.pings),
            ("ignored", &c.ignored),
            ("foreign", &c.foreign),
            ("unproven", &c.unproven),
            ("too_large", &c.too_large),
            ("malformed", &c.malformed),
            ("unavailable", &c.unavailable),
        ];
        all.into_iter()
            .map(|(name, n)| (name, n.load(Ordering::Relaxed)))
            .filter(|(_, n)| *n > 0)
            .collect()
    }
}

/// Stands behind the door for one delivery.
async fn take(
    facts: &mut mpsc::Receiver<Delivery>,
    answer: Result<Committed, Unavailable>,
) -> (String, ForgeEvent) {
    let delivery = facts.recv().await.expect("the server is up");
    delivery.done.send(answer).expect("the request waits");
    (delivery.guid, delivery.event)
}

#[tokio::test]
async fn a_good_delivery_is_answered_when_it_is_committed_and_not_before() {
    let (hook, mut facts) = hook(secrets(SECRET, None)).await;
    let body = queued();
    let ((status, _), (guid, event)) =
        tokio::join!(hook.send_json(&body), take(&mut facts, Ok(Committed::New)));
    assert_eq!((status, guid.as_str()), (202, "72d3162e-cc78-11e3-81ab-4c9367dc0958"));
    let ForgeEvent::JobQueued { job, request } = event else { panic!("it is a queued job") };
    assert_eq!((job.id, request.run_id), (51_234_567_890, 19_876_543_210));
    assert_eq!(request.labels, ["self-hosted", "flint", "flint-4cpu"]);
    assert_eq!(request.repository, "flint-demo/widgets");

    let ((status, text), _) =
        tokio::join!(hook.send_json(&body), take(&mut facts, Ok(Committed::Known)));
    assert_eq!((status, text.as_str()), (202, "known"));
    let full = Unavailable { why: "the disk is full".to_owned() };
    let ((status, text), _) = tokio::join!(hook.send_json(&body), take(&mut facts, Err(full)));
    assert_eq!((status, text.as_str()), (503, "cannot take the delivery: the disk is full"));
    drop(facts);
    assert_eq!(hook.send_json(&body).await.0, 503);
    assert_eq!(hook.seen(), [("committed", 1), ("repeated", 1), ("unavailable", 2)].into());
}

#[tokio::test]
async fn a_wrong_missing_or_malformed_signature_leaves_no_trace() {
    let (hook, mut facts) = hook(secrets(SECRET, None)).await;
    let body = queued().to_string().into_bytes();
    let good = sign(SECRET, &body);
    let hex = good.trim_start_matches("sha256=").to_owned();
    let bad = [
        None,
        Some(String::new()),
        Some(hex.clone()),
        Some(format!("sha1={hex}")),
        Some(good[..good.len() - 1].to_owned()),
        Some(good[..good.len() - 2].to_owned()),
        Some(format!("{good}00")),
        Some("sha256=".to_owned()),
        Some("sha256=zz".repeat(32)),
        Some(format!("sha256={}", "+1".repeat(32))),
        Some(sign("another", &body)),
        Some(sign(SECRET, b"another body")),
    ];
    let count = bad.len() as u64;
    for signature in bad {
        let shown = format!("{signature:?}");
        let (status, _) = hook
            .send(body.clone(), Differs { signature: Some(signature), ..Differs::default() })
            .await;
        assert_eq!(status, 401, "{shown}");
    }
    assert!(facts.try_recv().is_err());
    assert_eq!(hook.seen(), [("unproven", count)].into());
}

#[tokio::test]
async fn the_documented_example_is_proven_and_two_secrets_hold_while_one_is_changed() {
    let (hook, mut facts) = hook(secrets(DOCUMENTED_SECRET, Some(SECRET))).await;
    let documented = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let differs = Differs { signature: Some(Some(documented.to_owned())), ..Differs::default() };
    // Proven, and then no JSON.
    assert_eq!(hook.send(b"Hello, World!".to_vec(), differs).await.0, 400);
    let body = queued();
    let ((status, _), _) =
        tokio::join!(hook.send_json(&body), take(&mut facts, Ok(Committed::New)));
    assert_eq!(status, 202);
}

#[tokio::test]
async fn without_a_secret_everything_is_taken() {
    let (hook, mut facts) = hook(WebhookAuth::Insecure).await;
    let differs = Differs { signature: Some(None), ..Differs::default() };
    let body = queued().to_string().into_bytes();
    let ((status, _), _) =
        tokio::join!(hook.send(body, differs), take(&mut facts, Ok(Committed::New)));
    assert_eq!(status, 202);
}

#[tokio::test]
async fn a_body_over_the_cap_is_refused() {
    let (hook, _facts) = hook(secrets(SECRET, None)).await;
    let long = Differs { signature: Some(None), ..Differs::default() };
    assert_eq!(hook.send(vec![b' '; BODY_CAP + 1], long).await.0, 413);
    assert_eq!(hook.seen(), [("too_large", 1)].into());
}

#[tokio::test]
async fn bodies_that_cannot_be_read_are_answered_with_the_place() {
    let (hook, mut facts) = hook(secrets(SECRET, None)).await;
    let text = |body: &str| body.as_bytes().to_vec();
    for (body, part) in [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[]", "`action` is missing"),
        ("{\"action\": 5}", "`action` should be a text"),
        ("{\"action\": \"queued\"}", "`workflow_job` is missing"),
        (
            "{\"action\": \"queued\", \"workflow_job\": {\"id\": \"x\"}}",
            "`workflow_job.id` should be a whole number",
        ),
        ("{\"action\": \"queued\", \"workflow_job\": {\"id\": 1}}", "`repository` is missing"),
    ] {
        let (status, said) = hook.send(text(body), Differs::default()).await;
        assert_eq!(status, 400, "{body}");
        assert!(said.contains(part), "{body}: {said}");
    }
    let (status, said) =
        hook.send(text("{}"), Differs { guid: Some(""), ..Differs::default() }).await;
    assert_eq!((status, said.as_str()), (400, "`X-GitHub-Delivery` is missing"));
    assert!(facts.try_recv().is_err());
}

#[tokio::test]
async fn what_flint_does_not_act_on_is_accepted_and_counted() {
    let (hook, mut facts) = hook(secrets(SECRET, None)).await;
    let ping = json!({ "zen": "x", "hook": { "events": ["push"] } }).to_string().into_bytes();
    assert_eq!(hook.send(ping, Differs { event: Some("ping"), ..Differs::default() }).await.0, 200);
    let push = Differs { event: Some("push"), ..Differs::default() };
    assert_eq!(hook.send(b"not even JSON".to_vec(), push).await.0, 202);
    let mut body = queued();
    body["action"] = json!("reticulated");
    assert_eq!(hook.send_json(&body).await.0, 202);
    let mut foreign = queued();
    foreign["repository"]["full_name"] = json!("somebody/else");
    assert_eq!(hook.send_json(&foreign).await.0, 202);
    assert!(facts.try_recv().is_err());
    assert_eq!(hook.seen(), [("foreign", 1), ("ignored", 2), ("pings", 1)].into());
}

#[tokio::test]
async fn a_form_is_as_good_as_json() {
    let (hook, mut facts) = hook(secrets(SECRET, None)).await;
    let form: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("payload", &queued().to_string())
        .finish();
    let differs = Differs { kind: Some("application/x-www-form-urlencoded"), ..Differs::default() };
    let ((status, _), _) =
        tokio::join!(hook.send(form.into_bytes(), differs), take(&mut facts, Ok(Committed::New)));
    assert_eq!(status, 202);
}

#[tokio::test]
async fn a_port_in_use_names_itself_and_the_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let address = taken.local_addr().expect("it is bound");
    let error = keeper::bind(address).expect_err("it is taken");
    assert_eq!(error.to_string(), format!("cannot listen on `{address}`"));
    assert!(error.help().is_some_and(|help| {
        help.contains(&format!("another program has port {}", address.port()))
    }));
}

async fn github() -> (FakeGithub, GitHub) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let fake = FakeGithub::start(listener, Config::new(pem().to_owned())).await.expect("it starts");
    let forge = GitHub::new(&options(fake.url(), WebhookAuth::Insecure), "k3x9q2")
        .expect("the options are good");
    (fake, forge)
}

/// The microVMs that GitHub knows a runner of.
async fn runners(forge: &GitHub) -> Result<BTreeSet<VmId>, Error> {
    let answer = forge.ask(Question::Runners { scope: scope() }, Timestamp(7)).await?;
    match answer.told.as_slice() {
        [Told { event: ForgeEvent::Runners { registered, asked: Timestamp(7), .. }, .. }] => {
            Ok(registered.clone())
        }
        told => panic!("one fact answers this question, not {told:?}"),
    }
}

fn scope() -> ScopeId {
    ScopeId::organization("flint-demo")
}

fn request(vm: u64, attempt: u32) -> Request {
    let profile = ProfileId::new("default").expect("it is a name");
    let name = RunnerName::of(VmId(vm), &profile, "k3x9q2", attempt);
    Request { name, vm: VmId(vm), profile, scope: scope(), labels: ["linux".to_owned()].into() }
}

#[tokio::test]
async fn registrations_are_made_listed_and_removed_by_name_or_by_microvm() {
    let (fake, forge) = github().await;
    for vm in [1, 2, 3] {
        assert!(forge.register(request(vm, 1)).await.is_ok());
    }
    assert!(forge.register(request(3, 2)).await.is_ok());
    assert_eq!(runners(&forge).await.expect("it answers"), [VmId(1), VmId(2), VmId(3)].into());
    assert_eq!(
        forge.deregister(VmId(1), scope(), vec![request(1, 1).name]).await.expect("it answers"),
        Removal::Gone
    );
    assert_eq!(
        forge.deregister(VmId(1), scope(), vec![request(1, 1).name]).await.expect("it answers"),
        Removal::Gone
    );
    assert_eq!(
        forge.deregister(VmId(3), scope(), Vec::new()).await.expect("it answers"),
        Removal::Gone
    );
    assert_eq!(runners(&forge).await.expect("it answers"), [VmId(2)].into());
    assert_eq!(fake.tokens(), 1, "one token serves all calls");
}

#[tokio::test]
async fn a_listing_of_several_pages_is_read_whole_and_tokens_are_shared_by_callers_at_once() {
    let (fake, forge) = github().await;
    // More at once than GitHub takes: the core paces registrations, not this room.
    fake.set_limits(Limits::none());
    let forge = Arc::new(forge);
    let tasks: Vec<_> = (1..=120)
        .map(|vm| {
            let forge = Arc::clone(&forge);
            tokio::spawn(async move { forge.register(request(vm, 1)).await.is_ok() })
        })
        .collect();
    for task in tasks {
        assert!(task.await.expect("no registration panics"));
    }
    assert_eq!(fake.tokens(), 1);
    assert_eq!(runners(&forge).await.expect("it answers").len(), 120);
}

#[tokio::test]
async fn a_revoked_token_is_renewed_once_without_anyone_noticing() {
    let (fake, forge) = github().await;
    assert!(forge.register(request(1, 1)).await.is_ok());
    fake.revoke_tokens();
    assert!(forge.register(request(2, 1)).await.is_ok());
    assert_eq!(fake.tokens(), 1);
}

#[tokio::test]
async fn each_answer_of_githubs_says_what_it_means_and_what_helps() {
    let cases = [
        (401, "github-unauthorized", RegisterFailure::Forbidden, true),
        (403, "github-forbidden", RegisterFailure::Forbidden, true),
        (404, "github-not-found", RegisterFailure::Forbidden, true),
        (409, "github-name-taken", RegisterFailure::NameTaken, false),
        (418, "github-unexpected", RegisterFailure::Refused, false),
        (422, "github-invalid", RegisterFailure::Refused, true),
        (429, "github-rate-limited", RegisterFailure::Limited { until: Timestamp(0) }, false),
        (500, "github-unavailable", RegisterFailure::Transient, false),
        (503, "github-unavailable", RegisterFailure::Transient, false),
    ];
    for (status, slug, failure, helps) in cases {
        let (fake, forge) = github().await;
        fake.fault("generate-jitconfig", 2, FaultKind::status(status, "no\u{1b}[31m luck"));
        let error = forge.register(request(1, 1)).await.err().expect("it is refused");
        let told = match error.failure() {
            RegisterFailure::Limited { .. } => RegisterFailure::Limited { until: Timestamp(0) },
            other => other,
        };
        assert_eq!((error.slug(), told, error.help().is_some()), (slug, failure, helps), "{error}");
        assert!(
            error
                .to_string()
                .starts_with("cannot POST /orgs/flint-demo/actions/runners/generate-jitconfig: ")
        );
        assert!(!error.to_string().contains('\u{1b}'));
    }
}

#[tokio::test]
async fn an_empty_pot_of_registrations_holds_back_registrations_alone() {
    let (fake, forge) = github().await;
    let hour = Config::new(String::new()).clock.now() / 1000 + 3_000;
    let headers = [
        ("x-ratelimit-resource", "actions_runner_registration".to_owned()),
        ("x-ratelimit-remaining", "0".to_owned()),
        ("x-ratelimit-reset", hour.to_string()),
    ];
    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let (message, error_kind) = ("API rate limit exceeded".to_owned(), String::new());
    let kind = FaultKind::Status { status: 403, message, headers, error_kind };
    fake.fault("generate-jitconfig", 1, kind);
    for _ in 0..2 {
        let error = forge.register(request(1, 1)).await.err().expect("it is refused");
        let Error::RateLimited { wait_s: 2_900..=3_001, .. } = error else { panic!("{error}") };
        assert!(error.to_string().contains("`actions_runner_registration`"), "{error}");
        assert_eq!(error.failure(), RegisterFailure::Forbidden, "other calls need not wait");
    }
    assert_eq!(fake.counters().calls("generate-jitconfig"), 1);
    assert!(runners(&forge).await.expect("that is another pot").is_empty());
    let gone = forge.deregister(VmId(1), scope(), vec![request(1, 1).name]).await;
    assert_eq!(gone.expect("it answers"), Removal::Gone);
}

#[tokio::test]
async fn a_rate_limit_shuts_the_gate_for_every_call() {
    let (fake, forge) = github().await;
    let headers = [("retry-after".to_owned(), "30".to_owned())].into();
    let (message, error_kind) = ("slow down".to_owned(), String::new());
    fake.fault(
        "generate-jitconfig",
        1,
        FaultKind::Status { status: 403, message, headers, error_kind },
    );
    let error = forge.register(request(1, 1)).await.err().expect("it is refused");
    assert!(matches!(error, Error::RateLimited { wait_s: 30, .. }), "{error}");
    let error = runners(&forge).await.expect_err("nothing is sent");
    assert!(matches!(error, Error::RateLimited { .. }), "{error}");
}

#[tokio::test]
async fn garbage_and_no_answer_may_have_been_carried_out() {
    for (fault, slug) in
        [(FaultKind::Garbage, "github-garbage"), (FaultKind::Cut, "github-no-answer")]
    {
        let (fake, forge) = github().await;
        fake.fault("generate-jitconfig", 1, fault);
        let error = forge.register(request(1, 1)).await.err().expect("it is no success");
        assert_eq!((error.slug(), error.failure()), (slug, RegisterFailure::Transient));
        // The runner was made: the same name is taken, another is not, and the leftover can be removed.
        let again = forge.register(request(1, 1)).await.err().expect("the name is taken");
        assert_eq!(again.failure(), RegisterFailure::NameTaken);
        assert!(forge.register(request(1, 2)).await.is_ok());
        let names = vec![request(1, 1).name, request(1, 2).name];
        assert_eq!(
            forge.deregister(VmId(1), scope(), names).await.expect("it answers"),
            Removal::Gone
        );
        assert!(fake.runners().is_empty());
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_no_answer() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let url = format!("http://{}", free.local_addr().expect("it is bound"));
    drop(free);
    let forge =
        GitHub::new(&options(&url, WebhookAuth::Insecure), "k3x9q2").expect("the options are good");
    let error = runners(&forge).await.expect_err("nobody is there");
    assert_eq!(error.slug(), "github-no-answer");
}

#[tokio::test]
async fn a_key_of_another_app_is_refused_by_github_and_help_says_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let other = generate_pem().expect("openssl is a test's requirement");
    let fake = FakeGithub::start(listener, Config::new(other)).await.expect("it starts");
    let forge = GitHub::new(&options(fake.url(), WebhookAuth::Insecure), "k3x9q2")
        .expect("the options are good");
    let error = runners(&forge).await.expect_err("the proof is wrong");
    assert_eq!(error.slug(), "github-unauthorized");
    assert!(
        error.help().is_some_and(|help| help.contains("belong together")),
        "{:?}",
        error.help()
    );
}

#[tokio::test]
async fn a_clock_that_is_ten_minutes_off_is_named_as_the_cause() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let mut config = Config::new(pem().to_owned());
    config.clock = Clock::manual();
    let fake = FakeGithub::start(listener, config).await.expect("it starts");
    fake.advance(Duration::from_secs(600));
    let forge = GitHub::new(&options(fake.url(), WebhookAuth::Insecure), "k3x9q2")
        .expect("the options are good");
    let error = forge.register(request(1, 1)).await.err().expect("the proof has expired");
    let Error::Unauthorized { skew: Some(skew @ 590..=600), .. } = error else { panic!("{error}") };
    let named = format!("this host's clock differs from GitHub's by {skew} s");
    assert!(error.to_string().contains(&named), "{error}");
    assert!(error.help().is_some_and(|help| help.contains("turn NTP on")));
    assert_eq!(error.failure(), RegisterFailure::Forbidden);
}

#[test]
fn the_older_form_of_a_key_is_as_good() {
    let made =
        std::process::Command::new("openssl").args(["genrsa", "-traditional", "2048"]).output();
    let pem = String::from_utf8(made.expect("openssl is a test's requirement").stdout)
        .expect("PEM is text");
    assert!(pem.starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    assert!(app_auth::App::new("Iv1", &Secret::new(pem)).is_ok());
}

#[test]
fn what_is_no_key_says_so_without_showing_it() {
    let body = "A".repeat(64);
    for (text, part) in [
        ("hello".to_owned(), "no `-----BEGIN` line"),
        (
            format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----"),
            "it is a `PUBLIC KEY`",
        ),
        (
            format!("-----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----"),
            "not an RSA key",
        ),
        (pem().lines().take(5).collect::<Vec<_>>().join("\n"), "`-----END` line is missing"),
    ] {
        let error = app_auth::App::new("Iv1", &Secret::new(text)).err().expect("it is no key");
        assert!(error.to_string().contains(part), "{error}");
        assert!(!error.to_string().contains(&body));
        assert!(error.help().is_some());
    }
    assert!(app_auth::App::new("Iv1", &Secret::new(pem().to_owned())).is_ok());
}

#[tokio::test]
async fn the_doctor_learns_whether_github_knows_the_app() {
    let (fake, forge) = github().await;
    forge.check().await.expect("the App is installed");
    assert!(fake.runners().is_empty(), "asking registers nobody");
    let mut elsewhere = options(fake.url(), WebhookAuth::Insecure);
    elsewhere.scope = Scope::Organization("somebody-else".to_owned());
    let stranger = GitHub::new(&elsewhere, "k3x9q2").expect("the options are good");
    let error = stranger.check().await.expect_err("the App is not installed there");
    assert!(matches!(error, Error::NotFound { .. }), "{error:?}");
    assert!(error.help().is_some());
}

#[tokio::test]
async fn a_persons_token_does_what_an_app_does_but_for_what_only_the_app_may() {
    let (fake, _) = github().await;
    let credentials = Credentials::Token(Secret::new(fake.personal_token()));
    let options = Options { credentials, ..options(fake.url(), WebhookAuth::Insecure) };
    let forge = GitHub::new(&options, "k3x9q2").expect("the options are good");
    forge.check().await.expect("it may list runners");
    forge.register(request(1, 1)).await.expect("it may register them");
    assert_eq!(runners(&forge).await.expect("GitHub answers"), [VmId(1)].into());
    let question = Question::Deliveries {
        installation: InstallationId::new("flint-demo"),
        since: Timestamp(0),
    };
    let error = forge.ask(question, Timestamp(7)).await.expect_err("it is no App");
    assert_eq!(error.ask_failure(), AskFailure::Refused, "{error}");
    assert_eq!(fake.counters().calls("access-tokens"), 0);

    // It expires.
    fake.revoke_tokens();
    let error = forge.register(request(2, 1)).await.err().expect("it has expired");
    assert_eq!(error.failure(), RegisterFailure::Forbidden);
    assert!(error.to_string().contains("personal access token"), "{error}");
    assert!(error.help().is_some_and(|help| help.contains("has not expired")));
}
