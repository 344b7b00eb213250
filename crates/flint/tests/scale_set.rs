//! The client of scale sets against a GitHub that has them: a whole life, and each thing that goes wrong.

use flint::forge::caller::Caller;
use flint::forge::scale_set::{
    Error, JobMessage, Message, MessageId, Next, Outcome, Polled, ScaleSets, Session, Unreadable,
    Wanted,
};
use flint::forge::{
    Credentials, Forge as _, GitHub, Options, Removal, RunnerGroup, Scope, Told, WebhookAuth,
};
use flint_core::ask::Question;
use flint_core::event::{ForgeEvent, RegisterFailure};
use flint_core::id::{ProfileId, RunnerName, VmId};
use flint_core::units::Timestamp;
use flint_sim::github::{Clock, Config, FakeGithub, FaultKind, generate_pem};
use flint_wire::Secret;
use serde_json::json;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpListener;

const OWNER: &str = "host-1";
const ONE: &str = "jobs: {a: {runs-on: linux-4cpu, steps: []}}";

fn pem() -> &'static str {
    static PEM: OnceLock<String> = OnceLock::new();
    PEM.get_or_init(|| generate_pem().expect("openssl is a test's requirement"))
}

fn app() -> Credentials {
    Credentials::App { id: "123456".to_owned(), private_key: Secret::new(pem().to_owned()) }
}

fn organization() -> Scope {
    Scope::Organization("flint-demo".to_owned())
}

fn options(url: &str, scope: Scope, credentials: Credentials) -> Options {
    Options {
        api_url: url.to_owned(),
        ca_certificates: None,
        scope,
        credentials,
        webhook: WebhookAuth::Refused,
        runner_group: RunnerGroup::Number(1),
    }
}

fn client_of(options: &Options) -> ScaleSets {
    let caller = Caller::new(options).expect("the options are good");
    ScaleSets::new(Arc::new(caller), options.scope.clone()).expect("a client can be made")
}

fn client(url: &str) -> ScaleSets {
    client_of(&options(url, organization(), app()))
}

/// The REST API's side of the same scope.
struct Lists {
    forge: GitHub,
    scope: Scope,
}

impl Lists {
    fn new(options: &Options) -> Self {
        let forge = GitHub::new(options, "k3x9q2").expect("the options are good");
        Lists { forge, scope: options.scope.clone() }
    }

    /// The microVMs that have a runner there.
    async fn runners(&self) -> Vec<VmId> {
        let question = Question::Runners { scope: self.scope.id() };
        let answer = self.forge.ask(question, Timestamp(7)).await.expect("it answers");
        match &answer.told[..] {
            [Told { event: ForgeEvent::Runners { registered, .. }, .. }] => {
                registered.iter().copied().collect()
            }
            told => panic!("one fact answers this question, not {told:?}"),
        }
    }

    async fn remove(&self, vm: u64) -> Removal {
        let gone = self.forge.deregister(VmId(vm), self.scope.id(), vec![name(vm)]);
        gone.await.expect("it answers")
    }
}

async fn github_with(change: impl FnOnce(&mut Config)) -> (FakeGithub, ScaleSets) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let mut config = Config::new(pem().to_owned());
    config.clock = Clock::manual();
    // A poll that finds nothing is answered at once.
    config.poll = Duration::ZERO;
    change(&mut config);
    let fake = FakeGithub::start(listener, config).await.expect("it starts");
    let sets = client(fake.url());
    (fake, sets)
}

async fn github() -> (FakeGithub, ScaleSets) {
    github_with(|_| {}).await
}

fn wanted() -> Wanted {
    let labels = ["linux-4cpu".to_owned(), "self-hosted".to_owned()].into();
    Wanted { name: "flint".to_owned(), group: RunnerGroup::Name("Default".to_owned()), labels }
}

fn name(vm: u64) -> RunnerName {
    let profile = ProfileId::new("default").expect("it is a name");
    RunnerName::of(VmId(vm), &profile, "k3x9q2", 1)
}

