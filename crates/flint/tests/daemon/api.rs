//! What the daemon shows: the API over its socket, and the two pages over the network.

use super::harness::{Bench, Daemon};
use flint::api::{Jobs, SOCKET, Status, Vms, WhyAnswer};
use flint::cli::client::Client;
use flint::daemon::api::{Api, router};
use flint::daemon::clock::Clock;
use flint::daemon::front::FrontDesk;
use flint::forge::{Scope, WebhookAuth};
use flint::front::desk::{Clerk, Seen};
use flint::front::server::Limits;
use flint::front::words::{Hook, Up};
use flint::front::{Link, half, link};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener};

/// Opens the daemon's API on a socket of the test's own.
fn api(bench: &Bench, daemon: &mut Daemon) -> Client {
    let path = bench.dir.path().join(SOCKET);
    let socket = UnixListener::bind(&path).expect("the socket is free");
    let api = Api {
        door: daemon.door.clone(),
        window: daemon.window.clone(),
        logs: daemon.host.clone(),
        vmm: "fake".into(),
        started: daemon.clock.now(),
        skew: std::sync::Arc::new(|| None),
    };
    daemon.tasks.spawn(async move {
        axum::serve(socket, router(api)).await.expect("a listener never ends");
    });
    Client::new(path)
}

/// Opens what faces the network: both halves, but in this process.
async fn pages(daemon: &mut Daemon) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has a free port");
    let address = listener.local_addr().expect("it is bound");
    let (ours, theirs) = link::pair().expect("there are descriptors");
    let (ours, theirs) = (Link::new(ours).expect("an end"), Link::new(theirs).expect("an end"));
    let scope = Scope::Organization("flint-demo".to_owned());
    let hook = Hook::one(WebhookAuth::Insecure, scope);
    for word in hook.words(None) {
        ours.say(&word).await.expect("it fits");
    }
    daemon.tasks.spawn(async move {
        half::serve(theirs, listener, Limits::WEBHOOK).await.expect("the link holds");
    });
    assert!(matches!(ours.hear().await, Ok(Some(Up::Serving))));
    let (door, window) = (daemon.door.clone(), daemon.window.clone());
    let desk = FrontDesk { door, window, refused: daemon.host.refusals() };
    let (mut clerk, mut answers) = Clerk::new(desk, hook.scopes(), Seen::default());
    daemon.tasks.spawn(async move {
        loop {
            tokio::select! {
                word = ours.hear() => match word.expect("the link holds") {
                    Some(word) => drop(clerk.hear(word).expect("it is honest")),
                    None => return,
                },
                Some(answer) = answers.recv() => ours.say(&answer).await.expect("it is heard"),
            }
        }
    });
    address
}

