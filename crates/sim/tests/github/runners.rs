//! Who gets which job: groups, repositories, age, time; and the registrations that the server takes away.

use crate::room::{ONE, Room, value};
use flint_sim::github::{Limits, Tally};
use serde_json::Value;
use std::time::Duration;

const GROUPS: &str = "/orgs/flint-demo/actions/runner-groups";

#[tokio::test]
async fn a_runner_group_admits_only_its_repositories() {
    let room = Room::new().await;
    room.github.add_repository("gadgets");
    let group = room.github.add_group("some", &["gadgets"]);
    let visible = async |name: &str| {
        let list = room.read(&format!("{GROUPS}?visible_to_repository={name}")).await;
        let groups = list["runner_groups"].as_array().expect("it is a list").clone();
        assert_eq!(list["total_count"], groups.len());
        groups.iter().filter_map(|group| group["id"].as_u64()).collect::<Vec<_>>()
    };
    assert_eq!(visible("gadgets").await, [1, group]);
    assert_eq!(visible("widgets").await, [1]);
    let all = room.read(GROUPS).await;
    assert_eq!(all["runner_groups"][1]["visibility"], "selected");

    let made = room.register("r", &["linux"], group).send().await.expect("it answers");
    let listener = room.connect(&value(made).await).await;
    let shut_out = room.queue();
    assert_eq!(listener.poll().await, (202, None), "with no error, as on GitHub");
    let admitted = room.github.queue_in("gadgets", ONE).expect("it is a workflow")[0];
    assert_eq!(listener.poll().await, (200, Some(admitted)));
    assert_eq!(listener.acquire(admitted).await, 200);
    let path = format!("/repos/flint-demo/gadgets/actions/jobs/{admitted}");
    assert_eq!(room.read(&path).await["runner_group_name"], "some");

    assert!(room.github.admit(group, None));
    let made = room.register("r2", &["linux"], group).send().await.expect("it answers");
    let listener = room.connect(&value(made).await).await;
    assert_eq!(listener.poll().await, (200, Some(shut_out)));
    assert!(!room.github.admit(99, None));
    let unknown = room.register("r3", &["linux"], 99).send().await.expect("it answers");
    assert_eq!(unknown.status(), 422);
}

#[tokio::test]
async fn the_oldest_job_that_fits_comes_first() {
    let room = Room::new().await;
    room.github.add_repository("gadgets");
    let big = "jobs: {a: {runs-on: [linux, big], steps: []}}";
    let too_big = room.github.queue(big).expect("it is a workflow")[0];
    let first = room.github.queue_in("gadgets", ONE).expect("it is a workflow")[0];
    let second = room.queue();
    for (name, job) in [("r1", first), ("r2", second)] {
        let listener = room.listener(name, &["Linux"]).await;
        assert_eq!(listener.poll().await, (200, Some(job)));
    }
    let listener = room.listener("r3", &["linux", "big", "more"]).await;
    assert_eq!(listener.poll().await, (200, Some(too_big)));
}

#[tokio::test]
async fn a_job_that_is_not_fetched_within_a_minute_goes_to_another_runner() {
    let room = Room::new().await;
    let job = room.queue();
    let slow = room.listener("slow", &["linux"]).await;
    assert_eq!(slow.poll().await, (200, Some(job)));
    let other = room.listener("other", &["linux"]).await;
    room.github.advance(Duration::from_secs(59));
    assert_eq!(other.poll().await, (202, None));
    room.github.advance(Duration::from_secs(1));
    assert_eq!(other.poll().await, (200, Some(job)));
    assert_eq!(slow.acquire(job).await, 404);
    assert_eq!(other.acquire(job).await, 200);
}

#[tokio::test]
async fn an_idle_registration_is_taken_away_and_its_listener_is_refused() {
    let room = Room::with(|config| config.idle = Some(Duration::from_secs(120))).await;
    let idle = room.listener("idle", &["linux"]).await;
    let busy = room.listener("busy", &["big"]).await;
    let big = "jobs: {a: {runs-on: big, steps: []}}";
    let job = room.github.queue(big).expect("it is a workflow")[0];
    assert_eq!(busy.poll().await, (200, Some(job)));
    assert_eq!(busy.acquire(job).await, 200);
    let made = room.register("never-there", &["linux"], 1).send().await.expect("it answers");
    assert_eq!(made.status(), 201);
    room.github.advance(Duration::from_secs(119));
    assert_eq!(idle.poll().await, (202, None));
    room.github.advance(Duration::from_secs(1));
    let left: Vec<String> = room.github.runners().into_iter().map(|runner| runner.name).collect();
    assert_eq!(left, ["busy", "never-there"]);
    assert_eq!(idle.poll().await.0, 404);
    let refused = room.authorize(&idle.assertion).await;
    assert_eq!(refused.status(), 400);
    assert_eq!(value(refused).await["error"], "invalid_client");
    assert_eq!(busy.complete(job).await, 204);
}

#[tokio::test]
async fn a_registration_can_be_taken_away_by_hand() {
    let room = Room::new().await;
    let listener = room.listener("r", &["linux"]).await;
    assert!(room.github.remove_runner("r") && !room.github.remove_runner("r"));
    assert_eq!(listener.poll().await.0, 404);
}

#[tokio::test]
async fn a_runner_of_a_repository_gets_only_its_jobs() {
    let room = Room::new().await;
    room.github.add_repository("gadgets");
    room.queue();
    let body = serde_json::json!({ "name": "r", "runner_group_id": 1, "labels": ["linux"] });
    let path = "/repos/flint-demo/gadgets/actions/runners/generate-jitconfig";
    let made = room.call(reqwest::Method::POST, path).json(&body).send().await.expect("it answers");
    let made: Value = value(made).await;
    let listener = room.connect(&made).await;
    assert_eq!(listener.poll().await, (202, None));
    let job = room.github.queue_in("gadgets", ONE).expect("it is a workflow")[0];
    assert_eq!(listener.poll().await, (200, Some(job)));
}

#[tokio::test]
async fn hundreds_of_jobs_run_and_every_webhook_of_theirs_arrives() {
    let room = Room::with(|config| config.limits = Limits::none()).await;
    let jobs: String =
        (0..200).map(|n| format!("  j{n}: {{runs-on: linux, steps: []}}\n")).collect();
    let jobs = room.github.queue(&format!("jobs:\n{jobs}")).expect("it is a workflow");
    for (n, job) in jobs.iter().enumerate() {
        let listener = room.listener(&format!("r-{n}"), &["linux"]).await;
        assert_eq!(listener.poll().await, (200, Some(*job)));
        assert_eq!(listener.acquire(*job).await, 200);
        assert_eq!(listener.complete(*job).await, 204);
    }
    let done = Tally { completed: 200, ..Tally::default() };
    assert_eq!(room.github.tally(), done);
    room.until_delivered(600).await;
    assert!(room.github.runners().is_empty());
}
