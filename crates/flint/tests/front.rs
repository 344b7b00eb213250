//! The half that faces the network as a real process: deliveries, crashes, hangs, floods.
#![cfg(test)]

#[path = "front/stage.rs"]
mod stage;

use flint::forge::{Scope, WebhookAuth};
use flint::front::words::{Gate, Taken};
use flint::front::{Error, keeper};
use flint::sys::process::{Ended, Process};
use flint_wire::Secret;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use stage::{Delivering, Stage, delivery, head, signal, status};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// A ping that a hang is found by soon.
const SOON: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_delivery_is_answered_only_when_its_fact_is_taken_and_a_page_is_written_by_the_daemon() {
    let mut stage = Stage::start(|_| {}).await;
    let delivering = stage.deliver(7).await;
    let fact = stage.facts.recv().await.expect("it is told");
    assert_eq!((fact.job.id, fact.job.attempt), (7, 1));
    let mut nothing = [0];
    assert!(delivering.0.try_read(&mut nothing).is_err(), "nothing is answered before");
    fact.answer.send(Taken::New).expect("somebody waits");
    assert!(delivering.answer().await.starts_with("HTTP/1.1 202"));
    let delivering = stage.deliver(8).await;
    stage.take(Taken::Refused).await;
    assert!(delivering.answer().await.starts_with("HTTP/1.1 503"));
    let page = stage.page("/metrics").await;
    assert!(page.ends_with("Metrics restarts=0 received=2\n"), "{page}");
    let page = stage.page("/healthz").await;
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("Health"), "{page}");
    stage.end().await;
}

#[tokio::test]
async fn a_secret_is_good_for_its_own_entry_alone_however_many_there_are() {
    let ours = Scope::Organization("flint-demo".to_owned());
    let other = |n: usize| {
        let secret = |text: &str| Secret::new(format!("{n}{}", text.repeat(4000)));
        let auth = WebhookAuth::Secrets { current: secret("a"), other: Some(secret("b")) };
        Gate { auth, scopes: vec![Scope::Organization(format!("other-{n}"))] }
    };
    // All together are longer than a packet.
    let mut stage = Stage::start(|options| options.hook.gates.extend((0..31).map(other))).await;
    stage.one_job(7).await;
    stage.end().await;

    let mut stage = Stage::start(|options| {
        let gate = &mut options.hook.gates[0];
        gate.scopes = vec![Scope::Organization("other".to_owned())];
        options.hook.gates.push(Gate { scopes: vec![ours], ..other(0) });
    })
    .await;
    let answer = stage.deliver(8).await.answer().await;
    assert!(
        answer.starts_with("HTTP/1.1 202") && answer.contains("not of an organization"),
        "{answer}"
    );
    assert!(stage.facts.try_recv().is_err());
    stage.end().await;
}

#[tokio::test]
async fn a_front_that_is_killed_in_a_flood_comes_back_and_the_fact_it_was_telling_is_kept() {
    let mut stage = Stage::start(|_| {}).await;
    let flood = futures_util::future::join_all((1..=50).map(|job| stage.deliver(job))).await;
    let mut kept = Vec::new();
    while kept.len() < 50 {
        kept.push(stage.facts.recv().await.expect("it is told"));
    }
    signal(stage.pid(), Signal::KILL);
    stage.pid.changed().await.expect("the keeper is there");
    // Nobody answers for it: GitHub counts them as failed. The desk has them all the same.
    for delivering in flood {
        assert_eq!(delivering.answer().await, "");
    }
    for fact in kept {
        fact.answer.send(Taken::New).expect("the desk still waits for the commit");
    }
    stage.one_job(51).await;
    let page = stage.page("/metrics").await;
    assert!(page.contains("restarts=1"), "{page}");
    stage.end().await;
}

#[tokio::test]
async fn a_front_that_hangs_is_ended_and_another_one_serves() {
    let mut stage = Stage::start(|options| options.ping = SOON).await;
    let hangs = stage.pid();
    signal(hangs, Signal::STOP);
    let waits = stage.deliver(1).await;
    stage.pid.changed().await.expect("the keeper is there");
    assert_eq!(waits.answer().await, "");
    assert!(!std::fs::exists(format!("/proc/{hangs}")).expect("there is a /proc"));
    stage.one_job(2).await;
    stage.end().await;
}

#[tokio::test]
async fn requests_under_way_are_answered_when_the_daemon_ends() {
    let mut stage = Stage::start(|_| {}).await;
    let delivering = stage.deliver(1).await;
    let fact = stage.facts.recv().await.expect("it is told");
    let ending = tokio::spawn(stage.end());
    fact.answer.send(Taken::New).expect("somebody waits");
    assert!(delivering.answer().await.starts_with("HTTP/1.1 202"));
    ending.await.expect("it ends well");
}

