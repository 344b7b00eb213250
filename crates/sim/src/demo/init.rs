//! From nothing to a served job: `flint init`, three clicks, `flint serve` with what that wrote, one job in a microVM.

use super::daemon::{Daemon, How, PORT};
use super::places::{GITHUB, HOST, Places};
use super::stage::Stage;
use super::{Options, PATIENCE, Seen, Source, watch};
use crate::browser::Forms;
use crate::github::FakeGithub;
use anyhow::{Context, Result, bail};
use flint::sys::netns::run_in;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// For the one profile that `flint init` writes, by one of its labels or by its scale set.
fn workflow(source: Source) -> String {
    let asked = match source {
        Source::Webhook => "self-hosted",
        Source::ScaleSet => "flint",
    };
    format!(
        "name: first
on: push
jobs:
  first:
    runs-on: {asked}
    steps:
      - run: echo \"the answer is $((6 * 7))\"
"
    )
}

/// Makes the configuration by clicks, serves one job with it, and gives the job's log.
///
/// # Errors
/// When something it needs is missing, or the job does not end in time. Everything it made is removed then too.
pub fn from_nothing(options: &Options) -> Result<Vec<String>> {
    let stage = Stage::without_app(options, "init")?;
    let config = init(options, &stage.places, stage.folder())?;
    let how = How { made: Some(&config), ..How::plain("") };
    let story = async |daemon: &mut Daemon, github: &FakeGithub| {
        let ids = github.queue(&workflow(options.source))?;
        watch::until_done(daemon.client(), github, &ids, &|_| {}).await
    };
    let Seen { rows, logs } = stage.play(how, PATIENCE, story)?;
    let good = |row: &flint::api::JobRow| row.state == "success" && row.vm.is_some();
    if !rows.iter().all(good) {
        bail!("the job did not end well: {rows:?}");
    }
    Ok(logs.into_iter().flat_map(|(_, lines)| lines).collect())
}

/// `flint init` as a script starts it, and somebody who clicks. Gives the file that it wrote.
fn init(options: &Options, places: &Places, folder: &Path) -> Result<PathBuf> {
    let config = folder.join("etc/flint.toml");
    let netns = format!("/run/netns/{}", places.host());
    let mut command = Command::new("nsenter");
    command
        .arg(format!("--net={netns}"))
        .arg(&options.flint)
        .arg("init")
        .arg("--config")
        .arg(&config);
    command.args(["--organization", "flint-demo", "--listen", "127.0.0.1:0"]);
    command.args(["--github-url", &format!("http://{GITHUB}")]);
    if options.source == Source::Webhook {
        command.args(["--webhook-url", &format!("http://{HOST}:{PORT}/webhook")]);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut init = Init(command.spawn().context("cannot run `nsenter` (package util-linux)")?);
    let mut shown = BufReader::new(init.0.stderr.take().context("it has no output")?);
    let mut first = String::new();
    shown.read_line(&mut first)?;
    let page = first.trim().strip_prefix("open ").with_context(|| format!("no page: {first}"))?;
    run_in(Path::new(&netns), || click(page))??;
    let mut rest = String::new();
    shown.read_to_string(&mut rest)?;
    if !init.0.wait()?.success() {
        bail!("flint init did not end well: {rest}");
    }
    Ok(config)
}

/// Ended, whatever happens.
struct Init(Child);

impl Drop for Init {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Flint's button, "Create GitHub App", "Install".
fn click(page: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let browser = Forms::new()?;
        let mut page = browser.open(page).await?;
        for _ in 0..3 {
            page = browser.submit(&page, &[]).await?;
        }
        if !page.html.contains("is installed in") {
            bail!("the clicks lead to {}: {}", page.url, page.html);
        }
        Ok(())
    })
}
