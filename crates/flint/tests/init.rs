//! `flint init` against the fake GitHub: the way through, and everything that can go wrong on it.

#[path = "init/support.rs"]
mod support;

use flint::error::Exit;
use flint::init::{self, Error, Given, Outcome, Person, Wish};
use flint_sim::browser::{Forms, Page};
use flint_sim::github::{FakeGithub, FaultKind};
use rustix::process::{Pid, Signal};
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::Duration;
use support::{are_private, doctor, github, hook, is_good, serves};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// A run of `flint init`, and who sits before it.
struct Run {
    dir: TempDir,
    browser: Forms,
    /// What the terminal shows.
    shown: mpsc::UnboundedReceiver<String>,
    /// The page that it says to open.
    page: String,
    ended: JoinHandle<Result<Outcome, Error>>,
}

fn wish(github: &FakeGithub, config: PathBuf, edit: impl FnOnce(&mut Given)) -> Wish {
    let mut given = Given {
        organization: Some("acme".to_owned()),
        github_url: Some(github.url().to_owned()),
        webhook_url: Some(hook()),
        listen: Some("127.0.0.1:0".to_owned()),
        ..Given::default()
    };
    edit(&mut given);
    Wish::complete(given, config, Person { say: &|_| {}, hear: None }).expect("nothing is missing")
}

impl Run {
    async fn start(github: &FakeGithub, edit: impl FnOnce(&mut Given)) -> Run {
        let dir = tempfile::tempdir().expect("there is a temporary folder");
        let wish = wish(github, dir.path().join("etc/flint.toml"), edit);
        let (say, mut shown) = mpsc::unbounded_channel();
        let ended =
            tokio::spawn(
                async move { init::run(&wish, &|line| drop(say.send(line.to_owned()))).await },
            );
        let page = loop {
            let line = shown.recv().await.expect("it says where the page is");
            if let Some(page) = line.strip_prefix("open ") {
                break page.to_owned();
            }
        };
        Run { dir, browser: Forms::new().expect("it is plain"), shown, page, ended }
    }

    fn etc(&self) -> PathBuf {
        self.dir.path().join("etc")
    }

    fn config(&self) -> PathBuf {
        self.etc().join("flint.toml")
    }

    async fn open(&self, url: impl AsRef<str>) -> Page {
        self.browser.open(url).await.expect("somebody answers")
    }

    async fn submit(&self, page: &Page, changes: &[(&str, &str)]) -> Page {
        self.browser.submit(page, changes).await.expect("somebody answers")
    }

    /// Flint's one click: to GitHub's page, with the manifest.
    async fn ask(&self) -> Page {
        let page = self.open(&self.page).await;
        assert_eq!(page.status, 200, "{}", page.html);
        self.submit(&page, &[]).await
    }

    /// That and "Create GitHub App": back at Flint, and by it at the page to install the App on.
    async fn make(&self) -> Page {
        let page = self.ask().await;
        assert!(page.html.contains("Create GitHub App"), "{}", page.html);
        self.submit(&page, &[]).await
    }

    async fn outcome(self) -> Result<Outcome, Error> {
        self.ended.await.expect("it does not panic")
    }

    /// Ends a run that waits.
    fn give_up(self) {
        self.ended.abort();
    }
}

fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_clicks_lead_from_nothing_to_a_job_that_is_served() {
    let github = github(|_| {}).await;
    let run = Run::start(&github, |_| {}).await;
    let install = run.make().await;
    assert!(install.html.contains("Install"), "{}", install.html);
    are_private(&run.etc());
    let done = run.submit(&install, &[]).await;
    assert!(done.url.as_str().starts_with(&run.page), "it leads back: {}", done.url);
    assert!(done.html.contains("is installed in <strong>acme</strong>"), "{}", done.html);
    let (config, dir) = (run.config(), run.etc());
    let key = std::fs::read_to_string(dir.join("private.pem")).expect("it is there");
    let Run { dir: _kept, mut shown, ended, .. } = run;
    let outcome = ended.await.expect("it does not panic").expect("it ends well");
    assert_eq!(outcome.app, "flint-acme");
    is_good(&config, &[]);
    serves(&github, &config).await;
    while let Some(line) = shown.recv().await {
        assert!(github.secrets().iter().all(|secret| !line.contains(secret)), "{line}");
    }
    assert!(key.contains("PRIVATE KEY-----"));
    let text = std::fs::read_to_string(&config).expect("it is there");
    assert!(github.secrets().iter().all(|secret| !text.contains(secret)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_app_without_a_webhook_is_made_with_it_off_and_a_secret_in_store() {
    let github = github(|_| {}).await;
    let run = Run::start(&github, |given| given.webhook_url = None).await;
    let install = run.make().await;
    run.submit(&install, &[]).await;
    let (config, secret) = (run.config(), run.etc().join("webhook-secret"));
    let Run { dir: _kept, ended, .. } = run;
    ended.await.expect("it does not panic").expect("it ends well");
    assert_eq!(std::fs::read_to_string(secret).expect("it is there").len(), 64);
    is_good(&config, &["scale sets"]);
    let text = std::fs::read_to_string(&config).expect("it is there");
    assert!(text.contains("source = \"scale-set\""), "{text}");
}

#[tokio::test]
async fn an_answer_with_a_forged_state_or_none_makes_nothing() {
    let github = github(|_| {}).await;
    let run = Run::start(&github, |_| {}).await;
    for query in ["?code=c0de", "?code=c0de&state=0000", "?state=0000"] {
        let page = run.open(format!("{}made{query}", run.page)).await;
        assert_eq!(page.status, 403, "{}", page.html);
    }
    assert_eq!(github.counters().calls("conversion"), 0);
    assert!(!exists(&run.config()));
    // Nor does a wrong key, or anything but a look.
    let other = format!("{}0/", run.page.trim_end_matches('/'));
    assert_eq!(run.open(other).await.status, 404);
    let page = run.open(&run.page).await;
    assert_eq!(run.browser.post(&page.url, &[]).await.expect("somebody answers").status, 405);
    run.give_up();
}

#[tokio::test]
async fn a_code_that_somebody_else_used_ends_nothing_and_the_next_one_is_good() {
    let github = github(|_| {}).await;
    let run = Run::start(&github, |_| {}).await;
    let refused = FaultKind::Status {
        status: 404,
        message: "Not Found".to_owned(),
        headers: [].into(),
        error_kind: String::new(),
    };
    github.fault("conversion", 1, refused);
    let page = run.make().await;
    assert_eq!(page.status, 410);
    assert!(page.html.contains("used already"), "{}", page.html);
    assert!(!exists(&run.config()));
    // The name is taken now: GitHub says so on its own page, where another one is typed.
    let page = run.ask().await;
    let taken = run.submit(&page, &[]).await;
    assert_eq!(taken.status, 422);
    assert!(taken.html.contains("already in use"), "{}", taken.html);
    let install = run.submit(&taken, &[("name", "flint again")]).await;
    run.submit(&install, &[]).await;
    let dir = run.etc();
    let Run { dir: _kept, ended, .. } = run;
    assert_eq!(ended.await.expect("it does not panic").expect("it ends well").app, "flint again");
    are_private(&dir);
}

#[tokio::test]
async fn a_code_is_good_for_an_hour_and_for_one_use() {
    let github = github(|config| config.clock = flint_sim::github::Clock::manual()).await;
    let run = Run::start(&github, |_| {}).await;
    let page = run.ask().await;
    let back = page.fields().into_iter().find(|(name, _)| name == "manifest");
    let manifest = back.expect("it is in the form").1;
    // A browser that comes back when the hour is over.
    let held = manifest.replace(&run.page, &format!("{}/nowhere/", github.url()));
    let lost = run.submit(&page, &[("manifest", &held)]).await;
    github.advance(Duration::from_secs(3600));
    let (_, query) = lost.url.as_str().split_once('?').expect("it has a code");
    let late = run.open(format!("{}made?{query}", run.page)).await;
    assert_eq!(late.status, 410, "{}", late.html);
    assert!(!exists(&run.config()));
    run.give_up();
}

#[tokio::test]
async fn a_github_that_does_not_answer_is_asked_again_by_loading_the_page() {
    let github = github(|_| {}).await;
    let run = Run::start(&github, |_| {}).await;
    let down = FaultKind::Status {
        status: 502,
        message: "bad gateway".to_owned(),
        headers: [].into(),
        error_kind: String::new(),
    };
    github.fault("conversion", 1, down);
    let failed = run.make().await;
    assert_eq!(failed.status, 502, "{}", failed.html);
    let install = run.open(&failed.url).await;
    assert!(install.html.contains("Install"), "{}", install.html);
    // And again, when the App is there: it is not made twice.
    assert!(run.open(&failed.url).await.html.contains("Install"));
    assert_eq!(github.counters().calls("conversion"), 2);
    let waits = run.open(format!("{}installed?setup_action=request", run.page)).await;
    assert!(waits.html.contains("Not installed yet"), "{}", waits.html);
    run.give_up();
}

#[tokio::test]
async fn a_wrong_organization_and_a_person_are_refused_before_anything_is_made() {
    let github = github(|_| {}).await;
    let dir = tempfile::tempdir().expect("there is a temporary folder");
    let told = async |organization: &str| {
        let edit = |given: &mut Given| given.organization = Some(organization.to_owned());
        let wish = wish(&github, dir.path().join("flint.toml"), edit);
        let error = init::run(&wish, &|_| {}).await.expect_err("it is refused");
        assert_eq!(error.exit(), Exit::Refused);
        format!("{error}: {}", error.help().unwrap_or_default())
    };
    assert!(told("acmee").await.contains("cannot find `acmee` at http://127.0.0.1"));
    assert!(told("octocat").await.contains("--repository octocat/NAME"));
    assert!(!exists(&dir.path().join("flint.toml")));
}

#[tokio::test]
async fn an_app_in_another_account_is_not_taken() {
    let github = github(|_| {}).await;
    let run = Run::start(&github, |_| {}).await;
    let page = run.ask().await;
    let mine = Page { html: page.html.replace("/organizations/acme", ""), ..page };
    let told = run.submit(&mine, &[]).await;
    assert_eq!(told.status, 500);
    assert!(told.html.contains("octocat"), "{}", told.html);
    let config = run.config();
    let error = run.outcome().await.expect_err("it is refused");
    assert!(error.to_string().contains("it belongs to `octocat`, not to `acme`"), "{error}");
    assert!(error.help().is_some_and(|help| help.contains("/apps/flint-acme")));
    assert!(!exists(&config));
}

#[tokio::test]
async fn what_is_there_is_refused_and_with_force_nothing_of_it_is_lost() {
    let github = github(|_| {}).await;
    let dir = tempfile::tempdir().expect("there is a temporary folder");
    let config = dir.path().join("flint.toml");
    std::fs::write(&config, "mine").expect("it can be written");
    let refused = init::run(&wish(&github, config.clone(), |_| {}), &|_| {}).await;
    assert!(matches!(refused, Err(Error::Exists { path }) if path == config));
    assert_eq!(github.counters().calls("account"), 0, "GitHub was not even asked");
    let force = wish(&github, config.clone(), |given| given.force = true);
    let (say, mut shown) = mpsc::unbounded_channel();
    let ended =
        tokio::spawn(
            async move { init::run(&force, &|line| drop(say.send(line.to_owned()))).await },
        );
    let line = shown.recv().await.expect("it says where the page is");
    let browser = Forms::new().expect("it is plain");
    let page = browser.open(line.trim_start_matches("open ")).await.expect("somebody answers");
    let page = browser.submit(&page, &[]).await.expect("somebody answers");
    let page = browser.submit(&page, &[]).await.expect("somebody answers");
    browser.submit(&page, &[]).await.expect("somebody answers");
    ended.await.expect("it does not panic").expect("it ends well");
    assert!(std::fs::read_to_string(&config).expect("it is there").contains("acme"));
    let kept = std::fs::read_to_string(dir.path().join("flint.toml.bak"));
    assert_eq!(kept.expect("it is there"), "mine");
}

#[tokio::test]
async fn a_port_in_use_and_a_wrong_clock_are_named_before_anything_is_made() {
    let github = github(|config| config.clock = flint_sim::github::Clock::manual()).await;
    let dir = tempfile::tempdir().expect("there is a temporary folder");
    let config = dir.path().join("flint.toml");
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    let wish = |listen: &str| {
        let listen = listen.to_owned();
        wish(&github, config.clone(), |given| given.listen = Some(listen))
    };
    let error = init::run(&wish(&address), &|_| {}).await.expect_err("it is taken");
    assert!(error.help().is_some_and(|help| help.contains("--listen")), "{error}");
    github.advance(Duration::from_secs(7200));
    let error = init::run(&wish("127.0.0.1:0"), &|_| {}).await.expect_err("the clock is wrong");
    assert!(matches!(error, Error::Clock { skew: 7100..=7300 }), "{error}");
    assert!(!exists(&config) && github.apps().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_permission_that_is_missing_is_named_with_the_page_where_it_is_set() {
    let github = github(|_| {}).await;
    let run = Run::start(&github, |_| {}).await;
    let install = run.make().await;
    run.submit(&install, &[]).await;
    let config = run.config();
    let Run { dir: _kept, ended, .. } = run;
    ended.await.expect("it does not panic").expect("it ends well");
    github.permit("organization_self_hosted_runners", None);
    let lines = doctor(&config);
    let bad: Vec<_> = lines.iter().filter(|[_, verdict, ..]| verdict == "bad").collect();
    let [permission, runners] = bad[..] else { panic!("{lines:#?}") };
    assert_eq!(permission[0], "organization_self_hosted_runners");
    let page = "/organizations/acme/settings/apps/flint-acme/permissions";
    assert!(permission[3].contains(page), "{permission:?}");
    assert!(runners[2].contains("Resource not accessible by integration"), "{runners:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_enterprise_server_has_its_api_below_a_path_and_its_pages_beside_it() {
    let github = github(|_| {}).await;
    let api = format!("{}/api/v3", github.url());
    let run = Run::start(&github, |given| given.github_url = Some(api.clone())).await;
    let install = run.make().await;
    assert_eq!(install.url.path(), "/apps/flint-acme/installations/new");
    run.submit(&install, &[]).await;
    let config = run.config();
    let Run { dir: _kept, ended, .. } = run;
    ended.await.expect("it does not panic").expect("it ends well");
    let text = std::fs::read_to_string(&config).expect("it is there");
    assert!(text.contains(&format!("url = \"{api}/\"")), "{text}");
    is_good(&config, &["server"]);
    serves(&github, &config).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repository_gets_an_app_with_a_repositorys_right() {
    let github = github(|_| {}).await;
    let run = Run::start(&github, |given| {
        (given.organization, given.repository) = (None, Some("acme/widgets".to_owned()));
    })
    .await;
    let install = run.make().await;
    run.submit(&install, &[]).await;
    let config = run.config();
    let Run { dir: _kept, ended, .. } = run;
    ended.await.expect("it does not panic").expect("it ends well");
    let lines = doctor(&config);
    let right = lines.iter().find(|[item, ..]| item == "administration");
    assert_eq!(right.map(|[_, _, reading, _]| reading.as_str()), Some("write"), "{lines:#?}");
    assert!(lines.iter().all(|[_, verdict, ..]| verdict == "ok"), "{lines:#?}");
}

/// The program as a process, with nobody at a terminal.
struct Process(Child, BufReader<ChildStderr>);

impl Process {
    fn start(arguments: &[&str]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flint"));
        command.arg("init").args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
        command.env_remove("FLINT_ORGANIZATION").env_remove("FLINT_REPOSITORY");
        let mut child = command.stderr(Stdio::piped()).spawn().expect("the program is there");
        let shown = BufReader::new(child.stderr.take().expect("it is piped"));
        Process(child, shown)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).expect("it is text");
        line.trim().to_owned()
    }

    /// As Ctrl-C does.
    fn interrupt(&self) {
        let pid = Pid::from_raw(self.0.id().cast_signed()).expect("it is a process");
        rustix::process::kill_process(pid, Signal::INT).expect("it is there");
    }

    /// The rest of what it says, and its exit code.
    fn end(mut self) -> (String, Option<i32>) {
        let mut rest = String::new();
        self.1.read_to_string(&mut rest).expect("it is text");
        (rest, self.0.wait().expect("it is ours").code())
    }
}

impl Drop for Process {
    /// Also when the test fails.
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_says_what_is_made_and_how_to_go_on() {
    let github = github(|_| {}).await;
    let dir = tempfile::tempdir().expect("there is a temporary folder");
    let config = dir.path().join("etc/flint.toml");
    let file = config.to_str().expect("it is text");
    let arguments = [
        "--organization",
        "acme",
        "--github-url",
        github.url(),
        "--listen",
        "127.0.0.1:0",
        "--config",
        file,
    ];

    let mut process = Process::start(&arguments);
    assert!(process.line().starts_with("open "));
    process.interrupt();
    let (said, code) = process.end();
    assert!(said.contains("stopped: no App was made") && code == Some(1), "{said}");
    assert!(!exists(&config) && github.apps().is_empty());

    let mut process = Process::start(&arguments);
    let page = process.line().trim_start_matches("open ").to_owned();
    let browser = Forms::new().expect("it is plain");
    let page = browser.open(page).await.expect("somebody answers");
    let page = browser.submit(&page, &[]).await.expect("somebody answers");
    browser.submit(&page, &[]).await.expect("somebody answers");
    process.interrupt();
    let (said, code) = process.end();
    let install = format!("install it at {}/apps/flint-acme/installations/new", github.url());
    assert!(said.contains(&install) && said.contains("flint doctor --github"), "{said}");
    assert_eq!(code, Some(1));
    are_private(&dir.path().join("etc"));
}

#[test]
fn without_a_terminal_what_is_missing_is_a_flag_that_is_named() {
    let dir = tempfile::tempdir().expect("there is a temporary folder");
    let config = dir.path().join("flint.toml");
    let (said, code) = Process::start(&["--config", config.to_str().expect("it is text")]).end();
    assert!(said.contains("give --organization or --repository"), "{said}");
    assert_eq!(code, Some(2));
}