async fn taken(sets: &ScaleSets) -> Session {
    sets.take(&wanted(), OWNER).await.expect("nothing stands in the way")
}

async fn message(sets: &ScaleSets, session: &Session, last: Option<MessageId>) -> Message {
    match sets.poll(session, last, 2).await.expect("it answers") {
        Polled::Message(message) => message,
        other => panic!("there is a message: {other:?}"),
    }
}

async fn unreadable(sets: &ScaleSets, session: &Session) -> Unreadable {
    match sets.poll(session, None, 2).await.expect("it answers") {
        Polled::Unreadable(unreadable) => unreadable,
        other => panic!("it cannot be read: {other:?}"),
    }
}

fn assigned(message: &Message) -> u64 {
    message.statistics.expect("they are told").total_assigned_jobs
}

#[tokio::test]
async fn a_set_of_an_organization_is_made_polled_given_runners_and_closed() {
    let (fake, _) = github().await;
    let options = options(fake.url(), organization(), app());
    a_life(&fake, &options).await;
}

#[tokio::test]
async fn a_set_of_a_repository_is_made_polled_given_runners_and_closed() {
    let (fake, _) = github().await;
    let scope = Scope::Repository { owner: "flint-demo".to_owned(), name: "widgets".to_owned() };
    a_life(&fake, &options(fake.url(), scope, app())).await;
    fake.add_repository("gadgets");
    let scope = Scope::Repository { owner: "flint-demo".to_owned(), name: "gadgets".to_owned() };
    let others = client_of(&options(fake.url(), scope, app()));
    let session = taken(&others).await;
    fake.queue(ONE).expect("it is a workflow");
    assert_eq!(others.poll(&session, None, 2).await.expect("it answers"), Polled::Nothing);
}

#[tokio::test]
async fn a_set_of_an_enterprise_is_made_polled_given_runners_and_closed() {
    let (fake, _) = github().await;
    let scope = Scope::Enterprise("flint-corp".to_owned());
    let token = Credentials::Token(Secret::new(fake.personal_token()));
    a_life(&fake, &options(fake.url(), scope.clone(), token)).await;

    let error = client_of(&options(fake.url(), scope, app())).check().await;
    assert!(error.is_err(), "no App may have an enterprise's runners");
}

/// The same in each place.
async fn a_life(fake: &FakeGithub, options: &Options) {
    let (sets, lists) = (client_of(options), Lists::new(options));
    let session = taken(&sets).await;
    let set = session.set().clone();
    assert_eq!((set.name.as_str(), set.group, set.lacks(&wanted())), ("flint", 1, Vec::new()));
    assert_eq!(session.statistics().expect("they are told").total_assigned_jobs, 0);
    assert_eq!(sets.poll(&session, None, 2).await.expect("it answers"), Polled::Nothing);

    let first = fake.queue(ONE).expect("it is a workflow")[0];
    let second = fake.queue_from_fork("widgets", ONE).expect("it is a workflow")[0];
    let third = fake.queue("jobs: {a: {runs-on: Flint, steps: []}}").expect("it is a workflow")[0];
    let told = message(&sets, &session, None).await;
    let [JobMessage::Assigned { job: a }, JobMessage::Assigned { job: b }] = &told.jobs[..] else {
        panic!("two jobs are assigned, no more than the capacity: {told:?}")
    };
    assert_eq!((assigned(&told), told.unread), (2, 0));
    assert_eq!(a.id.as_str(), format!("00000000-0000-4000-8001-{first:012x}"));
    assert_eq!((a.request, a.repository.as_str(), a.labels.len()), (0, "flint-demo/widgets", 1));
    assert_eq!((a.event.as_str(), b.event.as_str()), ("push", "pull_request"));
    assert_eq!((a.started, a.finished), (None, None));

    let made = sets.jit(&set, &name(1)).await.expect("the name is free");
    assert!(!made.jit_config.expose().is_empty());
    assert!(sets.jit(&set, &name(2)).await.is_ok());
    assert_eq!(lists.runners().await, [VmId(1), VmId(2)]);
    assert_eq!(lists.remove(2).await, Removal::Gone);
    assert_eq!(fake.begin_job(name(1).as_str()), Some(first));
    assert_eq!((lists.runners().await, lists.remove(1).await), (vec![VmId(1)], Removal::Busy));
    let started = message(&sets, &session, Some(told.id)).await;
    let [JobMessage::Started { job, runner }] = &started.jobs[..] else { panic!("{started:?}") };
    assert_eq!((&job.id, runner.id, runner.name.as_str()), (&a.id, made.runner, name(1).as_str()));
    fake.end_job(first, "success");
    let ended = message(&sets, &session, Some(started.id)).await;
    let outcomes = ended.jobs.iter().filter_map(|told| match told {
        JobMessage::Completed { outcome, .. } => Some(outcome.clone()),
        _ => None,
    });
    assert_eq!(outcomes.collect::<Vec<_>>(), [Outcome::Succeeded]);
    assert_eq!(assigned(&ended), 2, "another one took its place");
    assert_eq!(fake.sets()[0].assigned, [second, third]);

    for id in [told.id, started.id, ended.id] {
        assert!(sets.acknowledge(&session, id).await.is_ok());
    }
    assert_eq!(fake.sets()[0].unacknowledged, Vec::<u64>::new());
    sets.close(&session).await.expect("it is ours");
    sets.close(&session).await.expect("what is gone is closed");
    assert_eq!(fake.sets()[0].owner, None);
    assert_eq!(fake.counters().calls("runner-registration"), 1, "one connection serves all calls");
}

