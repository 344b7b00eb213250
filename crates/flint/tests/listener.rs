//! Who listens to a scale set, against a GitHub that has them: each thing that goes wrong heals by itself.

use flint::daemon::clock::Clock;
use flint::daemon::door::{Door, Knock, View};
use flint::daemon::listener::Listener;
use flint::daemon::rows;
use flint::forge::caller::Caller;
use flint::forge::scale_set::{ProfileSet, ScaleSets, Wanted};
use flint::forge::{Credentials, Options, RunnerGroup, Scope, WebhookAuth};
use flint_core::event::{Event, ForgeEvent};
use flint_core::fold::fold;
use flint_core::host::Host;
use flint_core::id::{HostId, InstallationId, JobKey, ProfileId, RunnerName, ScopeId, VmId};
use flint_core::job::JobState;
use flint_core::plan::{Waits, why};
use flint_core::policy::Admits;
use flint_core::profile::{Profile, Timeouts};
use flint_core::scale_set::{SetEvent, Source};
use flint_core::units::{MiB, Resources, Timestamp};
use flint_core::world::World;
use flint_sim::github::{Clock as Times, Config, FakeGithub, FaultKind, generate_pem};
use flint_wire::Secret;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

const INSTANCE: &str = "k3x9q2";
const ONE: &str = "jobs: {a: {runs-on: linux-4cpu, steps: []}}";

/// Waiting costs nothing but the time it shows.
struct Hasty(AtomicU64);

impl Clock for Hasty {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    async fn sleep_until(&self, at: Timestamp) {
        self.0.fetch_max(at.0, Ordering::SeqCst);
        tokio::task::yield_now().await;
    }
}

/// The daemon around a listener: it folds and commits by hand.
struct Room {
    fake: FakeGithub,
    clock: Arc<Hasty>,
    world: World,
    door: Door,
    inside: mpsc::Receiver<Knock>,
    window: watch::Sender<View>,
    listener: Option<(JoinHandle<()>, oneshot::Sender<()>)>,
}

fn pem() -> &'static str {
    static PEM: OnceLock<String> = OnceLock::new();
    PEM.get_or_init(|| generate_pem().expect("openssl is a test's requirement"))
}

fn profile_id() -> ProfileId {
    ProfileId::new("default").expect("it is a name")
}

fn started() -> Event {
    let minute = Duration::from_secs(60);
    let shape = Resources { vcpus: 1, memory: MiB(1_024), disk: MiB(1_024) };
    let profile = Profile {
        scope: Some(ScopeId::organization("flint-demo")),
        source: Source::ScaleSet,
        labels: ["linux-4cpu".to_owned()].into(),
        shape,
        warm: 0,
        max: 2,
        priority: 0,
        admits: Admits::default(),
        repositories: flint_core::policy::Repositories::default(),
        timeouts: Timeouts { boot: minute, register: minute, idle: minute, job: minute },
        sizes: None,
        made_of: None,
    };
    let now = Timestamp(0);
    let host = Host { capacity: shape, slots: 2, draining: false, seen: now, scan_at: now };
    Event::Started {
        profiles: BTreeMap::from([(profile_id(), profile)]),
        hosts: BTreeMap::from([(HostId(0), host)]),
        limits: flint_core::limits::Limits::default(),
        scopes: [(ScopeId::organization("flint-demo"), InstallationId::new("flint-demo"))].into(),
        readers: Default::default(),
    }
}

impl Room {
    async fn with(change: impl FnOnce(&mut Config)) -> Room {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a port");
        let mut config = Config::new(pem().to_owned());
        change(&mut config);
        let fake = FakeGithub::start(listener, config).await.expect("it starts");
        let (door, inside) = Door::new();
        let (window, _) = watch::channel(View::default());
        let world = World { instance: INSTANCE.to_owned(), ..World::default() };
        let clock = Arc::new(Hasty(AtomicU64::new(1_000)));
        let mut room = Room { fake, clock, world, door, inside, window, listener: None };
        room.fold(vec![started()]);
        room
    }

