//! Scale sets as the fake GitHub has them: which jobs come to one, and that only its runners get those.

use crate::room::{ONE, Room, value};
use flint_sim::github::Config;
use reqwest::{Method, Response};
use serde_json::{Value, json};

const SERVICE: &str = "/actions-service/_apis/runtime";

/// A caller of the service with a set and its session.
struct Owner<'a> {
    room: &'a Room,
    token: String,
    set: u64,
    queue: String,
    queue_token: String,
}

async fn sent(request: reqwest::RequestBuilder) -> Response {
    request.send().await.expect("it answers")
}

impl<'a> Owner<'a> {
    async fn new(room: &'a Room) -> Self {
        let path = "/orgs/flint-demo/actions/runners/registration-token";
        let made = value(sent(room.call(Method::POST, path)).await).await;
        let body = json!({ "url": format!("{}/flint-demo", room.github.url()), "runner_event": "register" });
        let proof = format!("RemoteAuth {}", made["token"].as_str().expect("there is a token"));
        let connect =
            room.http().post(format!("{}/actions/runner-registration", room.github.url()));
        let made = value(sent(connect.header("authorization", proof).json(&body)).await).await;
        let token = made["token"].as_str().expect("there is a token").to_owned();
        let (queue, queue_token) = (String::new(), String::new());
        let mut owner = Owner { room, token, set: 0, queue, queue_token };
        let labels = labels(&["flint", "linux", "big"]);
        let body = json!({ "name": "flint", "runnerGroupId": 1, "labels": labels });
        let made = value(owner.call(Method::POST, "/runnerscalesets", &body).await).await;
        owner.set = made["id"].as_u64().expect("it has a number");
        let path = format!("/runnerscalesets/{}/sessions", owner.set);
        let open =
            value(owner.call(Method::POST, &path, &json!({ "ownerName": "test" })).await).await;
        owner.queue = open["messageQueueUrl"].as_str().expect("it has a queue").to_owned();
        owner.queue_token =
            open["messageQueueAccessToken"].as_str().expect("it has one").to_owned();
        owner
    }

    async fn call(&self, method: Method, path: &str, body: &Value) -> Response {
        let url = format!("{}{SERVICE}{path}", self.room.github.url());
        sent(self.room.http().request(method, url).bearer_auth(&self.token).json(body)).await
    }

    /// The number of the next message, and the types and jobs in it.
    async fn poll(&self, last: u64, capacity: u32) -> Option<(u64, Vec<(String, u64)>)> {
        let url = format!("{}&lastMessageId={last}", self.queue);
        let call = self.room.http().get(url).bearer_auth(&self.queue_token);
        let answer = sent(call.header("x-scalesetmaxcapacity", capacity)).await;
        if answer.status() == 202 {
            return None;
        }
        let message = value(answer).await;
        let parts: Vec<Value> = serde_json::from_str(message["body"].as_str()?).ok()?;
        let job = |part: &Value| u64::from_str_radix(part["jobId"].as_str()?.get(24..)?, 16).ok();
        let of = |part: &Value| Some((part["messageType"].as_str()?.to_owned(), job(part)?));
        Some((message["messageId"].as_u64()?, parts.iter().filter_map(of).collect()))
    }
}

fn labels(names: &[&str]) -> Value {
    names.iter().map(|name| json!({ "name": name, "type": "System" })).collect()
}

fn told(kind: &str, job: u64) -> (String, u64) {
    (kind.to_owned(), job)
}

#[tokio::test]
async fn a_set_gets_jobs_that_ask_for_its_labels_up_to_its_capacity() {
    let room = Room::new().await;
    let owner = Owner::new(&room).await;
    assert_eq!(owner.poll(0, 2).await, None);
    let queue = |labels: &str| {
        let yaml = format!("jobs: {{a: {{runs-on: {labels}, steps: []}}}}");
        room.github.queue(&yaml).expect("it is a workflow")[0]
    };
    let (named, other, labelled) = (queue("Flint"), queue("[linux, gpu]"), queue("[big, linux]"));
    let third = queue("linux");
    let first = owner.poll(0, 2).await.expect("there is a message");
    let wanted = vec![told("JobAssigned", named), told("JobAssigned", labelled)];
    assert_eq!(first, (1, wanted));
    assert_eq!(owner.poll(0, 2).await, Some(first), "it is not acknowledged");
    assert_eq!(owner.poll(1, 2).await, None);
    assert_eq!(owner.poll(1, 3).await, Some((2, vec![told("JobAssigned", third)])));
    assert!(room.github.cancel(named) && room.github.cancel(other));
    assert_eq!(owner.poll(2, 3).await, Some((3, vec![told("JobCompleted", named)])));

    // Its name is asked for in vain where it is no label.
    let path = format!("/runnerscalesets/{}", owner.set);
    owner.call(Method::PATCH, &path, &json!({ "labels": labels(&["linux", "big"]) })).await;
    queue("flint");
    assert_eq!(owner.poll(3, 9).await, None);
}

#[tokio::test]
async fn a_job_of_a_set_comes_to_its_runners_and_no_others_and_they_get_nothing_else() {
    let room = Room::new().await;
    let owner = Owner::new(&room).await;
    let job = room.queue();
    let path = format!("/runnerscalesets/{}/generatejitconfig", owner.set);
    let body = json!({ "name": "r", "workFolder": "_work" });
    let mut made = value(owner.call(Method::POST, &path, &body).await).await;
    assert_eq!(made["runner"]["runnerScaleSetId"].as_u64(), Some(owner.set));
    made["encoded_jit_config"] = made["encodedJITConfig"].take();
    let listener = room.connect(&made).await;
    assert_eq!(listener.poll().await, (202, None), "it is not the set's yet");
    assert_eq!(owner.poll(0, 1).await, Some((1, vec![told("JobAssigned", job)])));
    let outsider = room.listener("outsider", &["linux"]).await;
    assert_eq!(outsider.poll().await, (202, None));
    assert_eq!(listener.poll().await, (200, Some(job)));
    assert_eq!(listener.acquire(job).await, 200);
    assert_eq!(owner.poll(1, 1).await, Some((2, vec![told("JobStarted", job)])));
    assert_eq!(listener.complete(job).await, 204);
    assert_eq!(owner.poll(2, 1).await, Some((3, vec![told("JobCompleted", job)])));
    let refused = owner.call(Method::POST, &path, &json!({ "name": "a b" })).await;
    assert_eq!(refused.status(), 400);
}

#[tokio::test]
async fn a_set_of_a_server_claims_what_it_is_offered_once() {
    let room = Room::with(|config: &mut Config| config.offers = true).await;
    let owner = Owner::new(&room).await;
    let job = room.github.queue(ONE).expect("it is a workflow")[0];
    assert_eq!(owner.poll(0, 1).await, Some((1, vec![told("JobAvailable", job)])));
    let url = format!("{}{SERVICE}/runnerscalesets/{}/acquirejobs", room.github.url(), owner.set);
    let claim = async || {
        let call = room.http().post(&url).bearer_auth(&owner.queue_token);
        value(sent(call.json(&json!([job, 7]))).await).await
    };
    assert_eq!(claim().await, json!({ "count": 1, "value": [job] }));
    assert_eq!(claim().await, json!({ "count": 0, "value": [] }));
    assert_eq!(owner.poll(1, 1).await, Some((2, vec![told("JobAssigned", job)])));
}