#[tokio::test]
async fn a_message_comes_again_until_it_is_acknowledged_and_none_up_to_the_last_one_does() {
    let (fake, sets) = github().await;
    let session = taken(&sets).await;
    fake.queue(ONE).expect("it is a workflow");
    let first = message(&sets, &session, None).await;
    assert_eq!(message(&sets, &session, None).await, first);
    let after = sets.poll(&session, Some(first.id), 2).await.expect("it answers");
    assert_eq!(after, Polled::Nothing);
    sets.acknowledge(&session, first.id).await.expect("it is there");
    assert_eq!(sets.poll(&session, None, 2).await.expect("it answers"), Polled::Nothing);
}

#[tokio::test]
async fn a_poll_that_waits_is_answered_by_the_job_that_comes() {
    let (fake, sets) = github_with(|config| config.poll = Duration::from_secs(3600)).await;
    let session = taken(&sets).await;
    let (told, ()) = tokio::join!(message(&sets, &session, None), async {
        fake.until(|fake| fake.sets()[0].capacity == 2).await;
        fake.queue(ONE).expect("it is a workflow");
    });
    assert_eq!(assigned(&told), 1);
}

#[tokio::test]
async fn a_job_that_is_offered_is_claimed_by_its_request() {
    let (fake, sets) = github_with(|config| config.offers = true).await;
    let session = taken(&sets).await;
    fake.queue(ONE).expect("it is a workflow");
    let offered = message(&sets, &session, None).await;
    let [JobMessage::Available { job }] = &offered.jobs[..] else { panic!("{offered:?}") };
    assert_eq!(assigned(&offered), 0);
    fake.expire_queue_tokens();
    let won = sets.acquire(&session, &[job.request, 7]).await.expect("it answers");
    assert_eq!(won, [job.request]);
    let again = sets.acquire(&session, &[job.request]).await.expect("it answers");
    assert_eq!(again, Vec::<i64>::new());
    let told = message(&sets, &session, Some(offered.id)).await;
    assert!(matches!(&told.jobs[..], [JobMessage::Assigned { job: same }] if same.id == job.id));
}