    async fn new() -> Room {
        Room::with(|_| {}).await
    }

    /// One with a listener that has its session.
    async fn listening() -> Room {
        let mut room = Room::new().await;
        room.listen();
        room.until(counted).await;
        room
    }

    fn set(&self) -> Arc<ProfileSet> {
        let private_key = Secret::new(pem().to_owned());
        self.set_of(Credentials::App { id: "123456".to_owned(), private_key })
    }

    fn set_of(&self, credentials: Credentials) -> Arc<ProfileSet> {
        let scope = Scope::Organization("flint-demo".to_owned());
        let options = Options {
            api_url: self.fake.url().to_owned(),
            ca_certificates: None,
            scope: scope.clone(),
            credentials,
            webhook: WebhookAuth::Refused,
            runner_group: RunnerGroup::Number(1),
        };
        let caller = Caller::new(&options).expect("the options are good");
        let sets = ScaleSets::new(Arc::new(caller), scope);
        let sets = Arc::new(sets.expect("a client can be made"));
        let (name, group) = ("flint".to_owned(), RunnerGroup::Number(1));
        Arc::new(ProfileSet::new(
            sets,
            Wanted { name, group, labels: ["linux-4cpu".to_owned()].into() },
        ))
    }

    fn listen(&mut self) {
        self.listen_to(self.set());
    }

    fn listen_to(&mut self, set: Arc<ProfileSet>) {
        let (stop, stopped) = oneshot::channel();
        let listener = Listener {
            set,
            profile: profile_id(),
            owner: "flint-test".to_owned(),
            door: self.door.clone(),
            window: self.window.subscribe(),
            clock: Arc::clone(&self.clock),
        };
        let task = tokio::spawn(listener.run(async move { drop(stopped.await) }));
        self.listener = Some((task, stop));
    }

    /// As a crash: nothing is closed.
    async fn crash(&mut self) {
        let (task, _stop) = self.listener.take().expect("it listens");
        task.abort();
        assert!(task.await.expect_err("it was ended").is_cancelled());
    }

    async fn stop(&mut self) {
        let (task, stop) = self.listener.take().expect("it listens");
        stop.send(()).expect("it listens still");
        task.await.expect("it ends well");
    }

    fn fold(&mut self, events: Vec<Event>) {
        for event in events {
            drop(fold(&mut self.world, self.clock.now(), event));
        }
        let view = View { world: Arc::new(self.world.clone()), stored: true, ..View::default() };
        self.window.send_replace(view);
    }

    /// The next facts, not yet on disk.
    async fn knock(&mut self) -> (Vec<Event>, Option<oneshot::Sender<()>>) {
        match self.inside.recv().await {
            Some(Knock::Facts { events, kept, .. }) => (events, kept),
            _ => panic!("a listener tells facts"),
        }
    }

    /// The next facts, committed.
    async fn told(&mut self) -> Vec<SetEvent> {
        let (events, kept) = self.knock().await;
        self.fold(events.clone());
        // The listener may have been ended meanwhile.
        let _heard = kept.map(|kept| kept.send(()));
        let of_set = events.into_iter().filter_map(|event| match event {
            Event::Forge(ForgeEvent::ScaleSet { said, .. }) => Some(said),
            _ => None,
        });
        of_set.collect()
    }

    async fn until(&mut self, holds: impl Fn(&World) -> bool) -> Vec<SetEvent> {
        let mut all = Vec::new();
        while !holds(&self.world) {
            all.extend(self.told().await);
        }
        all
    }

    /// One job is heard of, and all is well.
    async fn healed(&mut self) {
        let known = |room: &Room| room.world.jobs.len() == 1 && room.trouble().is_none();
        while !known(self) || !self.fake.sets()[0].unacknowledged.is_empty() {
            drop(tokio::time::timeout(Duration::from_millis(20), self.told()).await);
        }
    }

