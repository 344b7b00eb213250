//! Each of GitHub's limits: what it takes, how it refuses, when it takes calls again, and what is counted.

use crate::room::{Room, header};
use flint_sim::github::{FaultKind, Limit, Limits};
use reqwest::{Method, Response};
use std::time::Duration;

const RUNNERS: &str = "/orgs/flint-demo/actions/runners";
const MINUTE: Duration = Duration::from_secs(60);

async fn limited(limits: Limits) -> Room {
    Room::with(|config| config.limits = limits).await
}

fn told(response: &Response) -> (u16, Option<u64>) {
    (response.status().as_u16(), header(response, "retry-after"))
}

#[tokio::test]
async fn the_hours_calls_are_counted_down_and_the_app_has_its_own() {
    let mut room = limited(Limits { installation_per_hour: 3, ..Limits::default() }).await;
    for left in [2, 1, 0] {
        let answer = room.get(RUNNERS).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(header(&answer, "x-ratelimit-limit"), Some(3));
        assert_eq!(header(&answer, "x-ratelimit-remaining"), Some(left));
        assert_eq!(header(&answer, "x-ratelimit-used"), Some(3 - left));
        assert_eq!(answer.headers()["x-ratelimit-resource"], "core");
    }
    let refused = room.get(RUNNERS).await;
    assert_eq!(told(&refused), (403, None), "the primary limit names its time in another header");
    assert_eq!(header(&refused, "x-ratelimit-remaining"), Some(0));
    let reset = header(&refused, "x-ratelimit-reset").expect("it says when");
    let app = room.as_app(Method::GET, "/app/hook/deliveries").send().await.expect("it answers");
    assert_eq!(app.status(), 200, "the App's calls are counted apart");
    assert_eq!(header(&app, "x-ratelimit-remaining"), Some(4998), "the token was one");

    room.github.advance(Duration::from_millis(reset * 1000 - room.clock.now()));
    room.renew().await;
    let again = room.get(RUNNERS).await;
    assert_eq!((again.status().as_u16(), header(&again, "x-ratelimit-remaining")), (200, Some(2)));
    let counters = room.github.counters();
    assert_eq!(counters.refused(Limit::Primary), 1);
    assert_eq!((counters.calls("list-runners"), counters.calls("access-tokens")), (5, 2));
    assert_eq!(counters.while_waiting, 0);
}

#[tokio::test]
async fn an_answer_that_is_known_already_is_free() {
    let room = limited(Limits { installation_per_hour: 3, ..Limits::default() }).await;
    let first = room.get(RUNNERS).await;
    let tag = first.headers()["etag"].clone();
    for _ in 0..5 {
        let call = room.call(Method::GET, RUNNERS).header("if-none-match", &tag);
        let known = call.send().await.expect("it answers");
        assert_eq!(
            (known.status().as_u16(), header(&known, "x-ratelimit-remaining")),
            (304, Some(2))
        );
        assert!(known.text().await.expect("it is whole").is_empty());
    }
    let made = room.register("new", &["linux"], 1).send().await.expect("it answers");
    assert_eq!(made.status(), 201);
    let call = room.call(Method::GET, RUNNERS).header("if-none-match", &tag);
    let changed = call.send().await.expect("it answers");
    assert_eq!(
        (changed.status().as_u16(), header(&changed, "x-ratelimit-remaining")),
        (200, Some(0))
    );
    assert_ne!(changed.headers()["etag"], tag);
    assert_eq!(room.github.counters().not_modified, 5);
}

#[tokio::test]
async fn a_reading_call_is_one_point_and_a_writing_one_five() {
    let room = limited(Limits { points_per_minute: 10, ..Limits::default() }).await;
    for _ in 0..5 {
        assert_eq!(room.get(RUNNERS).await.status(), 200);
    }
    let gone = async || {
        room.call(Method::DELETE, &format!("{RUNNERS}/1")).send().await.expect("it answers")
    };
    assert_eq!(gone().await.status(), 404, "the tenth point");
    assert_eq!(told(&room.get(RUNNERS).await), (403, Some(60)));
    room.github.advance(MINUTE.saturating_sub(Duration::from_secs(13)));
    assert_eq!(told(&room.get(RUNNERS).await), (403, Some(13)), "calling on makes it no shorter");
    room.github.advance(Duration::from_secs(13));
    assert_eq!(room.get(RUNNERS).await.status(), 200);
    let counters = room.github.counters();
    assert_eq!((counters.refused(Limit::Points), counters.while_waiting), (2, 1));
    assert_eq!(counters.most_points, 10);
}