#[tokio::test]
async fn a_set_that_is_there_is_given_our_labels_and_one_that_has_them_is_left_alone() {
    let (fake, sets) = github().await;
    let other = Wanted { labels: ["old".to_owned()].into(), ..wanted() };
    let session = sets.take(&other, OWNER).await.expect("nothing stands in the way");
    assert_eq!(
        fake.sets()[0].labels,
        ["flint", "old"],
        "the name first: GitHub compares labels alone"
    );
    sets.close(&session).await.expect("it is ours");
    let session = taken(&sets).await;
    assert_eq!(session.set().lacks(&wanted()), Vec::<String>::new());
    sets.close(&session).await.expect("it is ours");
    let loud = Wanted {
        labels: ["Linux-4CPU", "SELF-HOSTED", "Flint"].map(str::to_owned).into(),
        ..wanted()
    };
    assert!(sets.take(&loud, OWNER).await.is_ok());
    assert_eq!(fake.sets()[0].labels, ["flint", "linux-4cpu", "self-hosted"]);
    let calls = fake.counters();
    assert_eq!((calls.calls("create-set"), calls.calls("update-set")), (1, 1));
}

#[tokio::test]
async fn a_set_that_somebody_else_serves_is_not_touched() {
    let (fake, sets) = github().await;
    let theirs = Wanted { labels: ["theirs".to_owned()].into(), ..wanted() };
    let session = client(fake.url()).take(&theirs, "arc").await.expect("nobody has it");
    let error = sets.take(&wanted(), OWNER).await.err().expect("it has a session");
    assert_eq!((error.slug(), error.next()), ("scale-set-conflict", Next::Stolen));
    assert!(error.to_string().contains("somebody else holds the session of scale set `flint`"));
    assert!(error.to_string().contains("for arc."), "{error}");
    assert!(error.help().is_some_and(|help| help.contains("give one of them another name")));
    assert_eq!(fake.sets()[0].labels, ["flint", "theirs"]);

    // Theirs lapses by itself when they go away.
    fake.advance(Duration::from_secs(301));
    let ours = taken(&sets).await;
    assert_eq!(fake.sets()[0].owner.as_deref(), Some(OWNER));
    let error = sets.poll(&session, None, 1).await.expect_err("it is not theirs any more");
    assert_eq!((error.slug(), error.next()), ("scale-set-session-gone", Next::NewSession));
    sets.close_left(ours.set(), ours.id()).await.expect("it is ours, by its id alone");
    assert_eq!(fake.sets()[0].owner, None);
}

#[tokio::test]
async fn a_group_is_found_by_its_name() {
    let (fake, sets) = github().await;
    let id = fake.add_group("Builders", &["widgets"]);
    let session = sets
        .take(&Wanted { group: RunnerGroup::Name("builders".to_owned()), ..wanted() }, OWNER)
        .await;
    assert_eq!(session.expect("the group is there").set().group, id);
    let missing = Wanted { group: RunnerGroup::Name("nobody".to_owned()), ..wanted() };
    let error = sets.take(&missing, OWNER).await.err().expect("there is no such group");
    assert_eq!((error.slug(), error.next()), ("scale-set-no-group", Next::Person));
    assert!(error.help().is_some_and(|help| help.contains("`nobody`")));
}

#[tokio::test]
async fn tokens_are_renewed_before_they_end_and_once_when_they_are_refused() {
    let (fake, sets) = github_with(|config| config.service_life = Duration::from_secs(50)).await;
    sets.check().await.expect("it connects");
    sets.check().await.expect("it connects");
    let calls = fake.counters();
    let connects = calls.calls("runner-registration");
    assert_eq!((connects, calls.calls("registration-token")), (2, 1), "less than 60 s are left");

    let (fake, sets) = github().await;
    let session = taken(&sets).await;
    fake.expire_service_tokens();
    sets.jit(session.set(), &name(1)).await.expect("a new connection is made");
    fake.expire_service_tokens();
    fake.revoke_tokens();
    sets.jit(session.set(), &name(2)).await.expect("all three tokens are made anew");
    fake.expire_queue_tokens();
    assert_eq!(sets.poll(&session, None, 2).await.expect("it answers"), Polled::Nothing);
    let calls = fake.counters();
    assert_eq!((calls.calls("refresh-session"), calls.calls("poll-queue")), (1, 2));
    sets.refresh(&session).await.expect("it is ours");
}

