//! `flint init` in a real browser: Chromium, told what to do by chromedriver, before the fake GitHub's pages.
//!
//! With `BLESS=1` it also keeps what Flint's page looks like, for the manual.

#[path = "init/support.rs"]
mod support;

use flint_sim::browser::Chromium;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};
use support::{are_private, github, hook, is_good, serves};

/// For the manual, relative to the crate.
const PICTURE: &str = "../../docs/images/init.png";
/// The manual is text first.
const PICTURE_MAX: usize = 150 << 10;

/// The program, and what it still has to say.
struct Init {
    child: Child,
    shown: BufReader<ChildStderr>,
}

impl Init {
    /// As in a script: everything is in flags, and nobody is at a terminal.
    fn start(github: &str, hook: &str, config: &Path) -> Init {
        let mut command = Command::new(env!("CARGO_BIN_EXE_flint"));
        command.args(["init", "--organization", "acme", "--github-url", github]);
        command.args(["--webhook-url", hook, "--listen", "127.0.0.1:0", "--config"]).arg(config);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program is there");
        let shown = BufReader::new(child.stderr.take().expect("it is piped"));
        Init { child, shown }
    }

    /// The page that it says to open.
    fn page(&mut self) -> String {
        let mut line = String::new();
        self.shown.read_line(&mut line).expect("it is text");
        let page = line.trim().strip_prefix("open ").map(str::to_owned);
        page.unwrap_or_else(|| panic!("it says where the page is: {line}"))
    }

    /// Waits for its end. All that it printed, and whether it ended well.
    fn end(mut self) -> (String, bool) {
        let mut text = String::new();
        self.shown.read_to_string(&mut text).expect("it is text");
        let mut output = self.child.stdout.take().expect("it is piped");
        output.read_to_string(&mut text).expect("it is text");
        (text, self.child.wait().expect("it is ours").success())
    }
}

impl Drop for Init {
    /// Also when the test fails.
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn one_click_and_githubs_two_lead_from_nothing_to_a_job_that_is_served() {
    let github = github(|_| {}).await;
    let dir = tempfile::tempdir().expect("there is a temporary folder");
    let config = dir.path().join("etc/flint.toml");
    let mut init = Init::start(github.url(), &hook(), &config);
    let page = init.page();
    let browser = Chromium::start(&dir.path().join("browser")).await.expect("it starts");

    browser.open(&page).await.expect("it is served");
    let title = browser.text("h1").await.expect("it has one");
    assert_eq!(title, "Give Flint a GitHub App");
    browser.click("#make").await.expect("Flint's one click");
    browser.click("#create").await.expect("GitHub's first page");
    browser.click("#install").await.expect("GitHub's second page");
    let last = browser.text("main").await.expect("it leads back to Flint");
    assert!(last.contains("flint-acme is installed in acme"), "{last}");
    let url = browser.url().await.expect("it is there");
    assert!(url.starts_with(&page), "{url}");
    drop(browser);

    let (shown, good) = init.end();
    assert!(good, "{shown}");
    assert!(shown.contains("organization_self_hosted_runners  write"), "{shown}");
    are_private(&dir.path().join("etc"));
    is_good(&config, &[]);
    serves(&github, &config).await;
    assert!(github.secrets().iter().all(|secret| !shown.contains(secret)), "{shown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn the_page_looks_as_in_the_manual() {
    let github = github(|_| {}).await;
    let dir = tempfile::tempdir().expect("there is a temporary folder");
    let hook = "https://flint.acme.example/webhook";
    let mut init = Init::start(github.url(), hook, &dir.path().join("etc/flint.toml"));
    let browser = Chromium::start(&dir.path().join("browser")).await.expect("it starts");
    browser.open(&init.page()).await.expect("it is served");
    assert!(browser.text("table").await.expect("it has one").contains(hook));
    keep(&browser.screenshot().await.expect("it is shown"));
}

/// Kept only when asked: fonts differ from machine to machine.
fn keep(picture: &[u8]) {
    assert!(picture.starts_with(b"\x89PNG"), "it is a picture");
    assert!(picture.len() < PICTURE_MAX, "{} bytes", picture.len());
    if std::env::var_os("BLESS").is_some_and(|wanted| wanted == "1") {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(PICTURE);
        std::fs::create_dir_all(path.parent().expect("it is below docs")).expect("it can be made");
        std::fs::write(path, picture).expect("it can be written");
    }
}
