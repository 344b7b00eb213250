//! What GitHub is asked because webhooks get lost, over loopback against a GitHub with every vice.

use flint::forge::{
    Answer, Credentials, Error, Forge as _, GitHub, Options, Removal, RunnerGroup, Scope, Told,
    WebhookAuth, app_auth,
};
use flint::front::server;
use flint::front::tls::Tls;
use flint::front::webhook::{self, Committed, Counters, Delivery, Door};
use flint::front::words::Hook;
use flint_core::ask::{AskFailure, Budget, Found, Question};
use flint_core::event::ForgeEvent;
use flint_core::id::{InstallationId, JobKey, ProfileId, RunnerName, ScopeId, VmId};
use flint_core::policy::Origin;
use flint_core::units::Timestamp;
use flint_sim::github::{
    Config, FakeGithub, FaultKind, HookFault, Limits, Planted, Webhook, generate_pem,
};
use flint_wire::Secret;
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const HOUR: Duration = Duration::from_secs(3_600);
const JOB: &str = "jobs: { test: { runs-on: [self-hosted, flint], steps: [{ run: 'true' }] } }";

fn pem() -> &'static str {
    static PEM: OnceLock<String> = OnceLock::new();
    PEM.get_or_init(|| generate_pem().expect("openssl is a test's requirement"))
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    Timestamp(u64::try_from(since.as_millis()).expect("it is before the year 500,000,000"))
}

fn app() -> Credentials {
    Credentials::App { id: "123456".to_owned(), private_key: Secret::new(pem().to_owned()) }
}

fn options(api_url: &str) -> Options {
    Options {
        api_url: api_url.to_owned(),
        ca_certificates: None,
        scope: Scope::Organization("flint-demo".to_owned()),
        credentials: app(),
        webhook: WebhookAuth::Insecure,
        runner_group: RunnerGroup::Number(1),
    }
}

fn scope() -> ScopeId {
    ScopeId::organization("flint-demo")
}

fn failed_since(since: Timestamp) -> Question {
    Question::Deliveries { installation: InstallationId::new("flint-demo"), since }
}

async fn start(change: impl FnOnce(&mut Config)) -> (FakeGithub, GitHub) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let mut config = Config::new(pem().to_owned());
    change(&mut config);
    let fake = FakeGithub::start(listener, config).await.expect("it starts");
    let forge = GitHub::new(&options(fake.url()), "k3x9q2").expect("the options are good");
    (fake, forge)
}

async fn github() -> (FakeGithub, GitHub) {
    start(|_| ()).await
}

/// Asks for failed deliveries of the last hour.
async fn deliveries(forge: &GitHub) -> Answer {
    deliveries_since(forge, now().before(HOUR)).await
}

async fn deliveries_since(forge: &GitHub, since: Timestamp) -> Answer {
    forge.ask(failed_since(since), now()).await.expect("GitHub answers")
}

async fn jobs(forge: &GitHub) -> Answer {
    let repository = "flint-demo/widgets".to_owned();
    forge.ask(Question::Jobs { repository }, now()).await.expect("GitHub answers")
}

async fn job(forge: &GitHub, id: u64) -> Result<Answer, Error> {
    let (job, repository) = (JobKey { id, attempt: 1 }, "flint-demo/widgets".to_owned());
    forge.ask(Question::Job { job, repository }, now()).await
}

fn last(answer: &Answer) -> &ForgeEvent {
    &answer.told.last().expect("every answer is closed").event
}

/// The jobs that the answer tells as queued, in that order.
fn queued(answer: &Answer) -> Vec<u64> {
    let id = |told: &Told| match &told.event {
        ForgeEvent::JobQueued { job, .. } => Some(job.id),
        _ => None,
    };
    answer.told.iter().filter_map(id).collect()
}

