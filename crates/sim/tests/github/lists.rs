//! Runs, jobs, repositories and runner groups, as GitHub lists them.

use crate::room::{ONE, Room, next, value};
use reqwest::Method;
use serde_json::Value;
use std::time::Duration;

const RUNS: &str = "/repos/flint-demo/widgets/actions/runs";

fn column(list: &Value, key: &str) -> Vec<Value> {
    list.as_array().expect("it is a list").iter().map(|row| row[key].clone()).collect()
}

/// The ids of the runs of this status, the newest first.
async fn runs(room: &Room, status: &str) -> Vec<Value> {
    let list = room.read(&format!("{RUNS}?status={status}")).await;
    let ids = column(&list["workflow_runs"], "id");
    assert_eq!(list["total_count"], ids.len());
    ids
}

#[tokio::test]
async fn a_run_is_listed_by_its_status_and_its_jobs_by_their_attempt() {
    let room = Room::new().await;
    let two = "name: CI\njobs:\n  a: {runs-on: linux, steps: []}\n  b: {name: B, runs-on: [linux, big], steps: []}\n";
    let jobs = room.github.queue(two).expect("it is a workflow");
    let run = room.github.job(jobs[0]).expect("it is there").run;
    assert_eq!(runs(&room, "queued").await, [run]);
    let listener = room.listener("r", &["linux"]).await;
    assert_eq!(listener.poll().await, (200, Some(jobs[0])));
    assert_eq!(runs(&room, "queued").await, [run], "an offer is no start");
    assert_eq!(listener.acquire(jobs[0]).await, 200);
    assert_eq!(runs(&room, "queued").await, [] as [u64; 0]);
    assert_eq!(runs(&room, "in_progress").await, [run], "though one of its jobs is queued");

    let list = room.read(&format!("{RUNS}/{run}/attempts/1/jobs")).await;
    assert_eq!(list["total_count"], 2);
    let (a, b) = (&list["jobs"][0], &list["jobs"][1]);
    assert_eq!(
        (&a["status"], &a["runner_name"], &a["runner_group_name"]),
        (&"in_progress".into(), &"r".into(), &"Default".into())
    );
    assert_eq!(
        (&b["status"], &b["name"], &b["workflow_name"]),
        (&"queued".into(), &"B".into(), &"CI".into())
    );
    assert_eq!(b["labels"], serde_json::json!(["linux", "big"]));
    assert_eq!(
        (&b["runner_id"], &b["run_id"], &b["run_attempt"]),
        (&Value::Null, &run.into(), &1.into())
    );
    assert_eq!(room.read(&format!("/repos/flint-demo/widgets/actions/jobs/{}", jobs[1])).await, *b);

    assert_eq!(listener.complete(jobs[0]).await, 204);
    assert!(room.github.cancel(jobs[1]));
    assert_eq!(runs(&room, "completed").await, [run]);
    assert_eq!(runs(&room, "cancelled").await, [run]);
    let again = room.github.rerun(run).expect("it has ended");
    assert!(again.iter().all(|job| !jobs.contains(job)), "a new attempt has new ids");
    assert_eq!(runs(&room, "queued").await, [run]);
    let list = room.read(&format!("{RUNS}/{run}/attempts/2/jobs")).await;
    assert_eq!(column(&list["jobs"], "id"), again);
    assert_eq!(column(&list["jobs"], "run_attempt"), [2, 2]);
    assert!(room.github.rerun(run).is_err(), "it runs");
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let room = Room::new().await;
    room.github.add_repository("gadgets");
    let job = room.queue();
    let run = room.github.job(job).expect("it is there").run;
    for path in [
        "/repos/flint-demo/nowhere/actions/runs".to_owned(),
        "/repos/someone-else/widgets/actions/runs".to_owned(),
        format!("{RUNS}/1/attempts/1/jobs"),
        format!("{RUNS}/{run}/attempts/2/jobs"),
        format!("{RUNS}/{run}/attempts/0/jobs"),
        format!("/repos/flint-demo/gadgets/actions/runs/{run}/attempts/1/jobs"),
        format!("/repos/flint-demo/gadgets/actions/jobs/{job}"),
        "/repos/flint-demo/widgets/actions/jobs/1".to_owned(),
        "/orgs/someone-else/repos".to_owned(),
        "/orgs/flint-demo/actions/runner-groups?visible_to_repository=nowhere".to_owned(),
    ] {
        assert_eq!(room.get(&path).await.status(), 404, "{path}");
    }
    assert_eq!(room.get(&format!("{RUNS}?status=odd")).await.status(), 422);
    assert!(room.github.queue_in("nowhere", ONE).is_err());
    assert!(room.github.delete_run(run));
    assert_eq!(
        room.get(&format!("/repos/flint-demo/widgets/actions/jobs/{job}")).await.status(),
        404
    );
    assert!(runs(&room, "queued").await.is_empty());
    let app = room.as_app(Method::GET, RUNS).send().await.expect("it answers");
    assert_eq!(app.status(), 401, "the App's proof is no token");
}