    /// Whether the host begins nothing new.
    fn drain(&mut self, draining: bool) {
        self.world.hosts.values_mut().for_each(|host| host.draining = draining);
        self.fold(Vec::new());
    }

    fn count(&self) -> Option<u32> {
        self.world.scale_sets[&profile_id()].assigned
    }

    fn trouble(&self) -> Option<&str> {
        self.world.scale_sets[&profile_id()].trouble.as_deref()
    }
}

#[tokio::test]
async fn a_message_is_acknowledged_when_its_facts_are_on_disk_and_not_before() {
    let mut room = Room::listening().await;
    let job = room.fake.queue(ONE).expect("it is a workflow")[0];
    let (events, kept) = room.knock().await;
    let [Event::Forge(ForgeEvent::JobQueued { request, .. }), count] = &events[..] else {
        panic!("the job, and then the count: {events:?}")
    };
    assert_eq!(
        (request.workflow.as_str(), request.scale_set.as_ref()),
        ("ci.yml", Some(&profile_id()))
    );
    assert_eq!(request.origin.fork, Some(false), "it was a push");
    assert!(matches!(
        count,
        Event::Forge(ForgeEvent::ScaleSet { said: SetEvent::Counted { assigned: 1 }, .. })
    ));
    assert_eq!(room.fake.sets()[0].unacknowledged, [1], "the facts are not on disk");
    assert_eq!(room.fake.counters().calls("acknowledge-message"), 0);

    // The daemon dies here: the next one is told again, and at once, for it ends the session that was left.
    room.crash().await;
    drop((events, kept));
    room.listen();
    room.until(|world| world.jobs.len() == 1).await;
    room.fake.until(|fake| fake.sets()[0].unacknowledged.is_empty()).await;
    assert_eq!(room.trouble(), None);

    let runner = RunnerName::of(VmId(1), &profile_id(), INSTANCE, 1);
    let made = room.set();
    let error = made.jit(&runner).await.err().expect("it has not been opened");
    assert_eq!(error.slug(), "scale-set-session-gone");
    assert_eq!(room.fake.job(job).expect("it is there").status, "queued");
}

#[tokio::test]
async fn a_job_is_followed_to_its_end() {
    let mut room = Room::listening().await;
    let job = room.fake.queue(ONE).expect("it is a workflow")[0];
    room.until(|world| world.jobs.len() == 1).await;
    let set = room.fake.sets()[0].clone();
    assert_eq!((set.name.as_str(), set.capacity), ("flint", 2));
    assert_eq!(set.owner.as_deref(), Some("flint-test"));

    // The listener's own set would register; this one is another's, and only the REST API's name counts here.
    let runner = RunnerName::of(VmId(1), &profile_id(), INSTANCE, 1);
    let theirs = room.set();
    let known = theirs.sets().ensure(&wanted()).await.expect("it is there");
    theirs.sets().jit(&known, &runner).await.expect("the name is free");
    assert_eq!(room.fake.begin_job(runner.as_str()), Some(job));
    let running =
        |world: &World| world.jobs.values().all(|job| job.state == JobState::Running(VmId(1)));
    room.until(running).await;
    room.fake.end_job(job, "success");
    room.until(|world| world.jobs.is_empty()).await;
    assert_eq!((room.count(), room.world.finished.len()), (Some(0), 1));

    let other = room.fake.queue(ONE).expect("it is a workflow")[0];
    room.until(|world| world.jobs.len() == 1).await;
    assert!(room.fake.cancel(other));
    room.until(|world| world.jobs.is_empty()).await;
    assert_eq!(room.world.finished.len(), 1, "GitHub may give it again");
}

fn counted(world: &World) -> bool {
    world.scale_sets.get(&profile_id()).is_some_and(|set| set.assigned.is_some())
}

fn wanted() -> Wanted {
    let labels = ["linux-4cpu".to_owned()].into();
    Wanted { name: "flint".to_owned(), group: RunnerGroup::Number(1), labels }
}

