//! The list of webhook attempts, what it is honest about, and its vices.

use crate::room::{Answer, Room, next, value};
use flint_sim::github::{FaultKind, Planted};
use reqwest::Method;
use serde_json::Value;
use std::time::Duration;

const LIST: &str = "/app/hook/deliveries";

fn ids(list: &Value) -> Vec<u64> {
    let ids = list.as_array().expect("it is a list").iter();
    ids.map(|one| one["id"].as_u64().expect("it has a number")).collect()
}

#[tokio::test]
async fn attempts_are_listed_newest_first_and_a_cursor_leads_on() {
    let room = Room::new().await;
    let jobs = [room.queue(), room.queue(), room.queue()];
    room.until_delivered(3).await;
    let first = room.as_app(Method::GET, "/app/hook/deliveries?per_page=2").send().await;
    let first = first.expect("it answers");
    let path = next(&first, room.github.url()).expect("there is more");
    let first = value(first).await;
    let rest = room.as_app(Method::GET, &path).send().await.expect("it answers");
    assert_eq!(next(&rest, room.github.url()), None);
    let all = [ids(&first), ids(&value(rest).await)].concat();
    assert!(all.is_sorted_by(|a, b| a > b), "{all:?}");
    assert_eq!(all.len(), 3);
    let newest = &first[0];
    assert_eq!(
        (&newest["event"], &newest["action"], &newest["status"], &newest["status_code"]),
        (&"workflow_job".into(), &"queued".into(), &"OK".into(), &202.into())
    );
    assert_eq!(newest["installation_id"], 60_606_060);
    assert_eq!(newest["repository_id"], 800_000_001);
    let one = room.told(&format!("{LIST}/{}", all[0])).await;
    assert_eq!(one["request"]["payload"]["workflow_job"]["id"], jobs[2]);
    assert_eq!(one["request"]["headers"]["x-github-delivery"], one["guid"]);
    assert!(one["response"]["headers"].is_object());
    assert_eq!(
        room.as_app(Method::GET, "/app/hook/deliveries/1")
            .send()
            .await
            .expect("it answers")
            .status(),
        404
    );
    assert_eq!(room.get(LIST).await.status(), 401, "an installation's token is no proof");
}