fn failure(answer: &Answer) -> (AskFailure, &str) {
    match last(answer) {
        ForgeEvent::AskFailed { failure, why, .. } => (*failure, why),
        other => panic!("it is whole: {other:?}"),
    }
}

fn queue(fake: &FakeGithub) -> u64 {
    fake.queue(JOB).expect("it is a workflow")[0]
}

#[tokio::test]
async fn lost_deliveries_are_told_once_they_are_on_disk_and_not_before() {
    let (fake, forge) = github().await;
    let ids: Vec<u64> = (0..3).map(|_| queue(&fake)).collect();
    for id in &ids {
        fake.plant(Planted::Plain, *id).expect("there is such a job");
    }
    let since = now().before(HOUR);
    let answer = deliveries_since(&forge, since).await;
    assert_eq!(queued(&answer).into_iter().collect::<BTreeSet<_>>(), ids.iter().copied().collect());
    let guids: BTreeSet<_> = answer.told.iter().filter_map(|told| told.delivery.clone()).collect();
    let planted: BTreeSet<_> = fake.deliveries().into_iter().map(|sent| sent.guid).collect();
    assert_eq!(guids, planted);
    assert!(matches!(last(&answer), ForgeEvent::DeliveriesRead { .. }), "{answer:?}");
    let (_, left) = answer.quota.clone().expect("GitHub says what is left");
    assert_eq!((left.budget, left.limit), (Budget::App, 5_000));
    assert!(left.remaining < 5_000 && left.resets > now());

    // The store may have refused them: the next question looks back as far as this one.
    let again = deliveries_since(&forge, since).await;
    assert_eq!(queued(&again), queued(&answer));
    let later = deliveries_since(&forge, since.after(Duration::from_secs(1))).await;
    assert_eq!(queued(&later), [0; 0], "they are on disk");
    assert_eq!(fake.counters().calls("delivery"), 6);
}

#[tokio::test]
async fn what_is_foreign_unreadable_or_gone_is_passed_over_and_the_rest_is_told() {
    let (fake, forge) = github().await;
    let id = queue(&fake);
    let all = [
        Planted::NotJson,
        Planted::OtherInstallation,
        Planted::Plain,
        Planted::OtherApp,
        Planted::Vanished,
        Planted::Future,
    ];
    for what in all {
        fake.plant(what, id).expect("there is such a job");
    }
    let answer = deliveries(&forge).await;
    assert_eq!(queued(&answer), [id, id], "the plain one and the one of tomorrow");
    let ForgeEvent::DeliveriesRead { asked, .. } = last(&answer) else { panic!("{answer:?}") };
    assert!(*asked <= now(), "tomorrow is not read yet");
    // Of no use once is of no use for ever.
    let before = fake.counters().calls("delivery");
    assert_eq!(queued(&deliveries(&forge).await).len(), 0);
    assert_eq!(fake.counters().calls("delivery"), before);
}

#[tokio::test]
async fn a_delivery_that_was_redelivered_meanwhile_is_not_told() {
    let hook = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let url = format!("http://{}/webhook", hook.local_addr().expect("it is bound"));
    let target = Webhook { url, secret: "s3cret".to_owned() };
    let (fake, forge) = start(|config| config.webhook = Some(target)).await;
    let (door, mut facts): (Door, mpsc::Receiver<Delivery>) = Door::new(4);
    let Options { webhook: auth, scope, .. } = options("http://unused");
    let proofs = Hook::one(auth, scope);
    let routes = webhook::router(&proofs, door, Arc::new(Counters::default()));
    let limits = (server::Limits::WEBHOOK, Tls::default());
    let serving = tokio::spawn(server::serve(hook, routes, limits, std::future::pending()));
    fake.hook_fault(HookFault::Fail, 2);
    let (first, second) = (queue(&fake), queue(&fake));
    fake.until(|fake| fake.delivered() == 2).await;
    let failed = fake.deliveries()[0].id;

    let app =
        app_auth::App::new("123456", &Secret::new(pem().to_owned())).expect("the key is good");
    let proof = app.proof(now()).expect("the key can sign");
    let path = format!("{}/app/hook/deliveries/{failed}/attempts", fake.url());
    let http = reqwest::Client::builder().no_proxy().build().expect("the client is plain");
    let asked = http.post(path).bearer_auth(proof.expose()).header("user-agent", "a test");
    assert_eq!(asked.send().await.expect("it answers").status().as_u16(), 202);
    let delivery = facts.recv().await.expect("it is sent again");
    delivery.done.send(Ok(Committed::New)).expect("the request waits");
    fake.until(|fake| fake.delivered() == 3).await;

    let answer = deliveries(&forge).await;
    assert_eq!(queued(&answer), [second], "{first} arrived");
    assert_eq!(fake.counters().calls("delivery"), 1);
    serving.abort();
}