/// One request as it is on the wire, and the whole answer.
async fn ask(address: SocketAddr, head: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("somebody listens");
    let length = body.len();
    let request = format!(
        "{head} HTTP/1.1\r\nhost: flint\r\nconnection: close\r\ncontent-length: {length}\r\n\
         x-github-event: workflow_job\r\nx-github-delivery: 72d3162e-cc78-11e3-81ab-4c9367dc0958\r\n\
         content-type: application/json\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.expect("it is read");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("it is answered");
    answer
}

#[tokio::test(start_paused = true)]
async fn the_api_tells_a_job_s_whole_way() {
    let bench = Bench::new(&["small"]);
    let mut daemon = bench.start().await;
    let client = api(&bench, &mut daemon);
    bench.outside.queue(1, &["small"]);
    bench.outside.queue(2, &["gpu"]);
    daemon.until("it is busy", |view, _| view.world.vms.values().any(|vm| vm.job.is_some())).await;

    let Vms { vms } = client.get("/v1/vms").await.expect("it answers");
    let row = vms.first().expect("one microVM");
    assert_eq!((row.id.as_str(), row.phase.as_str(), row.job), ("vm-1", "busy", Some(1)));
    let Jobs { jobs } = client.get("/v1/jobs").await.expect("it answers");
    let states: Vec<_> = jobs.iter().map(|job| (job.id, job.state.as_str())).collect();
    assert_eq!(states, [(1, "running"), (2, "queued")]);
    let status: Status = client.get("/v1/status").await.expect("it answers");
    assert_eq!((status.slots_used, status.used.vcpus, status.draining), (1, 1, false));
    let why: WhyAnswer = client.get("/v1/why/2").await.expect("it answers");
    assert_eq!((why.because.as_deref(), why.state.as_str()), (Some("no-profile"), "queued"));
    let unknown = client.get::<WhyAnswer>("/v1/why/99").await.expect_err("nobody knows it");
    assert!(unknown.to_string().contains("job 99"), "{unknown}");

    let mut log = Vec::new();
    let take = |piece: &[u8]| {
        log.extend_from_slice(piece);
        Ok(())
    };
    client.stream("/v1/logs/vm-1?follow=1", take).await.expect("it ends with the microVM");
    assert_eq!(String::from_utf8_lossy(&log), "running job 1\n");
    daemon.until("it is gone", |view, _| view.world.vms.is_empty()).await;
    let mut kept = Vec::new();
    let take = |piece: &[u8]| {
        kept.extend_from_slice(piece);
        Ok(())
    };
    client.stream("/v1/logs/vm-1", take).await.expect("its file is kept");
    assert!(String::from_utf8_lossy(&kept).ends_with(" out running job 1\n"));

    let why: WhyAnswer = client.get("/v1/why/1").await.expect("history knows it");
    assert_eq!(why.sentence, "it ran in vm-1 and ended with `success`");
    let Jobs { jobs } = client.get("/v1/jobs?done=1").await.expect("it answers");
    let done = jobs.iter().find(|job| job.id == 1).expect("completed ones too");
    assert_eq!((done.state.as_str(), done.vm.as_deref()), ("success", Some("vm-1")));
    let times = done.times.as_ref().expect("with its waterfall");
    for step in [times.committed, times.launched, times.ready, times.registered] {
        assert!(step.is_some(), "{times:?}");
    }
    assert!(times.started < times.done && times.done <= times.destroyed, "{times:?}");
}

#[tokio::test(start_paused = true)]
async fn a_drain_by_the_api_is_answered_when_it_is_on_disk() {
    let bench = Bench::new(&["small"]);
    let mut daemon = bench.start().await;
    let client = api(&bench, &mut daemon);
    let status: Status = client.post("/v1/drain").await.expect("it answers");
    assert!(status.draining);
    let job = bench.outside.queue(1, &["small"]);
    daemon.until("it is known", |view, _| view.waits.iter(&view.world).next().is_some()).await;
    assert!(daemon.why(job).starts_with("draining: "));
}

#[tokio::test(start_paused = true)]
async fn the_pages_say_whether_facts_can_be_stored_and_no_word_of_strangers() {
    let bench = Bench::new(&["small"]);
    let mut daemon = bench.start().await;
    let address = pages(&mut daemon).await;
    let healthy = ask(address, "GET /healthz", "").await;
    assert!(healthy.starts_with("HTTP/1.1 200") && healthy.ends_with("ok\n"), "{healthy}");

    bench.outside.queue(1, &["small"]);
    bench.outside.queue(2, &["a-label-of-a-stranger"]);
    daemon.until("it is busy", |view, _| view.world.vms.values().any(|vm| vm.job.is_some())).await;
    let metrics = ask(address, "GET /metrics", "").await;
    assert!(metrics.contains("flint_microvms{profile=\"small\",phase=\"busy\"} 1"), "{metrics}");
    assert!(metrics.contains("flint_jobs{profile=\"none\",state=\"queued\"} 1"), "{metrics}");
    assert!(metrics.contains("flint_store_ok{} 1"), "{metrics}");
    for strange in ["a-label-of-a-stranger", "job 1", "widgets", "CI"] {
        assert!(!metrics.contains(strange), "{strange} in {metrics}");
    }

    bench.books.refuse(|_| true);
    daemon.until("the store has failed", |view, _| !view.stored).await;
    let ill = ask(address, "GET /healthz", "").await;
    assert!(ill.starts_with("HTTP/1.1 503"), "{ill}");
    let metrics = ask(address, "GET /metrics", "").await;
    assert!(metrics.contains("flint_store_ok{} 0"), "{metrics}");
}

#[tokio::test(start_paused = true)]
async fn a_webhook_is_accepted_when_its_fact_is_on_disk_and_503_when_it_is_not() {
    let bench = Bench::new(&["small"]);
    let mut daemon = bench.start().await;
    let address = pages(&mut daemon).await;
    let body = r#"{"action":"queued","workflow_job":{"id":29679449,"run_id":940463255,
        "run_attempt":1,"name":"build","workflow_name":"CI","labels":["self-hosted","nobody-s"],
        "html_url":"https://github.com/flint-demo/widgets/actions/runs/1/job/2","status":"queued",
        "runner_name":null,"conclusion":null},
        "repository":{"full_name":"flint-demo/widgets"}}"#;
    bench.books.refuse(|_| true);
    let answer = ask(address, "POST /webhook", body).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    bench.books.accept();
    daemon.until("the store works again", |view, _| view.stored).await;
    for _ in 0..2 {
        let answer = ask(address, "POST /webhook", body).await;
        assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    }
    assert_eq!(daemon.window.borrow().world.jobs.len(), 1);
    daemon.pass(Duration::from_secs(1)).await;
    let metrics = ask(address, "GET /metrics", "").await;
    for line in ["\"committed\"} 1", "\"repeated\"} 1", "\"unavailable\"} 1"] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
}