#[tokio::test]
async fn callers_at_once_share_one_connection() {
    let (fake, sets) = github().await;
    let sets = Arc::new(sets);
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let sets = Arc::clone(&sets);
            tokio::spawn(async move { sets.check().await.is_ok() })
        })
        .collect();
    for task in tasks {
        assert!(task.await.expect("no call panics"));
    }
    assert_eq!(fake.counters().calls("runner-registration"), 1);
}

/// The error of a call. All calls before a session is open are made by taking the set.
async fn refused(sets: &ScaleSets, session: Option<&Session>, route: &str) -> Error {
    let Some(session) = session else {
        return sets.take(&wanted(), OWNER).await.err().expect("it is refused");
    };
    let other = Wanted { labels: ["other".to_owned()].into(), ..wanted() };
    let error = match route {
        "update-set" => sets.relabel(session.set(), &other).await.err(),
        "refresh-session" => sets.refresh(session).await.err(),
        "set-jit" => sets.jit(session.set(), &name(1)).await.err(),
        "acquire-jobs" => sets.acquire(session, &[1]).await.err(),
        "poll-queue" => sets.poll(session, None, 1).await.err(),
        "acknowledge-message" => sets.acknowledge(session, MessageId(1)).await.err(),
        other => panic!("`{other}` is no call of this room"),
    };
    error.expect("it is refused")
}

#[tokio::test]
async fn each_refusal_of_each_call_says_what_to_do() {
    let (again, person) = (Next::Again, Next::Person);
    for (route, is_open, on_401, on_404, on_409) in [
        ("registration-token", false, person, person, again),
        ("runner-registration", false, again, person, person),
        ("find-group", false, again, person, person),
        ("find-set", false, again, person, person),
        ("create-set", false, again, person, person),
        ("open-session", false, again, Next::NewSet, Next::Stolen),
        ("update-set", true, again, Next::NewSet, person),
        ("refresh-session", true, again, Next::NewSession, Next::Stolen),
        ("set-jit", true, again, Next::NewSet, Next::AnotherName),
        ("acquire-jobs", true, Next::NewSession, Next::NewSession, Next::Stolen),
        ("poll-queue", true, Next::NewSession, Next::NewSession, Next::Stolen),
        ("acknowledge-message", true, Next::NewSession, Next::NewSession, Next::Stolen),
    ] {
        let (fake, sets) = github().await;
        let session = if is_open { Some(taken(&sets).await) } else { None };
        let broken = async |kind: FaultKind| {
            // A 401 is tried again with a new token.
            fake.fault(route, 2, kind);
            let error = refused(&sets, session.as_ref(), route).await;
            fake.no_faults();
            error
        };
        for (status, next) in [(401, on_401), (404, on_404), (409, on_409), (500, again)] {
            let error = broken(FaultKind::status(status, "no\u{1b}[31m luck")).await;
            assert_eq!(error.next(), next, "{route} {status}: {error}");
            assert!(!error.to_string().contains('\u{1b}'), "{error}");
        }
        let error = broken(FaultKind::status(403, "no")).await;
        assert_eq!((error.slug(), error.next()), ("scale-set-forbidden", person), "{route}");
        let help = error.help().expect("a person can do something");
        assert!(help.contains("Organization → Self-hosted runners: write"), "{help}");
        assert!(help.contains("/organizations/flint-demo/settings/installations"), "{help}");
        // An answer without a body cannot be cut.
        if route != "acknowledge-message" {
            let error = broken(FaultKind::Cut).await;
            assert_eq!(error.next(), again, "{route}: {error}");
        }
    }
}

#[tokio::test]
async fn a_session_that_is_gone_is_closed_and_one_that_cannot_be_is_told() {
    let (fake, sets) = github().await;
    let session = taken(&sets).await;
    fake.fault("close-session", 1, FaultKind::status(500, "no"));
    let error = sets.close(&session).await.expect_err("it is refused");
    assert_eq!(error.next(), Next::Again);
    fake.fault("close-session", 1, FaultKind::status(404, "no"));
    assert!(sets.close(&session).await.is_ok());
}