#[tokio::test]
async fn a_list_that_does_not_end_or_goes_round_is_left_after_what_was_found() {
    for (fault, part) in
        [(FaultKind::Endless, "does not end"), (FaultKind::SameCursor, "goes round in a circle")]
    {
        let (fake, forge) = start(|config| config.limits = Limits::none()).await;
        let id = queue(&fake);
        fake.plant(Planted::Plain, id).expect("there is such a job");
        fake.fault_rate("deliveries", 1_000, fault);
        let answer = deliveries(&forge).await;
        assert_eq!(queued(&answer), [id]);
        let (failure, why) = failure(&answer);
        assert_eq!(failure, AskFailure::Transient);
        assert!(why.contains(part), "{why}");
        assert!(fake.counters().calls("deliveries") <= 1_000);
    }
}

#[tokio::test]
async fn the_last_tenth_of_the_apps_calls_is_not_spent_on_a_list() {
    let limits = Limits { app_per_hour: 100, ..Limits::default() };
    let (fake, forge) = start(|config| config.limits = limits).await;
    let id = queue(&fake);
    fake.plant(Planted::Plain, id).expect("there is such a job");
    fake.fault_rate("deliveries", 1_000, FaultKind::Endless);
    let answer = deliveries(&forge).await;
    assert!(failure(&answer).1.starts_with("only 9 of the App's calls are left"), "{answer:?}");
    assert!(
        forge.ask(Question::Runners { scope: scope() }, now()).await.is_ok(),
        "a token can still be made"
    );
}

#[tokio::test]
async fn more_than_one_answer_holds_are_told_oldest_first_by_several() {
    let (fake, forge) = github().await;
    let ids: Vec<u64> = (0..310).map(|_| queue(&fake)).collect();
    for id in &ids {
        fake.plant(Planted::Plain, *id).expect("there is such a job");
    }
    let since = now().before(HOUR);
    let (first, second) =
        (deliveries_since(&forge, since).await, deliveries_since(&forge, since).await);
    assert_eq!(queued(&first).len(), 300);
    let (ForgeEvent::DeliveriesRead { asked: a, .. }, ForgeEvent::DeliveriesRead { asked: b, .. }) =
        (last(&first), last(&second))
    else {
        panic!("both are whole up to their time")
    };
    assert!(a < b, "the first is whole only up to the first that is left");
    let told: BTreeSet<u64> = queued(&first).into_iter().chain(queued(&second)).collect();
    assert_eq!(told, ids.into_iter().collect());
}

#[tokio::test]
async fn a_payload_that_githubs_server_cannot_give_is_given_up_after_some_questions() {
    let (fake, forge) = github().await;
    let (first, second) = (queue(&fake), queue(&fake));
    fake.plant(Planted::Plain, first).expect("there is such a job");
    let since = now().before(HOUR);
    for fault in [FaultKind::status(500, "no luck"), FaultKind::Cut] {
        fake.fault("delivery", 1, fault);
        let answer = deliveries_since(&forge, since).await;
        assert_eq!((failure(&answer).0, answer.told.len()), (AskFailure::Transient, 1));
    }
    fake.fault("delivery", 1, FaultKind::Garbage);
    let answer = deliveries_since(&forge, since).await;
    assert!(matches!(last(&answer), ForgeEvent::DeliveriesRead { .. }), "{answer:?}");
    fake.plant(Planted::Plain, second).expect("there is such a job");
    assert_eq!(queued(&deliveries_since(&forge, since).await), [second]);
}