#[tokio::test]
async fn eighty_registrations_a_minute_are_taken_and_no_more() {
    let room = Room::new().await;
    let register = async |n: u32| {
        room.register(&format!("r-{n}"), &["linux"], 1).send().await.expect("it answers")
    };
    for n in 0..80 {
        assert_eq!(register(n).await.status(), 201);
    }
    assert_eq!(told(&register(80).await), (403, Some(60)));
    room.github.advance(MINUTE);
    assert_eq!(register(80).await.status(), 201);
    let counters = room.github.counters();
    assert_eq!((counters.refused(Limit::Content), counters.most_content), (1, 80));
    assert_eq!(room.github.runners().len(), 81);
}

#[tokio::test]
async fn registrations_can_be_limited_by_the_hour_too() {
    let room = limited(Limits { content_per_hour: 2, ..Limits::default() }).await;
    let register = async |n: u32| {
        let answer = room.register(&format!("r-{n}"), &["linux"], 1).send().await;
        answer.expect("it answers").status().as_u16()
    };
    assert_eq!([register(1).await, register(2).await], [201, 201]);
    room.github.advance(MINUTE);
    assert_eq!(register(3).await, 403);
    room.github.advance(MINUTE * 58);
    assert_eq!(register(3).await, 403);
}

#[tokio::test]
async fn too_many_calls_at_once_are_refused_with_429_where_that_is_wanted() {
    let room =
        limited(Limits { concurrent: 2, status: 429, retry_after: None, ..Limits::default() })
            .await;
    room.github.fault("list-runners", 2, FaultKind::Late { after_ms: 5000 });
    let waiting: Vec<_> =
        (0..2).map(|_| tokio::spawn(room.call(Method::GET, RUNNERS).send())).collect();
    room.github.until(|github| github.counters().most_concurrent == 2).await;
    let third = room.get(RUNNERS).await;
    assert_eq!(told(&third), (429, None));
    room.github.advance(Duration::from_secs(5));
    for call in waiting {
        let answer = call.await.expect("it does not panic").expect("it answers");
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(told(&room.get(RUNNERS).await), (429, None), "who was told nothing waits a minute");
    room.github.advance(MINUTE);
    assert_eq!(room.get(RUNNERS).await.status(), 200);
    assert_eq!(room.github.counters().refused(Limit::Concurrent), 2);
}

#[tokio::test]
async fn who_calls_on_after_being_told_to_wait_is_counted() {
    let room = Room::new().await;
    room.github.fault("list-runners", 1, FaultKind::limited(Some(30)));
    assert_eq!(told(&room.get(RUNNERS).await), (429, Some(30)));
    assert_eq!(
        room.get(RUNNERS).await.status(),
        200,
        "this limit was made up, so nothing enforces it"
    );
    assert_eq!(room.github.counters().while_waiting, 0, "that one was on its way");
    room.github.advance(Duration::from_secs(29));
    room.get(RUNNERS).await;
    assert_eq!(room.github.counters().while_waiting, 1);
    room.github.advance(Duration::from_secs(1));
    room.get(RUNNERS).await;
    assert_eq!(room.github.counters().while_waiting, 1);
    room.github.fault("list-runners", 1, FaultKind::limited(None));
    assert_eq!(told(&room.get(RUNNERS).await), (429, None));
    room.github.advance(Duration::from_secs(59));
    room.get(RUNNERS).await;
    assert_eq!(room.github.counters().while_waiting, 2);
}

#[tokio::test]
async fn every_answer_says_what_is_left() {
    let room = Room::new().await;
    room.github.fault("list-runs", 1, FaultKind::status(500, "broken"));
    room.github.fault("get-job", 1, FaultKind::Garbage);
    for path in [
        "/repos/flint-demo/widgets/actions/runs",
        "/repos/flint-demo/widgets/actions/jobs/1",
        "/repos/flint-demo/nowhere/actions/runs",
        "/orgs/flint-demo/repos",
    ] {
        let answer = room.get(path).await;
        assert!(header(&answer, "x-ratelimit-remaining").is_some_and(|left| left < 5000), "{path}");
        assert!(header(&answer, "x-ratelimit-reset").is_some(), "{path}");
    }
    assert_eq!(room.github.counters().calls.values().sum::<u64>(), 5);
}