#[tokio::test]
async fn a_front_whose_daemon_is_gone_ends_and_leaves_the_port() {
    let stage = Stage::start(|_| {}).await;
    let (front, address) = (Process::child(stage.pid().cast_unsigned()).unwrap(), stage.address);
    drop(stage);
    assert_eq!(front.wait().await, Some(Ended::Code(0)));
    keeper::bind(address).expect("the next daemon gets it");
}

#[tokio::test]
async fn a_program_that_is_no_front_ends_the_start() {
    let start = async |program: &str| {
        let refused = Stage::try_start(|options| options.program = program.into()).await;
        refused.err().expect("it is refused")
    };
    assert!(matches!(start("/bin/false").await, Error::Silent | Error::Link { .. }));
    assert!(matches!(start("/nowhere/flint").await, Error::Start { .. }));
}

#[test]
fn a_front_that_is_started_by_hand_says_who_starts_it_and_no_help_names_it() {
    let flint = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flint"));
        let output = command.args(args).stdin(Stdio::null()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), output.stderr)
    };
    let (code, _, errors) = flint(&["front", "--uid", "65534"]);
    let errors = String::from_utf8(errors).unwrap();
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("cannot serve without the daemon"), "{errors}");
    assert!(errors.contains("`flint serve` starts it"), "{errors}");
    let (_, help, _) = flint(&["--help"]);
    assert!(help.contains("serve") && !help.contains("front"), "{help}");
}

#[tokio::test]
async fn ten_thousand_idle_connections_do_not_keep_a_delivery_out() {
    // Our own ends; where the machine allows fewer, as many as it allows.
    let most = getrlimit(Resource::Nofile).maximum.unwrap_or(20_000);
    setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: Some(most) }).unwrap();
    let count = usize::try_from(most.saturating_sub(1_000).min(10_000)).unwrap();
    let mut stage = Stage::start(|_| {}).await;
    let mut idle = Vec::with_capacity(count);
    while idle.len() < count {
        let mut stream = TcpStream::connect(stage.address).await.expect("it is accepted");
        // Half of them have begun to say something.
        if idle.len() % 2 == 0 {
            stream.write_all(b"POST /webhook HTTP/1.1\r\nhost:").await.ok();
        }
        idle.push(stream);
    }
    stage.one_job(1).await;
    let open = std::fs::read_dir(format!("/proc/{}/fd", stage.pid()));
    // Only root may look into a process that is sealed.
    if let Ok(open) = open {
        assert!(open.count() < 1_024 + 64);
    }
    assert!(peak_mib(stage.pid()) < 256, "{} MiB", peak_mib(stage.pid()));
    drop(idle);
    stage.end().await;
}

#[tokio::test]
async fn slow_large_bodies_do_not_keep_a_delivery_out_and_memory_is_bounded() {
    let mut stage = Stage::start(|_| {}).await;
    let piece = vec![b' '; 1024 * 1024];
    let mut slow = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(stage.address).await.expect("it is accepted");
        stream.write_all(head(25 << 20, "00").as_bytes()).await.expect("it is read");
        for _ in 0..20 {
            // The front may have given it up by now.
            if stream.write_all(&piece).await.is_err() {
                break;
            }
        }
        slow.push(Delivering(stream));
    }
    stage.one_job(1).await;
    let page = stage.page("/metrics").await;
    assert!(page.contains("received=9"), "{page}");
    assert!(peak_mib(stage.pid()) < 384, "{} MiB", peak_mib(stage.pid()));
    stage.end().await;
}

#[tokio::test]
async fn a_flood_of_unsigned_deliveries_reaches_no_desk_and_a_real_one_does() {
    let mut stage = Stage::start(|_| {}).await;
    let (_, body) = delivery(9);
    for _ in 0..20 {
        let forged = (0..50).map(async |_| {
            let mut stream = TcpStream::connect(stage.address).await.expect("it is accepted");
            stream.write_all(head(body.len(), &"0".repeat(64)).as_bytes()).await.ok();
            stream.write_all(&body).await.ok();
            Delivering(stream).answer().await
        });
        let answers = futures_util::future::join_all(forged).await;
        assert!(answers.iter().all(|answer| answer.starts_with("HTTP/1.1 401")));
    }
    stage.one_job(1).await;
    assert!(stage.facts.try_recv().is_err());
    assert!(peak_mib(stage.pid()) < 256);
    stage.end().await;
}

/// The most memory that it ever had.
fn peak_mib(pid: i32) -> u64 {
    let peak = status(pid, "VmHWM");
    let kib: u64 = peak.trim_end_matches(" kB").parse().expect("it is a number");
    kib / 1024
}