#[tokio::test]
async fn a_payload_that_cannot_be_fetched_does_not_stop_the_others() {
    let (fake, forge) = github().await;
    for _ in 0..3 {
        fake.plant(Planted::Plain, queue(&fake)).expect("there is such a job");
    }
    fake.fault("delivery", 1, FaultKind::status(500, "no luck"));
    let since = now().before(HOUR);
    let answer = deliveries_since(&forge, since).await;
    assert_eq!((queued(&answer).len(), failure(&answer).0), (2, AskFailure::Transient));
    assert_eq!(queued(&deliveries_since(&forge, since).await).len(), 3);
}

#[tokio::test]
async fn each_refusal_of_a_question_says_what_it_means_for_the_next_try() {
    let questions = || {
        let repository = || "flint-demo/widgets".to_owned();
        let job = JobKey { id: 7, attempt: 1 };
        [
            ("deliveries", failed_since(now().before(HOUR))),
            ("list-runs", Question::Jobs { repository: repository() }),
            ("get-job", Question::Job { job, repository: repository() }),
            ("get-run", Question::Run { run: 7, repository: repository() }),
            ("list-repositories", Question::Repositories { scope: scope() }),
            ("list-runners", Question::Runners { scope: scope() }),
        ]
    };
    let limited = AskFailure::Limited { until: Timestamp(0) };
    let faults = [
        (FaultKind::status(401, "no\u{1b}[31m luck"), "github-unauthorized", AskFailure::Refused),
        (FaultKind::status(403, "no luck"), "github-forbidden", AskFailure::Refused),
        (FaultKind::status(500, "no luck"), "github-unavailable", AskFailure::Transient),
        (FaultKind::limited(Some(30)), "github-rate-limited", limited),
        (FaultKind::Garbage, "github-garbage", AskFailure::Transient),
        (FaultKind::Cut, "github-no-answer", AskFailure::Transient),
    ];
    let (fake, _) = start(|config| config.limits = Limits::none()).await;
    let id = queue(&fake);
    for (fault, slug, wanted) in faults {
        for (route, mut question) in questions() {
            match &mut question {
                Question::Job { job, .. } => job.id = id,
                Question::Run { run, .. } => *run = fake.job(id).expect("it is queued").run,
                _ => {}
            }
            // Its own, because a limit shuts the gate for all of them.
            let forge = GitHub::new(&options(fake.url()), "k3x9q2").expect("the options are good");
            fake.fault(route, u32::MAX, fault.clone());
            let error = forge.ask(question, now()).await.expect_err("nothing is known");
            let told = match error.ask_failure() {
                AskFailure::Limited { .. } => limited,
                other => other,
            };
            assert_eq!((error.slug(), told), (slug, wanted), "{route}: {error}");
            assert!(error.to_string().starts_with("cannot GET /"), "{error}");
            assert!(!error.to_string().contains(['\u{1b}', '?']), "{error}");
            fake.no_faults();
        }
    }
}