#[tokio::test]
async fn the_end_closes_the_session_and_keeps_the_set() {
    let mut room = Room::listening().await;
    room.stop().await;
    let sets = room.fake.sets();
    assert_eq!((sets.len(), sets[0].owner.as_ref()), (1, None));
}

#[tokio::test]
async fn a_session_that_somebody_else_holds_is_awaited_and_said() {
    let mut room = Room::new().await;
    let theirs = room.set();
    let session = theirs.open("another", None).await.expect("nobody holds it");
    room.listen();
    room.until(|world| world.scale_sets.get(&profile_id()).is_some_and(|s| s.trouble.is_some()))
        .await;
    let why = room.trouble().unwrap_or_default();
    assert!(why.contains("somebody else holds the session"), "{why}");
    assert!(
        why.contains("; if another Flint or Actions Runner Controller serves `flint`"),
        "{why}"
    );
    theirs.sets().close(&session).await.expect("it is theirs");
    room.until(|world| world.scale_sets[&profile_id()].trouble.is_none()).await;
    assert_eq!(room.fake.sets()[0].owner.as_deref(), Some("flint-test"));
}

#[tokio::test]
async fn a_set_that_somebody_deleted_is_made_anew() {
    let mut room = Room::listening().await;
    let before = room.fake.sets()[0].id;
    assert!(room.fake.delete_scale_set("flint"));
    let anew = move |world: &World| {
        let session = world.scale_sets[&profile_id()].session.as_ref();
        session.is_some_and(|session| session.set != before)
    };
    room.until(anew).await;
    assert_eq!(room.fake.sets()[0].labels, ["flint", "linux-4cpu"]);
}

#[tokio::test]
async fn a_session_that_github_ended_is_opened_anew_and_nothing_is_lost() {
    let mut room = Room::listening().await;
    assert!(room.fake.expire_session("flint"));
    let _job = room.fake.queue(ONE).expect("it is a workflow")[0];
    room.until(|world| world.jobs.len() == 1).await;
    assert_eq!(room.count(), Some(1));
}

#[tokio::test]
async fn tokens_that_end_cost_nothing() {
    let mut room = Room::listening().await;
    room.fake.expire_queue_tokens();
    room.fake.expire_service_tokens();
    let _job = room.fake.queue(ONE).expect("it is a workflow")[0];
    let told = room.until(|world| world.jobs.len() == 1).await;
    assert_eq!(told, [SetEvent::Counted { assigned: 1 }]);
}

#[tokio::test]
async fn an_hour_without_github_is_survived_with_few_calls() {
    let mut room = Room::listening().await;
    let before = room.clock.now();
    let failures = 70;
    room.fake.fault("poll-queue", failures, FaultKind::status(503, "unicorn"));
    let _job = room.fake.queue(ONE).expect("it is a workflow")[0];
    let told = room.until(|world| world.jobs.len() == 1).await;
    assert!(room.clock.now().since(before) >= Duration::from_secs(3_600));
    let lost = told.iter().filter(|said| matches!(said, SetEvent::Lost { .. })).count();
    assert_eq!(lost, 1, "the same trouble is told once: {told:?}");
    room.until(|world| world.scale_sets[&profile_id()].trouble.is_none()).await;
    assert_eq!(room.fake.counters().calls("open-session"), 1, "the session is still ours");
}

#[tokio::test]
async fn a_message_that_cannot_be_read_is_passed_over_and_told() {
    let mut room = Room::listening().await;
    room.fake.fault("poll-queue", 3, FaultKind::says("/body", json!("<html>")));
    let _job = room.fake.queue(ONE).expect("it is a workflow")[0];
    let passed = |world: &World| world.scale_sets[&profile_id()].passed_over.is_some();
    room.until(passed).await;
    let why = room.world.scale_sets[&profile_id()].passed_over.clone().unwrap_or_default();
    assert!(why.starts_with("message 1: ") && why.contains("<html>"), "{why}");
    assert_eq!((room.count(), room.world.jobs.len()), (Some(1), 0));
    assert_eq!(room.world.unnamed_jobs(&profile_id()), 1, "it is served all the same");
    room.fake.until(|fake| fake.sets()[0].unacknowledged.is_empty()).await;
}

