//! Several scopes at GitHub: each call goes where its scope is, on the budget of whose calls count, over loopback.

use flint::forge::{
    Answer, Credentials, Error, Forge as _, Options, Removal, Request, RunnerGroup, Runners, Scope,
    WebhookAuth,
};
use flint_core::ask::{AskFailure, Question};
use flint_core::event::{ForgeEvent, RegisterFailure};
use flint_core::id::{InstallationId, ProfileId, RunnerName, ScopeId, VmId};
use flint_core::units::Timestamp;
use flint_sim::github::{Config, FakeGithub, HookFault, Webhook, generate_pem};
use flint_wire::Secret;
use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::net::TcpListener;

const JOB: &str = "jobs: { test: { runs-on: [self-hosted, flint], steps: [{ run: 'true' }] } }";
/// Nobody listens at loopback's port of `discard`.
const NOWHERE: &str = "http://127.0.0.1:9/";

fn pem() -> &'static str {
    static PEM: OnceLock<String> = OnceLock::new();
    PEM.get_or_init(|| generate_pem().expect("openssl is a test's requirement"))
}

async fn github(organization: &str) -> FakeGithub {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
    let mut config = Config::new(pem().to_owned());
    organization.clone_into(&mut config.organization);
    config.webhook = Some(Webhook { url: NOWHERE.to_owned(), secret: "secret".to_owned() });
    FakeGithub::start(listener, config).await.expect("it starts")
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970");
    Timestamp(u64::try_from(since.as_millis()).expect("it is before the year 500,000,000"))
}

fn organization(login: &str) -> Scope {
    Scope::Organization(login.to_owned())
}

fn repository(owner: &str, name: &str) -> Scope {
    Scope::Repository { owner: owner.to_owned(), name: name.to_owned() }
}

fn app() -> Credentials {
    Credentials::App { id: "123456".to_owned(), private_key: Secret::new(pem().to_owned()) }
}

/// One entry of the configuration.
fn entry(github: &FakeGithub, credentials: &Credentials, scopes: &[Scope]) -> Vec<Options> {
    let options = |scope: &Scope| Options {
        api_url: github.url().to_owned(),
        ca_certificates: None,
        scope: scope.clone(),
        credentials: credentials.clone(),
        webhook: WebhookAuth::Insecure,
        runner_group: RunnerGroup::Number(1),
    };
    scopes.iter().map(options).collect()
}

fn request(vm: u64, scope: &ScopeId) -> Request {
    let profile = ProfileId::new("default").expect("it is a name");
    let name = RunnerName::of(VmId(vm), &profile, "k3x9q2", 1);
    let labels = ["self-hosted", "flint"].map(str::to_owned).into();
    Request { name, vm: VmId(vm), profile, scope: scope.clone(), labels }
}