#[tokio::test]
async fn where_a_run_comes_from_is_told_by_its_listing_and_when_it_is_asked_for() {
    let (fake, forge) = github().await;
    fake.add_public_repository("open");
    fake.add_forked_repository("forked");
    let origin = |public, fork| Origin { public: Some(public), fork: Some(fork) };
    let cases = [
        ("open", false, origin(true, false)),
        ("open", true, origin(true, true)),
        ("forked", false, origin(false, false)),
        ("forked", true, origin(false, true)),
    ];
    for (name, from_fork, wanted) in cases {
        let queue = if from_fork { FakeGithub::queue_from_fork } else { FakeGithub::queue_in };
        let id = queue(&fake, name, JOB).expect("it is a workflow")[0];
        let run = fake.job(id).expect("it is there").run;
        let repository = format!("flint-demo/{name}");
        let question = Question::Run { run, repository: repository.clone() };
        let answer = forge.ask(question, now()).await.expect("GitHub answers");
        let ForgeEvent::RunAsked { origin, over, .. } = last(&answer) else { panic!("{answer:?}") };
        assert_eq!((*origin, *over), (Some(wanted), false), "{name}");

        let listed = forge.ask(Question::Jobs { repository }, now()).await.expect("it answers");
        let of_job = listed.told.iter().find_map(|told| match &told.event {
            ForgeEvent::JobQueued { job, request } if job.id == id => Some(request.origin),
            _ => None,
        });
        assert_eq!(of_job, Some(wanted), "{name}");

        assert!(fake.cancel(id), "{name}");
        let question = Question::Run { run, repository: format!("flint-demo/{name}") };
        let answer = forge.ask(question, now()).await.expect("GitHub answers");
        assert!(matches!(last(&answer), ForgeEvent::RunAsked { over: true, .. }), "{answer:?}");
    }
}

#[tokio::test]
async fn a_run_is_gone_only_if_its_repository_is_still_seen() {
    let (_fake, forge) = github().await;
    let ask = async |repository: &str| {
        let question = Question::Run { run: 1, repository: repository.to_owned() };
        forge.ask(question, now()).await
    };
    let answer = ask("flint-demo/widgets").await.expect("GitHub answers");
    assert!(matches!(last(&answer), ForgeEvent::RunAsked { origin: None, .. }), "{answer:?}");
    let error = ask("flint-demo/unseen").await.expect_err("nothing is known");
    assert_eq!(error.ask_failure(), AskFailure::Refused, "{error}");
}

#[tokio::test]
async fn a_revoked_token_is_renewed_once_without_a_question_being_lost() {
    let (fake, forge) = github().await;
    let id = queue(&fake);
    assert_eq!(queued(&jobs(&forge).await), [id]);
    fake.revoke_tokens();
    assert_eq!(queued(&jobs(&forge).await), [id]);
    assert_eq!(fake.tokens(), 1);
}

#[tokio::test]
async fn open_jobs_are_listed_and_what_has_not_changed_costs_nothing() {
    let (fake, forge) = github().await;
    let ids: Vec<u64> = (0..3).map(|_| queue(&fake)).collect();
    let many: String = (0..130)
        .map(|n| format!("\n  j{n}: {{ runs-on: flint, steps: [{{ run: 'true' }}] }}"))
        .collect();
    let many = fake.queue(&format!("jobs:{many}\n")).expect("it is a workflow");
    assert!(fake.cancel(ids[0]) && fake.hold(ids[1]));
    let answer = jobs(&forge).await;
    let open: BTreeSet<u64> = many.iter().copied().chain([ids[2]]).collect();
    let ForgeEvent::JobsListed { repository, queued: listed, .. } = last(&answer) else {
        panic!("{answer:?}")
    };
    assert_eq!(repository, "flint-demo/widgets");
    assert_eq!(listed.iter().map(|key| key.id).collect::<BTreeSet<_>>(), open);
    assert_eq!(queued(&answer).into_iter().collect::<BTreeSet<_>>(), open);
    assert!(answer.told.iter().all(|told| told.delivery.is_none()));
    assert_eq!(answer.quota.as_ref().map(|(_, left)| left.budget), Some(Budget::Installation));

    let before = fake.counters();
    let left = answer.quota.as_ref().map(|(_, left)| left.remaining);
    let again = jobs(&forge).await;
    assert_eq!(queued(&again), queued(&answer));
    let after = fake.counters();
    let calls = |c: &flint_sim::github::Counters| c.calls("list-runs") + c.calls("list-jobs");
    assert_eq!(after.not_modified - before.not_modified, calls(&after) - calls(&before));
    assert_eq!(again.quota.map(|(_, left)| left.remaining), left);
}