#[tokio::test]
async fn a_job_that_is_held_back_waits_until_it_is_let_go() {
    let room = Room::new().await;
    let job = room.queue();
    let run = room.github.job(job).expect("it is there").run;
    assert!(room.github.hold(job));
    let listener = room.listener("r", &["linux"]).await;
    assert_eq!(listener.poll().await, (202, None));
    assert_eq!(runs(&room, "waiting").await, [run]);
    assert_eq!(
        room.read(&format!("/repos/flint-demo/widgets/actions/jobs/{job}")).await["status"],
        "waiting"
    );
    assert!(room.github.release(job) && !room.github.release(job));
    assert_eq!(listener.poll().await, (200, Some(job)));
    room.until_delivered(3).await;
    let actions: Vec<String> = room.seen().into_iter().map(|seen| seen.action).collect();
    assert_eq!(actions, ["queued", "waiting", "queued"]);
}

#[tokio::test]
async fn a_search_of_runs_stops_at_a_thousand() {
    let room = Room::with(|config| config.webhook = None).await;
    for _ in 0..1005 {
        room.queue();
    }
    let page =
        async |n: u32| room.read(&format!("{RUNS}?status=queued&per_page=100&page={n}")).await;
    let tenth = page(10).await;
    assert_eq!(
        (column(&tenth["workflow_runs"], "id").len(), &tenth["total_count"]),
        (100, &1005.into())
    );
    assert!(column(&page(11).await["workflow_runs"], "id").is_empty());
    let last = room.get(&format!("{RUNS}?status=queued&per_page=100&page=10")).await;
    assert_eq!(next(&last, room.github.url()), None);
    let all = room.read(&format!("{RUNS}?per_page=100&page=11")).await;
    assert_eq!(
        column(&all["workflow_runs"], "id").len(),
        5,
        "a list that searches nothing goes on"
    );
}

#[tokio::test]
async fn a_thousand_jobs_of_one_run_are_paged_to_their_end() {
    let room = Room::with(|config| config.webhook = None).await;
    let jobs: String =
        (0..1000).map(|n| format!("  j{n}: {{runs-on: linux, steps: []}}\n")).collect();
    let jobs = room.github.queue(&format!("jobs:\n{jobs}")).expect("it is a workflow");
    let run = room.github.job(jobs[0]).expect("it is there").run;
    let mut path = Some(format!("{RUNS}/{run}/attempts/1/jobs?per_page=100"));
    let mut found = Vec::new();
    while let Some(this) = path {
        let page = room.get(&this).await;
        path = next(&page, room.github.url());
        found.extend(column(&value(page).await["jobs"], "id"));
    }
    assert_eq!(found, jobs);
    assert_eq!(room.github.tally().queued, 1000);
    assert_eq!(room.github.counters().calls("list-jobs"), 10);
}

#[tokio::test]
async fn the_repository_that_was_pushed_to_last_comes_first() {
    let room = Room::new().await;
    for name in ["gadgets", "gizmos"] {
        room.github.advance(Duration::from_secs(1));
        room.github.add_repository(name);
    }
    room.github.advance(Duration::from_secs(1));
    room.github.queue_in("Gadgets", ONE).expect("case does not matter");
    let path = "/orgs/flint-demo/repos?sort=pushed&direction=desc&per_page=2";
    let page = room.get(path).await;
    let more = next(&page, room.github.url()).expect("there is a third");
    let page = value(page).await;
    assert_eq!(column(&page, "full_name"), ["flint-demo/gadgets", "flint-demo/gizmos"]);
    assert_ne!(page[0]["pushed_at"], page[1]["pushed_at"]);
    assert_eq!(column(&room.read(&more).await, "full_name"), ["flint-demo/widgets"]);
    room.until_delivered(1).await;
    assert_eq!(room.github.deliveries()[0].repository_id, page[0]["id"].as_u64());
}

#[tokio::test]
async fn every_list_is_known_by_its_tag() {
    let room = Room::new().await;
    let run = room.github.job(room.queue()).expect("it is there").run;
    for path in [
        RUNS.to_owned(),
        format!("{RUNS}/{run}/attempts/1/jobs"),
        "/orgs/flint-demo/repos".to_owned(),
        "/orgs/flint-demo/actions/runner-groups".to_owned(),
    ] {
        let tag = room.get(&path).await.headers()["etag"].clone();
        let call = room.call(Method::GET, &path).header("if-none-match", tag);
        assert_eq!(call.send().await.expect("it answers").status(), 304, "{path}");
    }
}
