//! One job's whole way through Flint's forge room, the fake GitHub and the fake runner, over loopback.
//!
//! It stands here and not beside `flint`'s tests because only this package knows where its runner binary is.

use flint::forge::{
    Credentials, Forge as _, GitHub, Options, Registered, Removal, Request, RunnerGroup, Scope,
    WebhookAuth,
};
use flint::front::server;
use flint::front::tls::Tls;
use flint::front::webhook::{self, Committed, Counters, Delivery, Door};
use flint::front::words::Hook;
use flint_core::ask::Question;
use flint_core::event::ForgeEvent;
use flint_core::id::{ProfileId, RunnerName, ScopeId, VmId};
use flint_core::units::Timestamp;
use flint_sim::github::{Config, FakeGithub, FaultKind, HookFault, Webhook, generate_pem};
use flint_wire::Secret;
use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::{Arc, OnceLock};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

const VM: VmId = VmId(7);

fn scope() -> ScopeId {
    ScopeId::organization("flint-demo")
}

/// The microVMs that GitHub knows a runner of.
async fn runners(forge: &GitHub) -> BTreeSet<VmId> {
    let answer = forge
        .ask(Question::Runners { scope: scope() }, Timestamp(0))
        .await
        .expect("GitHub answers");
    let listed = answer.told.into_iter().find_map(|told| match told.event {
        ForgeEvent::Runners { registered, .. } => Some(registered),
        _ => None,
    });
    listed.expect("it lists them")
}

/// Both ends, connected.
struct Room {
    github: FakeGithub,
    forge: GitHub,
    facts: mpsc::Receiver<Delivery>,
    root: TempDir,
    serving: JoinHandle<()>,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

fn pem() -> &'static str {
    static PEM: OnceLock<String> = OnceLock::new();
    PEM.get_or_init(|| generate_pem().expect("openssl is a test's requirement"))
}

async fn room() -> Room {
    let hook = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let mut config = Config::new(pem().to_owned());
    let url = format!("http://{}/webhook", hook.local_addr().expect("it is bound"));
    config.webhook = Some(Webhook { url, secret: "s3cret".to_owned() });
    let scope = Scope::Organization(config.organization.clone());
    let app = config.app.clone();
    let github = FakeGithub::start(listener, config).await.expect("it starts");
    let options = Options {
        api_url: github.url().to_owned(),
        ca_certificates: None,
        scope,
        credentials: Credentials::App { id: app, private_key: Secret::new(pem().to_owned()) },
        webhook: WebhookAuth::Secrets { current: Secret::new("s3cret".to_owned()), other: None },
        runner_group: RunnerGroup::Number(1),
    };
    let (door, facts) = Door::new(16);
    let proofs = Hook::one(options.webhook.clone(), options.scope.clone());
    let routes = webhook::router(&proofs, door, Arc::new(Counters::default()));
    let limits = (server::Limits::WEBHOOK, Tls::default());
    let serving = tokio::spawn(server::serve(hook, routes, limits, std::future::pending()));
    let forge = GitHub::new(&options, "k3x9q2").expect("the options are good");
    let root = tempfile::tempdir().expect("there is a temporary folder");
    Room { github, forge, facts, root, serving }
}

impl Room {
    async fn register(&self) -> Registered {
        let profile = ProfileId::new("default").expect("it is a name");
        let name = RunnerName::of(VM, &profile, "k3x9q2", 1);
        let labels = ["self-hosted", "Linux"].map(str::to_owned).into();
        let registered =
            self.forge.register(Request { name, vm: VM, profile, scope: scope(), labels }).await;
        registered.unwrap_or_else(|error| panic!("cannot register: {error}"))
    }

    async fn fact(&mut self) -> ForgeEvent {
        let delivery = self.facts.recv().await.expect("the server is up");
        delivery.done.send(Ok(Committed::New)).expect("the request waits");
        delivery.event
    }

    fn runner(&self, registered: &Registered) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fake-runner"));
        command.arg("run").current_dir(self.root.path()).stdout(Stdio::piped()).kill_on_drop(true);
        command.env("ACTIONS_RUNNER_INPUT_JITCONFIG", registered.jit_config.expose());
        command.env("ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE", "1");
        command.spawn().expect("the runner's binary was built with this test")
    }
}

async fn output(runner: Child) -> (i32, String) {
    let output = runner.wait_with_output().await.expect("it ends");
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
}

const HELLO: &str = r#"
name: CI
on: push
env: { COLOUR: blue }
jobs:
  hello:
    name: Say hello
    runs-on: [self-hosted, linux]
    steps:
      - run: |
          echo "I am $RUNNER_NAME in $GITHUB_REPOSITORY, $COLOUR"
          echo "secret: ${ACTIONS_RUNNER_INPUT_JITCONFIG:-none}"
          echo "SIZE=4" >> "$GITHUB_ENV"
          pwd
      - name: Uses what the first set
        run: echo "size $SIZE and $OWN"
        env: { OWN: mine }
      - run: exit 3
        continue-on-error: true
      - run: exit 4
      - run: echo never
      - run: echo always
        if: always()
"#;