#[tokio::test]
async fn more_open_runs_than_can_be_asked_about_are_told_in_part_and_said_to_be_more() {
    let (fake, forge) = start(|config| config.limits = Limits::none()).await;
    let ids: BTreeSet<u64> = (0..260).map(|_| queue(&fake)).collect();
    let answer = jobs(&forge).await;
    assert_eq!(queued(&answer).len(), 250);
    assert!(queued(&answer).iter().all(|id| ids.contains(id)));
    let (failure, why) = failure(&answer);
    assert_eq!(failure, AskFailure::Transient);
    assert!(why.contains("more open runs than can be asked about"), "{why}");
}

#[tokio::test]
async fn a_failure_in_the_midst_of_a_list_leaves_what_was_found() {
    let (fake, forge) = github().await;
    for _ in 0..20 {
        queue(&fake);
    }
    fake.fault_rate("list-jobs", 200, FaultKind::status(502, "bad gateway"));
    let answer = jobs(&forge).await;
    assert!(queued(&answer).len() < 20);
    let (failure, why) = failure(&answer);
    assert_eq!(failure, AskFailure::Transient);
    assert!(why.contains("GitHub answered 502"), "{why}");
    fake.no_faults();
    assert_eq!(queued(&jobs(&forge).await).len(), 20);
}

fn found(answer: &Answer) -> Found {
    match last(answer) {
        ForgeEvent::JobAsked { found, .. } => *found,
        other => panic!("it is an answer: {other:?}"),
    }
}

#[tokio::test]
async fn one_job_is_queued_held_told_or_gone() {
    let (fake, forge) = github().await;
    let ids: Vec<u64> = (0..3).map(|_| queue(&fake)).collect();
    let answer = job(&forge, ids[0]).await.expect("GitHub answers");
    assert_eq!((found(&answer), answer.told.len()), (Found::Queued { admitted: Some(true) }, 1));
    assert!(fake.hold(ids[1]) && fake.cancel(ids[2]));
    assert_eq!(found(&job(&forge, ids[1]).await.expect("GitHub answers")), Found::Held);
    let answer = job(&forge, ids[2]).await.expect("GitHub answers");
    assert_eq!(found(&answer), Found::Told);
    let ForgeEvent::JobCompleted { job: key, conclusion, .. } = &answer.told[0].event else {
        panic!("{answer:?}")
    };
    assert_eq!((key.id, conclusion.0.as_str()), (ids[2], "cancelled"));
    let run = fake.job(ids[0]).expect("it is there").run;
    assert!(fake.delete_run(run));
    assert_eq!(found(&job(&forge, ids[0]).await.expect("GitHub answers")), Found::Gone);
}

#[tokio::test]
async fn a_repository_that_cannot_be_seen_does_not_make_its_jobs_gone() {
    let (fake, forge) = github().await;
    let id = queue(&fake);
    let (key, repository) = (JobKey { id, attempt: 1 }, "flint-demo/secret".to_owned());
    let error = forge.ask(Question::Job { job: key, repository }, now()).await;
    let error = error.expect_err("nothing is known");
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    assert_eq!(error.ask_failure(), AskFailure::Refused);
    // The job alone is not found, and then GitHub fails: that is no word about the job either.
    fake.fault("get-job", 1, FaultKind::status(404, "Not Found"));
    fake.fault("list-runs", 1, FaultKind::status(500, "no luck"));
    let error = job(&forge, id).await.expect_err("nothing is known");
    assert_eq!(error.ask_failure(), AskFailure::Transient);
}