#[tokio::test]
async fn a_part_of_a_message_that_cannot_be_read_is_kept_and_told_and_the_rest_is_heard() {
    let mut room = Room::listening().await;
    let odd = json!({ "messageType": "JobDreamt\u{202e}", "why": "x".repeat(1000) });
    let end = json!({ "messageType": "JobStarted", "jobId": "9f2c-1", "runnerId": 9, "runnerName": "else" });
    let body = json!(json!([odd, end]).to_string());
    room.fake.fault("poll-queue", 1, FaultKind::says("/body", body));
    let _job = room.fake.queue(ONE).expect("it is a workflow")[0];
    room.until(|world| world.scale_sets[&profile_id()].passed_over.is_some()).await;
    let why = room.world.scale_sets[&profile_id()].passed_over.clone().unwrap_or_default();
    let begin = r#"message 1: 1 of its 2 parts cannot be read: {"messageType":"JobDreamt\u{202e}","why":"xx"#;
    assert!(why.starts_with(begin) && why.ends_with(r#"xx"}"#), "{why}");
    assert_eq!((room.count(), room.trouble()), (Some(1), None));
    room.fake.until(|fake| fake.sets()[0].unacknowledged.is_empty()).await;
}

#[tokio::test]
async fn a_message_that_can_be_read_at_last_loses_nothing() {
    let mut room = Room::listening().await;
    room.fake.fault("poll-queue", 2, FaultKind::Garbage);
    let _job = room.fake.queue(ONE).expect("it is a workflow")[0];
    room.until(|world| world.jobs.len() == 1).await;
    assert_eq!(room.world.scale_sets[&profile_id()].passed_over, None);
}

#[tokio::test]
async fn an_acknowledgement_that_fails_repeats_the_message_and_changes_nothing() {
    let mut room = Room::listening().await;
    room.fake.fault("acknowledge-message", 2, FaultKind::status(500, "no"));
    let _job = room.fake.queue(ONE).expect("it is a workflow")[0];
    room.until(|world| world.jobs.len() == 1).await;
    let job = room.world.jobs.values().next().cloned();
    room.until(|world| world.scale_sets[&profile_id()].trouble.is_some()).await;
    room.until(|world| world.scale_sets[&profile_id()].trouble.is_none()).await;
    room.fake.until(|fake| fake.sets()[0].unacknowledged.is_empty()).await;
    assert_eq!((room.world.jobs.len(), room.world.jobs.values().next().cloned()), (1, job));
}

#[tokio::test]
async fn a_count_that_was_lost_is_asked_for_when_nothing_happens() {
    // A poll that finds nothing is answered at once.
    let mut room = Room::with(|config| config.poll = Duration::ZERO).await;
    room.fake.fault("open-session", 1, FaultKind::says("/statistics", json!(null)));
    room.listen();
    let told = room.until(counted).await;
    assert!(
        matches!(&told[..], [SetEvent::Opened { .. }, SetEvent::Counted { assigned: 0 }]),
        "{told:?}"
    );
    assert_eq!(room.fake.counters().calls("get-set"), 1);
}

#[tokio::test]
async fn a_server_that_offers_jobs_is_answered_unless_nothing_may_start() {
    let mut room = Room::with(|config| config.offers = true).await;
    room.listen();
    let _job = room.fake.queue(ONE).expect("it is a workflow")[0];
    room.until(|world| world.jobs.len() == 1).await;
    assert_eq!(room.fake.counters().calls("acquire-jobs"), 1);
}

#[tokio::test]
async fn what_comes_with_an_offer_is_heard_once_while_nothing_may_start() {
    let mut room = Room::with(|config| config.offers = true).await;
    room.listen();
    let first = room.fake.queue(ONE).expect("it is a workflow")[0];
    room.until(|world| world.jobs.len() == 1).await;
    let theirs = room.set();
    let known = theirs.sets().ensure(&wanted()).await.expect("it is there");
    let runner = RunnerName::of(VmId(1), &profile_id(), INSTANCE, 1);
    theirs.sets().jit(&known, &runner).await.expect("the name is free");
    assert_eq!(room.fake.begin_job(runner.as_str()), Some(first));

    // While the start is on its way to disk, the end and an offer come into one message.
    let (events, kept) = room.knock().await;
    room.drain(true);
    room.fake.end_job(first, "success");
    let second = room.fake.queue(ONE).expect("it is a workflow")[0];
    room.fold(events);
    kept.expect("it waits").send(()).expect("it listens");
    room.until(|world| world.jobs.is_empty()).await;
    assert_eq!((room.world.finished.len(), room.count()), (1, Some(0)));
    assert_eq!(room.fake.sets()[0].offered, [second], "others may have it");

    // It comes again and again, and tells nothing twice; what it holds up, GitHub is asked about.
    let claims = room.fake.counters().calls("acquire-jobs");
    for _ in 0..3 {
        assert_eq!(room.told().await, [SetEvent::Counted { assigned: 0 }]);
    }
    assert_eq!(room.fake.counters().calls("get-set"), 3);
    assert_eq!(room.fake.counters().calls("acquire-jobs"), claims);
    assert_eq!(room.fake.sets()[0].unacknowledged.len(), 1);

    room.drain(false);
    room.until(|world| world.jobs.len() == 1).await;
    assert_eq!(
        (room.fake.sets()[0].assigned.clone(), room.world.finished.len()),
        (vec![second], 1)
    );
    room.fake.until(|fake| fake.sets()[0].unacknowledged.is_empty()).await;
}

#[tokio::test]
async fn whatever_github_answers_to_whichever_call_heals_by_itself() {
    // As often as the call and its repetition with a new token, twice.
    let times = 4;
    for (route, is_open) in [
        ("registration-token", false),
        ("runner-registration", false),
        ("find-set", false),
        ("create-set", false),
        ("open-session", false),
        ("poll-queue", true),
        ("refresh-session", true),
        ("acknowledge-message", true),
    ] {
        for status in [401, 403, 404, 409, 410, 500] {
            let mut room = if is_open { Room::listening().await } else { Room::new().await };
            room.fake.fault(route, times, FaultKind::status(status, "no"));
            if is_open {
                room.fake.expire_queue_tokens();
            } else {
                room.listen();
                room.until(counted).await;
            }
            let _job = room.fake.queue(ONE).expect("it is a workflow")[0];
            let healed = tokio::time::timeout(Duration::from_secs(20), room.healed()).await;
            assert!(healed.is_ok(), "{route} {status}: {:?}", room.trouble());
        }
    }
}

#[tokio::test]
async fn a_session_of_ours_whose_number_was_lost_is_awaited_ever_more_patiently() {
    let times = Times::manual();
    let clock = times.clone();
    let mut room = Room::with(|config| config.clock = clock).await;
    // An earlier life opened it, and died before that was on disk.
    drop(room.set().open("flint-test", None).await.expect("nobody holds it"));
    let since = room.clock.now();
    room.listen();
    room.until(|world| world.scale_sets.contains_key(&profile_id())).await;
    assert!(
        room.trouble().is_some_and(|why| why.contains("for flint-test")),
        "{:?}",
        room.trouble()
    );

    let tries = |fake: &FakeGithub| fake.counters().calls("open-session") - 1;
    room.fake.until(|fake| tries(fake) >= 4).await;
    assert!(room.clock.now().since(since) <= Duration::from_secs(60), "the first ones come soon");
    room.fake.until(|fake| tries(fake) >= 20).await;
    let (asked, waited) =
        (u32::try_from(tries(&room.fake)).expect("few"), room.clock.now().since(since));
    let minutes = Duration::from_secs(60) * (asked - 8);
    assert!(
        waited >= minutes && waited <= Duration::from_secs(60) * asked,
        "{asked} in {waited:?}"
    );

    // GitHub drops the old one in the end.
    room.fake.advance(Duration::from_secs(301));
    room.until(counted).await;
    assert_eq!((room.trouble(), room.fake.sets()[0].owner.as_deref()), (None, Some("flint-test")));
}

#[tokio::test]
async fn a_few_refusals_are_tried_again_soon_and_keep_the_session() {
    for (refusals, opened) in [(3, 1), (4, 2)] {
        let mut room = Room::listening().await;
        let since = room.clock.now();
        room.fake.fault("poll-queue", refusals, FaultKind::status(403, "not yet"));
        let _job = room.fake.queue(ONE).expect("it is a workflow")[0];
        room.until(|world| world.jobs.len() == 1).await;
        let waited = room.clock.now().since(since);
        assert_eq!(waited >= Duration::from_secs(5 * 60), opened == 2, "{refusals}: {waited:?}");
        assert_eq!(room.fake.counters().calls("open-session"), opened);
    }

    // At the start, too: GitHub's own client knows it of just this call.
    let mut room = Room::new().await;
    let since = room.clock.now();
    room.fake.fault("runner-registration", 3, FaultKind::status(403, "not yet"));
    room.listen();
    room.until(counted).await;
    let waited = room.clock.now().since(since);
    assert!(waited <= Duration::from_secs(10), "{waited:?}");
}

#[tokio::test]
async fn a_persons_token_that_ends_in_the_middle_of_a_poll_is_said() {
    let mut room = Room::new().await;
    let token = Credentials::Token(Secret::new(room.fake.personal_token()));
    room.listen_to(room.set_of(token));
    room.until(counted).await;
    room.fake.revoke_tokens();
    room.fake.expire_queue_tokens();
    room.fake.expire_service_tokens();
    room.until(|world| world.scale_sets[&profile_id()].trouble.is_some()).await;
    let why = room.trouble().unwrap_or_default();
    assert!(why.contains("personal access token") && why.contains("refused"), "{why}");
    assert!(why.contains("expired"), "what a person can do: {why}");

    // Only a person can make another one, and a restart reads it: GitHub is asked now and then, not in a circle.
    let calls = || room.fake.counters().calls("registration-token");
    let (asked, since) = (calls(), room.clock.now());
    room.fake.until(|fake| fake.counters().calls("registration-token") >= asked + 5).await;
    let tries = u32::try_from(calls() - asked).expect("there are few");
    let waited = room.clock.now().since(since);
    assert!(waited >= Duration::from_secs(5 * 60) * (tries - 1), "{tries} in {waited:?}");
}

#[tokio::test]
async fn a_permission_that_is_missing_is_named_with_its_page_by_why_and_by_status() {
    let mut room = Room::new().await;
    room.fake.fault("registration-token", 1, FaultKind::status(403, "not by integration"));
    room.listen();
    let told = room
        .until(|world| world.scale_sets.get(&profile_id()).is_some_and(|s| s.trouble.is_some()))
        .await;
    assert!(matches!(&told[..], [SetEvent::Lost { .. }]), "{told:?}");
    let status = rows::profiles(&room.world, room.clock.now());
    let status = status[0].scale_set.as_ref().and_then(|set| set.trouble.clone());
    let nobody = JobKey { id: 7, attempt: 1 };
    for shown in [status.unwrap_or_default(), why(&room.world, &Waits::default(), nobody)] {
        assert!(shown.contains("GitHub answered 403: not by integration; give the App"), "{shown}");
        assert!(shown.contains("Organization → Self-hosted runners: write"), "{shown}");
        assert!(shown.contains("/organizations/flint-demo/settings/installations"), "{shown}");
    }
}
