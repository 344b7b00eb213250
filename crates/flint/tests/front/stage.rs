//! A keeper with its real front, and a desk that shows what comes and answers when a test lets it.

use flint::forge::{Scope, WebhookAuth};
use flint::front::Error;
use flint::front::desk::{Desk, Seen};
use flint::front::keeper::{self, Keeper, Options};
use flint::front::words::{Hook, Page, Taken};
use flint_core::event::ForgeEvent;
use flint_core::id::JobKey;
use flint_wire::Secret;
use ring::hmac;
use serde_json::Value;
use std::net::{SocketAddr, TcpListener};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

const SECRET: &str = "s3cret";

/// A fact at the desk.
pub(crate) struct Fact {
    pub(crate) guid: String,
    pub(crate) job: JobKey,
    pub(crate) answer: oneshot::Sender<Taken>,
}

/// Shows facts to the test.
#[derive(Clone)]
pub(crate) struct ShownDesk(mpsc::UnboundedSender<Fact>);

impl Desk for ShownDesk {
    fn deliver(
        &self,
        guid: String,
        event: ForgeEvent,
    ) -> impl Future<Output = Taken> + Send + 'static {
        let ForgeEvent::JobQueued { job, .. } = event else { panic!("tests queue jobs") };
        let (answer, taken) = oneshot::channel();
        self.0.send(Fact { guid, job, answer }).ok();
        async { taken.await.unwrap_or(Taken::Refused) }
    }

    fn page(&self, page: Page, seen: Seen) -> (bool, String) {
        (true, format!("{page:?} restarts={} received={}\n", seen.restarts, seen.counted.received))
    }
}

pub(crate) struct Stage {
    pub(crate) address: SocketAddr,
    pub(crate) facts: mpsc::UnboundedReceiver<Fact>,
    pub(crate) pid: watch::Receiver<i32>,
    stop: Option<oneshot::Sender<()>>,
    keeping: JoinHandle<()>,
    _dir: TempDir,
}

/// What a front is started with, and a listener on a port of its own.
fn options(dir: &TempDir, address: SocketAddr) -> (Options, TcpListener) {
    let listener = keeper::bind(address).expect("loopback has a free port");
    let secret = Secret::new(SECRET.to_owned());
    let auth = WebhookAuth::Secrets { current: secret, other: None };
    let hook = Hook::one(auth, Scope::Organization("flint-demo".to_owned()));
    let options = Options {
        program: env!("CARGO_BIN_EXE_flint").into(),
        listen: listener.local_addr().expect("it is bound"),
        uid: 65_534,
        confine: false,
        directory: dir.path().to_owned(),
        hook,
        tls: None,
        ping: keeper::PING,
    };
    (options, listener)
}

impl Stage {
    pub(crate) async fn start(edit: impl FnOnce(&mut Options)) -> Stage {
        Stage::try_start(edit).await.expect("it starts")
    }

    /// On any port of loopback.
    pub(crate) async fn try_start(edit: impl FnOnce(&mut Options)) -> Result<Stage, Error> {
        Stage::try_start_on(([127, 0, 0, 1], 0).into(), edit).await
    }

    pub(crate) async fn try_start_on(
        address: SocketAddr,
        edit: impl FnOnce(&mut Options),
    ) -> Result<Stage, Error> {
        let dir = tempfile::tempdir().expect("there is a temporary folder");
        let (mut options, listener) = options(&dir, address);
        edit(&mut options);
        let address = options.listen;
        let keeper = Keeper::start(options, listener).await?;
        let (shown, facts) = mpsc::unbounded_channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let pid = keeper.pid();
        let stopped = async move { drop(stopped.await) };
        let keeping = tokio::spawn(keeper.run(ShownDesk(shown), stopped));
        Ok(Stage { address, facts, pid, stop: Some(stop), keeping, _dir: dir })
    }

    pub(crate) fn pid(&self) -> i32 {
        *self.pid.borrow()
    }

    /// Ends it well, and returns when nothing runs any more.
    pub(crate) async fn end(mut self) {
        let pid = self.pid();
        drop(self.stop.take());
        (&mut self.keeping).await.expect("it ends well");
        assert!(!std::fs::exists(format!("/proc/{pid}")).expect("there is a /proc"));
    }

    /// Takes the next fact at the desk, with this answer.
    pub(crate) async fn take(&mut self, taken: Taken) -> Fact {
        let Fact { guid, job, answer } = self.facts.recv().await.expect("the keeper is there");
        answer.send(taken).ok();
        Fact { guid, job, answer: oneshot::channel().0 }
    }

    /// Delivers a job that queues, whole.
    pub(crate) async fn deliver(&self, job: u64) -> Delivering {
        let mut stream = TcpStream::connect(self.address).await.expect("somebody listens");
        let (head, body) = delivery(job);
        stream.write_all(head.as_bytes()).await.expect("it is read");
        stream.write_all(&body).await.expect("it is read");
        Delivering(stream)
    }

    pub(crate) async fn page(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.expect("somebody listens");
        let request = format!("GET {path} HTTP/1.1\r\nhost: flint\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("it is read");
        Delivering(stream).answer().await
    }

    /// A job goes all the way.
    pub(crate) async fn one_job(&mut self, job: u64) {
        let delivering = self.deliver(job).await;
        let fact = self.take(Taken::New).await;
        assert_eq!((fact.job.id, fact.guid.as_str()), (job, GUID));
        let answer = delivering.answer().await;
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // The link closes with the task, and the front ends with the link.
        self.keeping.abort();
    }
}

pub(crate) const GUID: &str = "72d3162e-cc78-11e3-81ab-4c9367dc0958";

/// A delivery that waits for its answer.
pub(crate) struct Delivering(pub(crate) TcpStream);

impl Delivering {
    /// All of it; empty when the connection was cut.
    pub(crate) async fn answer(mut self) -> String {
        let mut answer = Vec::new();
        self.0.read_to_end(&mut answer).await.ok();
        String::from_utf8(answer).expect("it is text")
    }
}

/// A signed delivery: its head and its body.
pub(crate) fn delivery(job: u64) -> (String, Vec<u8>) {
    let text = include_str!("../../../sim/src/github/workflow_job.queued.json");
    let mut body: Value = serde_json::from_str(text).expect("it is JSON");
    body["workflow_job"]["id"] = job.into();
    body["repository"]["full_name"] = "flint-demo/widgets".into();
    let body = body.to_string().into_bytes();
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    let tag: String =
        hmac::sign(&key, &body).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    (head(body.len(), &tag), body)
}

/// The head of a delivery.
pub(crate) fn head(length: usize, tag: &str) -> String {
    format!(
        "POST /webhook HTTP/1.1\r\nhost: flint\r\nconnection: close\r\ncontent-length: {length}\r\n\
         x-github-event: workflow_job\r\nx-github-delivery: {GUID}\r\n\
         x-hub-signature-256: sha256={tag}\r\ncontent-type: application/json\r\n\r\n"
    )
}

/// Sends a signal to a front of ours.
pub(crate) fn signal(pid: i32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid).expect("it is a process");
    rustix::process::kill_process(pid, signal).expect("it is there");
}

/// A line of `/proc/PID/status`.
pub(crate) fn status(pid: i32, name: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.expect("the kernel shows it").trim().to_owned()
}