#[tokio::test]
async fn whether_the_runner_group_admits_a_repository_is_said_if_github_says_so() {
    let (fake, _) = github().await;
    fake.add_repository("gadgets");
    let group = fake.add_group("closed", &["gadgets"]);
    let id = queue(&fake);
    let forge = |group| {
        let runner_group = RunnerGroup::Number(group);
        let options = Options { runner_group, ..options(fake.url()) };
        GitHub::new(&options, "k3x9q2").expect("the options are good")
    };
    let closed = forge(group);
    let admitted = async |forge: &GitHub| found(&job(forge, id).await.expect("GitHub answers"));
    assert_eq!(admitted(&closed).await, Found::Queued { admitted: Some(false) });
    let before = fake.counters().calls("runner-groups");
    assert_eq!(admitted(&closed).await, Found::Queued { admitted: Some(false) });
    assert_eq!(fake.counters().calls("runner-groups"), before, "it is remembered");
    assert!(fake.restrict(1, true));
    let found_restricted = admitted(&forge(1)).await;
    assert_eq!(found_restricted, Found::Queued { admitted: None }, "some workflows, or not");
    assert!(fake.restrict(1, false));
    assert_eq!(admitted(&forge(1)).await, Found::Queued { admitted: Some(true) });
    fake.fault("runner-groups", u32::MAX, FaultKind::status(403, "no luck"));
    assert_eq!(admitted(&forge(1)).await, Found::Queued { admitted: None });

    let scope = Scope::Repository { owner: "flint-demo".to_owned(), name: "widgets".to_owned() };
    let own = GitHub::new(&Options { scope, ..options(fake.url()) }, "k3x9q2");
    let own = own.expect("the options are good");
    assert_eq!(admitted(&own).await, Found::Queued { admitted: Some(true) });
}

#[tokio::test]
async fn repositories_are_those_that_were_pushed_to_lately() {
    let (fake, forge) = github().await;
    for n in 0..140 {
        fake.add_repository(&format!("r{n}"));
    }
    let answer =
        forge.ask(Question::Repositories { scope: scope() }, now()).await.expect("GitHub answers");
    let ForgeEvent::RepositoriesListed { active, .. } = last(&answer) else { panic!("{answer:?}") };
    assert_eq!(active.len(), 141, "over two pages");
    assert!(active.contains("flint-demo/widgets") && active.contains("flint-demo/r139"));
    let in_two_weeks = now().after(HOUR * 24 * 14);
    let answer = forge
        .ask(Question::Repositories { scope: scope() }, in_two_weeks)
        .await
        .expect("GitHub answers");
    let asked = in_two_weeks;
    let (scope, active) = (scope(), BTreeSet::new());
    assert_eq!(last(&answer), &ForgeEvent::RepositoriesListed { scope, active, asked });
}

#[tokio::test]
async fn a_repository_is_told_as_github_writes_it_and_only_once_it_has_runs() {
    let (fake, _) = github().await;
    let scope = Scope::Repository { owner: "Flint-Demo".to_owned(), name: "WIDGETS".to_owned() };
    let id = scope.id();
    let own = GitHub::new(&Options { scope, ..options(fake.url()) }, "k3x9q2");
    let own = own.expect("the options are good");
    let active = async || {
        let answer = own
            .ask(Question::Repositories { scope: id.clone() }, now())
            .await
            .expect("GitHub answers");
        match last(&answer) {
            ForgeEvent::RepositoriesListed { active, .. } => active.clone(),
            other => panic!("they are listed: {other:?}"),
        }
    };
    assert_eq!(active().await, BTreeSet::new(), "there are no jobs to ask for");
    queue(&fake);
    assert_eq!(active().await, ["flint-demo/widgets".to_owned()].into());
    assert_eq!(fake.counters().calls("list-repositories"), 0, "no other is asked for");
    fake.fault("list-runs", 1, FaultKind::status(404, "Not Found"));
    let error = own
        .ask(Question::Repositories { scope: id.clone() }, now())
        .await
        .expect_err("it is not there");
    assert_eq!(error.ask_failure(), AskFailure::Refused, "{error}");
}