#[tokio::test]
async fn a_queued_job_reaches_the_door_runs_in_a_runner_and_is_told_as_completed() {
    let mut room = room().await;
    let job = room.github.queue(HELLO).expect("it is a workflow")[0];
    let ForgeEvent::JobQueued { job: key, request } = room.fact().await else {
        panic!("it is queued first")
    };
    assert_eq!(
        (key.id, request.name.as_str(), request.workflow.as_str()),
        (job, "Say hello", "CI")
    );
    assert_eq!(request.labels, ["self-hosted", "linux"]);

    let registered = room.register().await;
    assert_eq!(runners(&room.forge).await, [VM].into());
    let runner = room.runner(&registered);
    let ForgeEvent::JobStarted { runner: name, .. } = room.fact().await else {
        panic!("then it starts")
    };
    assert_eq!(name.and_then(|name| name.vm("k3x9q2")), Some(VM));
    let ForgeEvent::JobCompleted { conclusion, .. } = room.fact().await else {
        panic!("then it ends")
    };
    assert_eq!(conclusion.0, "failure");

    let (code, lines) = output(runner).await;
    assert_eq!(code, 0, "{lines}");
    let log = room.github.log(job).join("\n");
    for text in [&lines, &log] {
        assert!(text.contains("I am vm-7-default-k3x9q2 in flint-demo/widgets, blue"), "{text}");
        assert!(text.contains("secret: none"), "{text}");
        assert!(text.contains("/_work/widgets/widgets"), "{text}");
        assert!(text.contains("size 4 and mine"), "{text}");
        assert!(text.contains("##[error]Process completed with exit code 4."), "{text}");
        assert!(text.contains("\nalways"), "{text}");
        assert!(!text.contains("\nnever"), "{text}");
    }
    for line in ["√ Connected to GitHub", "Z: Listening for Jobs", "Z: Running job: Say hello"] {
        assert!(lines.contains(line), "{lines}");
    }
    assert!(lines.contains("Z: Job Say hello completed with result: Failed"), "{lines}");
    assert!(room.root.path().join(".credentials_rsaparams").exists());
    assert_eq!(runners(&room.forge).await, [].into(), "a one-job runner is gone after its job");
}

#[tokio::test]
async fn a_runner_with_a_job_cannot_be_removed_and_a_cancel_reaches_its_step() {
    let mut room = room().await;
    let yaml = "jobs: {long: {runs-on: linux, steps: [{run: 'trap \"echo stopped; exit 9\" INT; echo begun; while :; do sleep 0.05; done'}]}}";
    let job = room.github.queue(yaml).expect("it is a workflow")[0];
    room.fact().await;
    let registered = room.register().await;
    let runner = room.runner(&registered);
    room.fact().await;
    room.github.until(|github| github.log(job).iter().any(|line| line == "begun")).await;
    assert_eq!(
        room.forge.deregister(VM, scope(), Vec::new()).await.expect("GitHub answers"),
        Removal::Busy
    );
    assert!(room.github.cancel(job));
    let ForgeEvent::JobCompleted { conclusion, .. } = room.fact().await else { panic!("it ends") };
    assert_eq!(conclusion.0, "cancelled");
    let (code, lines) = output(runner).await;
    assert_eq!(code, 0, "{lines}");
    assert!(
        lines.contains("stopped") && lines.contains("completed with result: Canceled"),
        "{lines}"
    );
}

#[tokio::test]
async fn an_idle_runner_that_is_removed_leaves_by_itself() {
    let room = room().await;
    let runner = room.runner(&room.register().await);
    room.github.until(|github| github.runners().iter().any(|runner| runner.online)).await;
    assert_eq!(
        room.forge.deregister(VM, scope(), Vec::new()).await.expect("GitHub answers"),
        Removal::Gone
    );
    let (code, lines) = output(runner).await;
    assert_eq!(code, 0, "{lines}");
    assert!(lines.contains("no longer exists on the server"), "{lines}");
}

#[tokio::test]
async fn a_registration_that_is_gone_and_a_version_that_is_too_old_have_their_exit_codes() {
    let room = room().await;
    let registered = room.register().await;
    assert_eq!(
        room.forge.deregister(VM, scope(), Vec::new()).await.expect("GitHub answers"),
        Removal::Gone
    );
    assert_eq!(output(room.runner(&registered)).await.0, 1);

    let registered = room.register().await;
    let mut old = FaultKind::status(400, "too old");
    if let FaultKind::Status { error_kind, .. } = &mut old {
        *error_kind = "RunnerVersionTooOld".to_owned();
    }
    room.github.fault("session", 1, old);
    let (code, lines) = output(room.runner(&registered)).await;
    assert_eq!(code, 7, "{lines}");
    assert!(lines.contains("is deprecated and cannot receive messages"), "{lines}");
}

#[tokio::test]
async fn doubled_lost_and_forged_deliveries_are_told_apart() {
    let mut room = room().await;
    let yaml = "jobs: {a: {runs-on: linux, steps: []}}";
    room.github.hook_fault(HookFault::Duplicate, 1);
    room.github.hook_fault(HookFault::WrongSignature, 1);
    room.github.queue(yaml).expect("it is a workflow");
    let first = room.facts.recv().await.expect("the server is up");
    first.done.send(Ok(Committed::New)).expect("the request waits");
    let second = room.facts.recv().await.expect("the server is up");
    second.done.send(Ok(Committed::Known)).expect("the request waits");
    assert_eq!((first.guid, first.event), (second.guid, second.event));
    room.github.queue(yaml).expect("it is a workflow");
    room.github.until(|github| github.deliveries().len() == 3).await;
    let codes: Vec<u16> = room.github.deliveries().iter().map(|sent| sent.status_code).collect();
    assert_eq!(codes, [202, 202, 401]);
    assert!(room.facts.try_recv().is_err(), "a forged delivery leaves no trace");
}

#[tokio::test]
async fn a_job_that_is_cancelled_while_queued_is_told_without_a_runner() {
    let mut room = room().await;
    let job =
        room.github.queue("jobs: {a: {runs-on: linux, steps: []}}").expect("it is a workflow")[0];
    room.fact().await;
    assert!(room.github.cancel(job));
    let ForgeEvent::JobCompleted { runner, conclusion, .. } = room.fact().await else {
        panic!("it ends")
    };
    assert_eq!((runner, conclusion.0.as_str()), (None, "cancelled"));
}
