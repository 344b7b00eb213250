//! Calls that go wrong: each kind, where it leaves the server, and that chance repeats itself.

use crate::room::{Room, value};
use flint_sim::github::FaultKind;
use reqwest::Method;
use std::time::Duration;

const RUNNERS: &str = "/orgs/flint-demo/actions/runners";

#[tokio::test]
async fn a_refusal_carries_nothing_out_and_a_lost_answer_does() {
    let room = Room::new().await;
    for (status, runners) in [(409, 0), (422, 0), (500, 0), (503, 0)] {
        room.github.fault("generate-jitconfig", 1, FaultKind::status(status, "no luck"));
        let answer = room.register("one", &["linux"], 1).send().await.expect("it answers");
        assert_eq!(answer.status(), status);
        assert_eq!(value(answer).await["message"], "no luck");
        assert_eq!(room.github.runners().len(), runners);
    }
    room.github.fault("generate-jitconfig", 1, FaultKind::Lost { status: 502 });
    let answer = room.register("lost", &["linux"], 1).send().await.expect("it answers");
    assert_eq!(answer.status(), 502);
    assert_eq!(room.github.runners()[0].name, "lost");
    let again = room.register("lost", &["linux"], 1).send().await.expect("it answers");
    assert_eq!(again.status(), 409);
}

#[tokio::test]
async fn garbage_is_a_success_and_a_cut_answer_is_none() {
    let room = Room::new().await;
    room.github.fault("list-runners", 1, FaultKind::Garbage);
    let garbage = room.get(RUNNERS).await;
    assert_eq!(garbage.status(), 200);
    assert!(garbage.text().await.expect("it is whole").starts_with("<html>"));
    room.github.fault("list-runners", 1, FaultKind::Cut);
    let cut = room.call(Method::GET, RUNNERS).send().await;
    let whole = match cut {
        Ok(answer) => answer.text().await,
        Err(error) => Err(error),
    };
    assert!(whole.is_err(), "{whole:?}");
    assert_eq!(room.read(RUNNERS).await["total_count"], 0, "the next one is well again");
}

#[tokio::test]
async fn a_late_answer_comes_when_the_clock_says_so() {
    let room = Room::new().await;
    room.github.fault("rest", 1, FaultKind::Late { after_ms: 20_000 });
    let call = tokio::spawn(room.call(Method::GET, RUNNERS).send());
    room.github.until(|github| github.counters().calls("list-runners") == 1).await;
    room.github.advance(Duration::from_secs(19));
    assert!(!call.is_finished());
    room.github.advance(Duration::from_secs(1));
    let answer = call.await.expect("it does not panic").expect("it answers");
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn busy_is_said_of_runners_that_are_not_and_not_of_those_that_are() {
    let room = Room::new().await;
    let listener = room.listener("taken", &["linux"]).await;
    let idle = room.register("idle", &["linux"], 1).send().await.expect("it answers");
    let idle = value(idle).await["runner"]["id"].as_u64().expect("it has a number");
    room.queue();
    assert_eq!(listener.poll().await.0, 200);
    let busy = async || {
        let list = room.read(RUNNERS).await;
        let runners = list["runners"].as_array().expect("it is a list").clone();
        runners.iter().map(|runner| runner["busy"] == true).collect::<Vec<_>>()
    };
    assert_eq!(busy().await, [true, false]);
    for says in [true, false] {
        room.github.fault("list-runners", 1, FaultKind::Busy { says });
        room.github.fault("get-runner", 1, FaultKind::Busy { says });
        assert_eq!(busy().await, [says, says]);
        assert_eq!(room.read(&format!("{RUNNERS}/{idle}")).await["busy"], says);
    }
    assert_eq!(busy().await, [true, false], "it lies only as often as it was told to");
}

#[tokio::test]
async fn faults_by_chance_hit_the_same_calls_for_the_same_seed() {
    let hits = async |seed: u64| {
        let room = Room::with(|config| config.seed = seed).await;
        room.github.fault_rate("rest", 300, FaultKind::status(502, "bad gateway"));
        let mut hit = Vec::new();
        for _ in 0..100 {
            hit.push(room.get(RUNNERS).await.status() == 502);
        }
        room.github.no_faults();
        assert_eq!(room.get(RUNNERS).await.status(), 200);
        hit
    };
    let first = hits(3).await;
    assert_eq!(first, hits(3).await);
    assert_ne!(first, hits(4).await);
    let count = first.iter().filter(|hit| **hit).count();
    assert!((15..45).contains(&count), "three in ten: {count}");
}