async fn listed(runners: &Runners, scope: &ScopeId) -> BTreeSet<VmId> {
    let answer = runners.ask(Question::Runners { scope: scope.clone() }, Timestamp(1)).await;
    match &answer.expect("GitHub answers").told.last().expect("a fact closes it").event {
        ForgeEvent::Runners { registered, scope: at, .. } if at == scope => registered.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_runner_is_registered_listed_and_removed_where_its_job_is() {
    let (acme, beta) = (github("acme").await, github("beta").await);
    let entries = [
        entry(&acme, &app(), &[organization("acme")]),
        entry(&beta, &app(), &[organization("beta")]),
    ];
    let runners = Runners::new(&entries, "k3x9q2").expect("the options are good");
    let [in_acme, in_beta] = ["acme", "beta"].map(ScopeId::organization);
    for (vm, scope) in [(1, &in_acme), (2, &in_beta), (3, &in_beta)] {
        assert!(runners.register(request(vm, scope)).await.is_ok());
    }
    assert_eq!((acme.runners().len(), beta.runners().len()), (1, 2));
    assert_eq!(listed(&runners, &in_acme).await, [VmId(1)].into());
    assert_eq!(listed(&runners, &in_beta).await, [VmId(2), VmId(3)].into());
    // By its name, and by what the list of the scope shows.
    let gone = runners.deregister(VmId(2), in_beta.clone(), vec![request(2, &in_beta).name]).await;
    assert_eq!(gone.expect("GitHub answers"), Removal::Gone);
    let gone = runners.deregister(VmId(3), in_beta.clone(), Vec::new()).await;
    assert_eq!(gone.expect("GitHub answers"), Removal::Gone);
    assert_eq!((acme.runners().len(), beta.runners().len()), (1, 0));
}

#[tokio::test]
async fn repositories_of_one_account_share_one_token_and_one_budget() {
    let github = github("me").await;
    github.add_repository("gadgets");
    let scopes = [repository("me", "widgets"), repository("Me", "gadgets")];
    let entries = [entry(&github, &app(), &scopes)];
    let runners = Runners::new(&entries, "k3x9q2").expect("the options are good");
    let me = InstallationId::new("me");
    let served = runners.scopes();
    assert_eq!(
        served.keys().map(ScopeId::as_str).collect::<Vec<_>>(),
        ["me/gadgets", "me/widgets"]
    );
    assert!(served.values().all(|installation| *installation == me), "{served:?}");
    assert_eq!(runners.readers(), [me.clone()].into());
    for (vm, scope) in (1..).zip(served.keys()) {
        assert!(runners.register(request(vm, scope)).await.is_ok());
        assert_eq!(listed(&runners, scope).await, [VmId(vm)].into());
    }
    assert_eq!(github.tokens(), 1, "one installation needs one token");
    let scope = ScopeId::repository("me", "widgets");
    let answer = runners.ask(Question::Runners { scope }, Timestamp(1)).await;
    let Answer { quota, .. } = answer.expect("GitHub answers");
    assert_eq!(quota.map(|(of, _)| of), Some(me));
}

#[tokio::test]
async fn one_apps_failed_deliveries_tell_of_all_its_scopes_and_of_no_other() {
    let github = github("me").await;
    ["gadgets", "others"].iter().for_each(|name| github.add_repository(name));
    let scopes = [repository("me", "widgets"), repository("me", "gadgets")];
    let entries = [entry(&github, &app(), &scopes)];
    let runners = Runners::new(&entries, "k3x9q2").expect("the options are good");
    github.hook_fault(HookFault::Fail, 3);
    for name in ["widgets", "gadgets", "others"] {
        github.queue_in(name, JOB).expect("the workflow is one");
    }
    github.until(|github| github.delivered() == 3).await;
    let installation = InstallationId::new("me");
    let question = Question::Deliveries { installation: installation.clone(), since: Timestamp(0) };
    let answer = runners.ask(question, Timestamp(u64::MAX / 2)).await.expect("GitHub answers");
    let queued = answer.told.iter().filter_map(|told| match &told.event {
        ForgeEvent::JobQueued { request, .. } => Some(request.repository.as_str()),
        _ => None,
    });
    let told: BTreeSet<&str> = queued.collect();
    assert_eq!(told, ["me/gadgets", "me/widgets"].into());
    let last = answer.told.last().map(|told| &told.event);
    assert!(
        matches!(last, Some(ForgeEvent::DeliveriesRead { installation: of, .. }) if *of == installation),
        "{last:?}"
    );
}

#[tokio::test]
async fn a_persons_scopes_are_one_budget_and_nobody_reads_deliveries_for_them() {
    let (acme, beta) = (github("acme").await, github("beta").await);
    let token = Credentials::Token(Secret::new(acme.personal_token()));
    let mut all = entry(&acme, &token, &[organization("acme"), repository("ana", "site")]);
    all.extend(entry(&acme, &token, &[Scope::Enterprise("big".to_owned())]));
    let entries = [all, entry(&beta, &app(), &[organization("beta")])];
    let runners = Runners::new(&entries, "k3x9q2").expect("the options are good");
    let of = |id: &ScopeId| runners.scopes()[id].clone();
    for scope in [ScopeId::organization("acme"), ScopeId::repository("ana", "site")] {
        assert_eq!(of(&scope), InstallationId::new("acme"));
    }
    assert_eq!(of(&ScopeId::enterprise("big")), InstallationId::new("acme"));
    assert_eq!(runners.readers(), [InstallationId::new("beta")].into());
    let in_acme = ScopeId::organization("acme");
    assert!(runners.register(request(1, &in_acme)).await.is_ok());
    assert_eq!(acme.runners().len(), 1);
}

/// GitHub answers 403 to a person who asks what an installation was given.
#[tokio::test]
async fn a_person_reads_an_organizations_active_repositories_from_its_own_list() {
    let acme = github("acme").await;
    (0..149).for_each(|n| acme.add_repository(&format!("r{n}")));
    let week = Duration::from_secs(7 * 24 * 3_600);
    // In a person's list those pushed to last come first: a page without any is the last one read.
    let person = Credentials::Token(Secret::new(acme.personal_token()));
    for (credentials, calls_until_now) in [(person, 2 + 1), (app(), 3 + 4)] {
        let entries = [entry(&acme, &credentials, &[organization("acme")])];
        let runners = Runners::new(&entries, "k3x9q2").expect("the options are good");
        for (asked, most) in [(now(), 150), (now().after(2 * week), 0)] {
            let question = Question::Repositories { scope: ScopeId::organization("acme") };
            let answer = runners.ask(question, asked).await.expect("GitHub answers");
            let last = answer.told.last().map(|told| &told.event);
            let Some(ForgeEvent::RepositoriesListed { active, .. }) = last else {
                panic!("{last:?}")
            };
            assert_eq!(active.len(), most);
        }
        assert_eq!(acme.counters().calls("list-repositories"), calls_until_now);
    }
}

#[tokio::test]
async fn what_left_the_configuration_is_refused_with_words() {
    let acme = github("acme").await;
    let entries = [entry(&acme, &app(), &[organization("acme")])];
    let runners = Runners::new(&entries, "k3x9q2").expect("the options are good");
    let former = ScopeId::organization("former");
    let error = runners.deregister(VmId(1), former.clone(), Vec::new()).await.expect_err("it left");
    assert_eq!(error.to_string(), "cannot ask GitHub about `former`: `[github]` does not name it");
    assert!(error.help().is_some());
    let Err(error) = runners.register(request(1, &former)).await else { panic!("it left") };
    assert_eq!(error.failure(), RegisterFailure::Refused);
    let repository = "former/site".to_owned();
    let error = runners.ask(Question::Jobs { repository }, Timestamp(1)).await;
    let error: Error = error.expect_err("it is of no scope");
    assert_eq!(error.ask_failure(), AskFailure::Refused);
    assert_eq!(acme.counters().calls.values().sum::<u64>(), 0, "nobody was asked");
}