#[tokio::test]
async fn a_name_that_is_no_repository_of_ours_is_refused_without_a_call() {
    let (fake, forge) = github().await;
    for name in ["", "widgets", "flint-demo/..", "flint-demo/a/b", "somebody/else", "../../app"] {
        let repository = name.to_owned();
        let question = Question::Jobs { repository: repository.clone() };
        let answer = forge.ask(question, now()).await.expect("it is an answer");
        let (told, why) = failure(&answer);
        assert_eq!(told, AskFailure::Refused);
        assert!(why.starts_with(&format!("cannot ask about the repository `{name}`: ")), "{why}");
        let question = Question::Job { job: JobKey { id: 1, attempt: 1 }, repository };
        let answer = forge.ask(question, now()).await.expect("it is an answer");
        assert_eq!(failure(&answer).0, AskFailure::Refused);
    }
    assert_eq!(fake.counters().calls.values().sum::<u64>(), 0);
}

/// A store that was lost leaves runners behind that nobody owns.
#[tokio::test]
async fn a_hundred_strays_among_a_thousand_runners_are_removed_within_githubs_limits() {
    let (fake, forge) = github().await;
    let profile = ProfileId::new("default").expect("it is a name");
    fake.add_runners((0..900).map(|n| format!("other-{n}")));
    let name = |vm| RunnerName::of(VmId(vm), &profile, "k3x9q2", 1).as_str().to_owned();
    fake.add_runners((0..100).map(name));
    let answer = forge.ask(Question::Runners { scope: scope() }, now()).await;
    let told = answer.expect("GitHub answers").told;
    let Some(ForgeEvent::Runners { registered, .. }) = told.last().map(|told| &told.event) else {
        panic!("{told:?}")
    };
    assert_eq!(registered.len(), 100);

    // As many at a time as a plan orders.
    let (forge, mut removing) = (Arc::new(forge), JoinSet::new());
    for first in 0..4 {
        let forge = Arc::clone(&forge);
        removing.spawn(async move {
            for vm in (first..100).step_by(4) {
                let gone = forge.deregister(VmId(vm), scope(), Vec::new()).await;
                assert_eq!(gone.expect("GitHub answers"), Removal::Gone);
            }
        });
    }
    let half = fake.until(|fake| fake.runners().len() <= 952);
    tokio::time::timeout(Duration::from_secs(60), half).await.expect("half of them go at once");
    // The rest takes turns, and leaves half of a minute's points to registrations.
    let more = fake.until(|fake| fake.runners().len() <= 940);
    tokio::time::timeout(Duration::from_secs(2), more).await.expect_err("it takes its time");
    let counters = fake.counters();
    assert!(counters.most_points <= 350, "{counters:?}");
    assert_eq!(counters.calls("list-runners"), 22, "two readings, before the first removal");
    assert!(counters.refused.is_empty(), "{counters:?}");
}

#[tokio::test]
async fn a_stray_that_came_after_the_last_list_is_looked_for() {
    let (fake, forge) = github().await;
    let question = || Question::Runners { scope: scope() };
    forge.ask(question(), now()).await.expect("GitHub answers");
    let profile = ProfileId::new("default").expect("it is a name");
    let name = RunnerName::of(VmId(7), &profile, "k3x9q2", 2);
    fake.add_runners([name.as_str().to_owned()]);
    for _ in 0..2 {
        let gone = forge.deregister(VmId(7), scope(), Vec::new()).await;
        assert_eq!(gone.expect("GitHub answers"), Removal::Gone);
        assert!(fake.runners().is_empty());
    }
}