#[tokio::test]
async fn a_limit_shuts_the_gate_for_every_call() {
    let (fake, sets) = github().await;
    let session = taken(&sets).await;
    fake.fault("set-jit", 1, FaultKind::limited(Some(30)));
    let error = sets.jit(session.set(), &name(1)).await.err().expect("it is refused");
    assert!(matches!(error, Error::Limited { wait_s: 30, .. }), "{error}");
    assert!(matches!(error.failure(), RegisterFailure::Limited { .. }));
    let error = sets.poll(&session, None, 1).await.expect_err("nothing is sent");
    assert!(matches!(error.next(), Next::Wait { .. }), "{error}");
    assert_eq!(fake.counters().calls("poll-queue"), 0);
}

#[tokio::test]
async fn a_name_that_is_taken_wants_another_one() {
    let (_fake, sets) = github().await;
    let session = taken(&sets).await;
    assert!(sets.jit(session.set(), &name(1)).await.is_ok());
    let error = sets.jit(session.set(), &name(1)).await.err().expect("it is taken");
    assert_eq!(
        (error.slug(), error.failure()),
        ("scale-set-name-taken", RegisterFailure::NameTaken)
    );
}

#[tokio::test]
async fn a_set_that_was_deleted_is_made_anew() {
    let (fake, sets) = github().await;
    let session = taken(&sets).await;
    assert!(fake.delete_scale_set("flint"));
    let gone = [
        sets.poll(&session, None, 1).await.err(),
        sets.acknowledge(&session, MessageId(1)).await.err(),
        sets.refresh(&session).await.err(),
        sets.jit(session.set(), &name(1)).await.err(),
        sets.open(session.set(), OWNER).await.err(),
    ];
    for error in gone.into_iter().map(|error| error.expect("the set is gone")) {
        assert_eq!((error.slug(), error.next()), ("scale-set-gone", Next::NewSet), "{error}");
    }
    sets.close(&session).await.expect("what is gone is closed");
    let anew = taken(&sets).await;
    assert_ne!(anew.set().id, session.set().id);
}

#[tokio::test]
async fn a_session_that_github_ended_is_opened_anew() {
    let (fake, sets) = github().await;
    let session = taken(&sets).await;
    assert!(fake.expire_session("flint"));
    let error = sets.poll(&session, None, 1).await.expect_err("it has ended");
    assert_eq!((error.slug(), error.next()), ("scale-set-session-gone", Next::NewSession));
    let anew = sets.open(session.set(), OWNER).await.expect("nobody has it");
    assert_eq!(sets.poll(&anew, None, 1).await.expect("it answers"), Polled::Nothing);
}

#[tokio::test]
async fn a_session_without_a_queue_is_given_back() {
    for at in ["/messageQueueUrl", "/messageQueueAccessToken"] {
        let (fake, sets) = github().await;
        fake.fault("open-session", 1, FaultKind::says(at, json!("")));
        let error = sets.take(&wanted(), OWNER).await.err().expect("it is of no use");
        assert_eq!((error.slug(), error.next()), ("scale-set-no-queue", Next::NewSession));
        assert_eq!(fake.sets()[0].owner, None, "it is not in the way of the next try");
        taken(&sets).await;
    }
}

#[tokio::test]
async fn a_queue_that_loses_its_address_wants_a_new_session() {
    let (fake, sets) = github().await;
    let session = taken(&sets).await;
    fake.expire_queue_tokens();
    fake.fault("refresh-session", 1, FaultKind::says("/messageQueueUrl", json!("")));
    let error = sets.poll(&session, None, 1).await.expect_err("there is no queue");
    assert_eq!((error.slug(), error.next()), ("scale-set-no-queue", Next::NewSession));
}

