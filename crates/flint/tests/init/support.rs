//! What tests of `flint init` share: a wish, and the proof that its configuration serves.

use flint::config::{self, Flags, Machine, Purpose, Sources};
use flint::forge::{
    Credentials, Forge as _, GitHub, Options, Request, RunnerGroup, Scope, WebhookAuth,
};
use flint::front::tls::Tls;
use flint::front::webhook::{self, Committed, Counters, Door};
use flint::front::{server, words};
use flint_core::event::ForgeEvent;
use flint_core::id::{ProfileId, RunnerName, VmId};
use flint_core::units::MiB;
use flint_sim::github::{Config, FakeGithub, generate_pem};
use serde_json::Value;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};
use tokio::net::TcpListener;

/// What a profile without a word of its own gets.
const JOB: &str =
    "name: ci\non: push\njobs:\n  a:\n    runs-on: self-hosted\n    steps: [{ run: 'true' }]\n";

/// An address of loopback where nobody else takes webhooks, another one with each call of each process.
pub(crate) fn hook() -> String {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    format!("http://127.{}.{high}.{low}:9198/webhook", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A fake GitHub whose own App nobody uses here.
pub(crate) async fn github(edit: impl FnOnce(&mut Config)) -> FakeGithub {
    static PEM: OnceLock<String> = OnceLock::new();
    let pem = PEM.get_or_init(|| generate_pem().expect("openssl is a test's requirement"));
    let mut config = Config::new(pem.clone());
    config.organization = "acme".to_owned();
    edit(&mut config);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has a free port");
    FakeGithub::start(listener, config).await.expect("it starts")
}

/// The lines of `flint doctor --github` about GitHub: item, verdict, reading, and what to do.
pub(crate) fn doctor(config: &Path) -> Vec<[String; 4]> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flint"));
    let ran =
        command.args(["--json", "--config"]).arg(config).args(["doctor", "--github"]).output();
    let ran = ran.expect("the program is there");
    let lines: Vec<Value> = serde_json::from_slice(&ran.stdout).expect("it is a list");
    let field = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let lines =
        lines.iter().map(|line| ["item", "verdict", "reading", "fix"].map(|n| field(line, n)));
    lines.skip_while(|[item, ..]| item != "private key").collect()
}

/// All that `flint doctor --github` says of an App is good; behind the items that are always there come these.
pub(crate) fn is_good(config: &Path, more: &[&str]) {
    let lines = doctor(config);
    let items: Vec<&str> = lines.iter().map(|[item, ..]| item.as_str()).collect();
    let wanted = [
        "private key",
        "app",
        "installation",
        "metadata",
        "actions",
        "organization_self_hosted_runners",
        "workflow_job",
        "webhook",
        "runners",
        "runner group",
        "runs",
    ];
    assert_eq!(items, [&wanted[..], more].concat());
    assert!(lines.iter().all(|[_, verdict, ..]| verdict == "ok"), "{lines:#?}");
}

/// The files are there, and nobody but their owner can read them.
pub(crate) fn are_private(directory: &Path) {
    let mode =
        |path: &Path| std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    for name in ["flint.toml", "private.pem", "webhook-secret"] {
        assert_eq!(mode(&directory.join(name)), 0o600, "{name}");
    }
    assert_eq!(mode(directory), 0o700);
    assert_eq!(std::fs::read_dir(directory).expect("it is there").count(), 3);
}

/// A job that is queued comes to the webhook of this configuration, signed, and gets a runner by its App.
pub(crate) async fn serves(github: &FakeGithub, path: &Path) {
    let sources = Sources::gather(Flags::default(), Some(path.to_owned())).expect("it is read");
    let machine = Machine { cpus: 2, memory: MiB(8192), free_disk: |_| Some(MiB(1 << 20)) };
    let (config, _) = config::load(&sources, &machine, Purpose::Serve).expect("it is good");
    let given = config.github.into_iter().next().expect("it names GitHub");
    let [config::Scope::Organization(login)] = given.scopes.as_slice() else {
        panic!("it is an organization")
    };
    let scope = Scope::Organization(login.clone());
    let config::Webhooks::Signed(secrets) = given.webhooks else { panic!("it hears") };
    let secret = secrets[0].clone();
    let auth = WebhookAuth::Secrets { current: secret, other: None };

    let (door, mut facts) = Door::new(4);
    let hook = words::Hook::one(auth.clone(), scope.clone());
    let routes = webhook::router(&hook, door, Arc::new(Counters::default()));
    let listener = TcpListener::bind(config.server.listen).await.expect("the port is free");
    let limits = (server::Limits::WEBHOOK, Tls::default());
    let serving = tokio::spawn(server::serve(listener, routes, limits, std::future::pending()));
    let jobs = github.queue(JOB).expect("the workflow is one");
    let told = facts.recv().await.expect("the server runs");
    told.done.send(Ok(Committed::New)).expect("somebody waits");
    let ForgeEvent::JobQueued { job, request } = told.event else { panic!("a job is queued") };
    assert_eq!(vec![job.id], jobs);

    let (profile, options) = config.profiles.iter().next().expect("there is a profile");
    let labels: BTreeSet<String> = request.labels.into_iter().collect();
    assert!(labels.is_subset(&options.profile.labels), "{labels:?}");
    let id = scope.id();
    let options = Options {
        api_url: given.url.as_str().trim_end_matches('/').to_owned(),
        ca_certificates: given.ca_certificates,
        scope,
        credentials: credentials(given.credentials),
        webhook: auth,
        runner_group: RunnerGroup::Number(1),
    };
    let forge = GitHub::new(&options, "k3x9q2").expect("its key is one");
    let name = RunnerName::of(VmId(1), profile, "k3x9q2", 1);
    let profile = ProfileId::new(profile.as_str()).expect("it is a name");
    let request = Request { name, vm: VmId(1), profile, scope: id, labels };
    assert!(forge.register(request).await.is_ok());
    assert_eq!(github.runners().len(), 1);
    serving.abort();
}

fn credentials(given: config::Credentials) -> Credentials {
    match given {
        config::Credentials::App { id, private_key } => Credentials::App { id, private_key },
        config::Credentials::Token(token) => Credentials::Token(token),
    }
}