#[tokio::test]
async fn a_delivery_that_failed_is_listed_as_that_and_not_tried_again_before_somebody_asks() {
    let room = Room::new().await;
    for (status, attempts) in [(500, 1), (404, 2), (202, 3)] {
        room.receiver_answers(Answer::Status(status));
        room.queue();
        room.until_delivered(attempts).await;
    }
    let failed = room.told("/app/hook/deliveries?status=failure").await;
    let told = |n: usize| (failed[n]["status"].clone(), failed[n]["status_code"].clone());
    assert_eq!(told(0), ("Invalid HTTP Response: 404".into(), 404.into()));
    assert_eq!(told(1), ("Invalid HTTP Response: 500".into(), 500.into()));
    assert_eq!(ids(&failed).len(), 2);
    assert_eq!(ids(&room.told("/app/hook/deliveries?status=success").await).len(), 1);
    let odd = room.as_app(Method::GET, "/app/hook/deliveries?status=odd").send().await;
    assert_eq!(odd.expect("it answers").status(), 422);

    let again = format!("{LIST}/{}/attempts", ids(&failed)[1]);
    let asked = room.as_app(Method::POST, &again).send().await.expect("it answers");
    assert_eq!(asked.status(), 202);
    room.until_delivered(4).await;
    let seen = room.seen();
    assert_eq!(seen.len(), 4, "nothing was tried again by itself");
    assert_eq!(seen[3], seen[0], "the same delivery with the same GUID");
    let newest = &room.told(LIST).await[0];
    assert_eq!((&newest["redelivery"], &newest["status_code"]), (&true.into(), &202.into()));
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_fails_when_its_time_is_over() {
    let room = Room::with(|config| config.answer_wait = Duration::from_millis(50)).await;
    room.receiver_answers(Answer::Never);
    room.queue();
    room.until_delivered(1).await;
    let only = &room.told(LIST).await[0];
    assert_eq!((&only["status"], &only["status_code"]), (&"timed out".into(), &0.into()));
}

#[tokio::test]
async fn a_receiver_that_is_not_there_fails_without_a_status() {
    let room = Room::with(|config| {
        let webhook = config.webhook.as_mut().expect("the room has one");
        // Nothing listens on this one: the first ports belong to services that a test's machine does not run.
        webhook.url = "http://127.0.0.1:1/".to_owned();
    })
    .await;
    room.queue();
    room.until_delivered(1).await;
    let only = &room.told(LIST).await[0];
    assert_eq!(
        (&only["status"], &only["status_code"]),
        (&"failed to connect to host".into(), &0.into())
    );
}

#[tokio::test]
async fn after_three_days_a_delivery_is_gone() {
    let room = Room::new().await;
    room.queue();
    room.until_delivered(1).await;
    let id = ids(&room.told(LIST).await)[0];
    let days = Duration::from_secs(3 * 24 * 3600);
    room.github.advance(days.saturating_sub(Duration::from_secs(1)));
    assert_eq!(ids(&room.told(LIST).await), [id]);
    room.github.advance(Duration::from_secs(1));
    assert!(ids(&room.told(LIST).await).is_empty());
    let one = room.as_app(Method::GET, &format!("{LIST}/{id}")).send().await;
    assert_eq!(one.expect("it answers").status(), 404);
}

#[tokio::test]
async fn planted_deliveries_have_their_vices() {
    let room = Room::new().await;
    let job = room.queue();
    room.until_delivered(1).await;
    let plant = |what| room.github.plant(what, job).expect("there is such a job");
    let one = async |id: u64| room.told(&format!("{LIST}/{id}")).await;

    let plain = one(plant(Planted::Plain)).await;
    assert_eq!(plain["request"]["payload"]["workflow_job"]["id"], job);
    assert_eq!((&plain["status_code"], &plain["action"]), (&0.into(), &"queued".into()));
    let other = one(plant(Planted::OtherInstallation)).await;
    assert_ne!(other["installation_id"], plain["installation_id"]);
    assert_eq!(other["request"]["payload"]["installation"]["id"], other["installation_id"]);
    assert_eq!(other["request"]["payload"]["repository"]["full_name"], "someone-else/stolen");
    let app = one(plant(Planted::OtherApp)).await;
    let target = "x-github-hook-installation-target-id";
    assert_ne!(app["request"]["headers"][target], plain["request"]["headers"][target]);
    let future = one(plant(Planted::Future)).await;
    let at = |one: &Value| one["delivered_at"].as_str().expect("it is text").to_owned();
    assert!(at(&future) > at(&plain));
    let text = one(plant(Planted::NotJson)).await;
    assert_eq!(text["request"]["payload"], "payload=%7B%22action%22");
    let vanished = plant(Planted::Vanished);
    assert!(ids(&room.told("/app/hook/deliveries?status=failure").await).contains(&vanished));
    let gone = room.as_app(Method::GET, &format!("{LIST}/{vanished}")).send().await;
    assert_eq!(gone.expect("it answers").status(), 404);
    assert!(room.github.plant(Planted::Plain, 1).is_err());
    assert_eq!(room.seen().len(), 1, "none of them was sent");
}

/// Follows a list for some pages. Gives the pages' paths.
async fn follow(room: &Room, pages: usize) -> Vec<String> {
    let mut paths = vec![format!("{LIST}?per_page=2")];
    for _ in 0..pages {
        let path = paths.last().expect("there is one").clone();
        let page = room.as_app(Method::GET, &path).send().await.expect("it answers");
        let Some(next) = next(&page, room.github.url()) else {
            break;
        };
        assert!(!ids(&value(page).await).is_empty());
        paths.push(next);
    }
    paths
}

#[tokio::test]
async fn an_endless_list_never_gives_a_cursor_twice_and_another_gives_always_the_same() {
    let room = Room::new().await;
    for _ in 0..3 {
        room.queue();
    }
    room.until_delivered(3).await;
    assert_eq!(follow(&room, 20).await.len(), 2, "an honest list ends");
    room.github.fault("deliveries", 20, FaultKind::Endless);
    let mut endless = follow(&room, 20).await;
    endless.sort_unstable();
    endless.dedup();
    assert_eq!(endless.len(), 21);
    room.github.fault("deliveries", 20, FaultKind::SameCursor);
    let same = follow(&room, 20).await;
    assert_eq!(same.len(), 21);
    assert!(same.iter().skip(1).all(|path| *path == same[1]), "{same:?}");
}