#[tokio::test]
async fn no_token_goes_to_an_address_that_is_none() {
    for url in ["", "ftp://127.0.0.1/", "http://me:pw@127.0.0.1/"] {
        let (fake, sets) = github().await;
        fake.fault("runner-registration", 1, FaultKind::says("/url", json!(url)));
        let error = sets.check().await.expect_err("it is no address");
        assert_eq!(error.slug(), "scale-set-address", "{error}");
        assert!(!error.to_string().contains("pw"), "{error}");
    }
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_told_with_its_number_and_can_be_acknowledged() {
    let (fake, sets) = github().await;
    let session = taken(&sets).await;
    fake.queue(ONE).expect("it is a workflow");
    for (kind, id, problem) in [
        (FaultKind::Garbage, None, "it is no JSON"),
        (FaultKind::Empty, None, "it is empty"),
        (FaultKind::says("/body", json!("")), Some(MessageId(1)), "its body is empty"),
        (
            FaultKind::says("/body", json!("{oops\u{1b}")),
            Some(MessageId(1)),
            "its body is no list in JSON",
        ),
        (
            FaultKind::says("/messageType", json!("New")),
            Some(MessageId(1)),
            "its type is not known",
        ),
    ] {
        fake.fault("poll-queue", 1, kind);
        let found = unreadable(&sets, &session).await;
        assert_eq!((found.id, found.problem), (id, problem));
        assert_eq!(found.statistics.map(|told| told.total_assigned_jobs), id.map(|_| 1));
        assert!(!found.excerpt.contains('\u{1b}'));
    }
    sets.acknowledge(&session, MessageId(1)).await.expect("its number was told");
    assert_eq!(sets.poll(&session, None, 2).await.expect("it answers"), Polled::Nothing);
}

#[tokio::test]
async fn a_part_of_a_message_that_cannot_be_read_is_counted() {
    let (fake, sets) = github().await;
    let session = taken(&sets).await;
    fake.queue(ONE).expect("it is a workflow");
    let parts = json!([{ "messageType": "JobDreamt\u{202e}" }, { "messageType": "JobStarted" }]);
    fake.fault("poll-queue", 1, FaultKind::says("/body", json!(parts.to_string())));
    let told = message(&sets, &session, None).await;
    assert_eq!((told.jobs.len(), told.unread, assigned(&told)), (0, 2, 1));
    let both = r#"{"messageType":"JobDreamt\u{202e}"}, {"messageType":"JobStarted"}"#;
    assert_eq!(told.excerpt.as_deref(), Some(both));
}

#[tokio::test]
async fn statistics_and_messages_that_disagree_are_both_told() {
    let (fake, sets) = github().await;
    let session = taken(&sets).await;
    fake.queue(ONE).expect("it is a workflow");
    let at = "/statistics/totalAssignedJobs";
    fake.fault("poll-queue", 1, FaultKind::says(at, json!(7)));
    let told = message(&sets, &session, None).await;
    assert_eq!((told.jobs.len(), assigned(&told)), (1, 7));
    fake.fault("poll-queue", 1, FaultKind::says("/statistics", json!(null)));
    assert_eq!(message(&sets, &session, None).await.statistics, None, "and nothing is not zero");
}

#[tokio::test]
async fn no_token_is_in_what_is_told() {
    let (fake, sets) = github().await;
    let mut told = Vec::new();
    let mut tell = |error: Option<Error>| {
        let error = error.expect("it is refused");
        told.push(format!("{error} {error:?} {:?}", error.help()));
    };
    fake.fault("runner-registration", 1, FaultKind::says("/token", json!(5)));
    tell(sets.check().await.err());
    let session = taken(&sets).await;
    fake.fault("set-jit", 1, FaultKind::Cut);
    tell(sets.jit(session.set(), &name(1)).await.err());
    fake.fault("refresh-session", 1, FaultKind::says("/sessionId", json!(5)));
    tell(sets.refresh(&session).await.err());
    fake.fault("poll-queue", 2, FaultKind::status(401, "no"));
    tell(sets.poll(&session, None, 1).await.err());
    let secrets = fake.secrets();
    assert!(secrets.len() >= 5);
    assert!(secrets.iter().all(|secret| told.iter().all(|text| !text.contains(secret))));
}
