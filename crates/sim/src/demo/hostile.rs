//! A job whose names are an attack on whoever reads them, watched while it runs: what is shown, and where secrets are.

use super::daemon::{Daemon, How, PORT};
use super::places::{HOST, Places};
use super::stage::{GLANCE, Stage};
use super::{Options, SECRET};
use crate::github::{FakeGithub, JobView};
use anyhow::{Context, Result, bail};
use flint::api::{Jobs, Vms};
use flint::sys::netns;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// One microVM on a slow machine.
const PATIENCE: Duration = Duration::from_mins(4);

/// The longest name, in bytes.
const LONGEST: usize = 255;

/// Writes on a terminal's title, clears it, ends the line, turns the writing direction, ends whatever quotes are open,
/// leaves the directory, and makes a file wherever a shell reads it.
fn hostile(trap: &Path) -> String {
    let trap = trap.display();
    let mut name = format!(
        "\u{1b}]0;t\u{7}\u{1b}[2J\r\n0 1 agent egress: x\u{202e}'\"`touch {trap}`$(touch {trap});touch {trap}|\
         ../../../etc/passwd%00%s%n{{}}\\"
    );
    while name.len() < LONGEST {
        name.push('\u{1b}');
    }
    while name.len() > LONGEST {
        name.pop();
    }
    name
}

/// What was seen.
#[derive(Clone, Debug)]
pub struct Hostile {
    /// The job, as GitHub has it.
    pub job: JobView,
    /// Its log there.
    pub log: Vec<String>,
    /// What each command printed, and the page of metrics, while the job ran and after it.
    pub shown: Vec<(String, String)>,
    /// Where a secret was found that belongs nowhere there.
    pub leaks: Vec<String>,
    /// Where the same search found those that belong there: the configuration and the App's key.
    pub kept: Vec<String>,
    /// Whether a shell read a name.
    pub trapped: bool,
}

/// Runs such a job.
///
/// # Errors
/// When something it needs is missing, or the job does not end in time. Everything it made is removed then too.
pub fn hostile_names(options: &Options) -> Result<Hostile> {
    // A shell in any directory finds it; short, so that the whole of it fits into a name three times.
    let trap = Path::new("/tmp").join(format!("flint-{}", std::process::id()));
    let stage = Stage::set(options, "hostile")?;
    let (folder, pem) = (stage.folder(), stage.pem());
    let place = Place { options, places: &stage.places, folder, pem };
    let name = hostile(&trap);
    let story =
        async |daemon: &mut Daemon, github: &FakeGithub| place.story(daemon, github, &name).await;
    let mut seen = stage.play(How::plain(pem), PATIENCE, story)?;
    seen.trapped = trap.exists();
    drop(fs::remove_file(&trap));
    Ok(seen)
}

/// Where it happens.
struct Place<'a> {
    options: &'a Options,
    places: &'a Places,
    folder: &'a Path,
    pem: &'a str,
}

impl Place<'_> {
    async fn story(&self, daemon: &mut Daemon, github: &FakeGithub, name: &str) -> Result<Hostile> {
        let queued = github.queue(&workflow(name, "small")?)?;
        let unknown = github.queue(&workflow(name, &name.replace(',', ""))?)?;
        let id = *queued.first().context("it is queued")?;
        let unknown = *unknown.first().context("it is queued")?;
        let client = daemon.client();
        let vm = loop {
            let Vms { vms } = client.get("/v1/vms").await?;
            if let Some(busy) = vms.into_iter().find(|vm| vm.phase == "busy") {
                break busy.id;
            }
            tokio::time::sleep(GLANCE).await;
        };
        let mut shown = self.shown(&vm, &[id, unknown])?;
        let leaks = self.leaks(github)?;
        let kept =
            self.find(github, &[self.folder.join("flint.toml"), self.folder.join("app.pem")])?;
        loop {
            let Jobs { jobs } = client.get("/v1/jobs").await?;
            if jobs.iter().all(|job| job.id != id) {
                break;
            }
            tokio::time::sleep(GLANCE).await;
        }
        shown.extend(self.shown(&vm, &[id])?);
        let after = self.leaks(github)?;
        let job = github.job(id).context("GitHub knows it")?;
        let log = github.log(id);
        Ok(Hostile { job, log, shown, leaks: [leaks, after].concat(), kept, trapped: false })
    }

    /// What an operator looks at.
    fn shown(&self, vm: &str, jobs: &[u64]) -> Result<Vec<(String, String)>> {
        let mut commands = vec![
            "ps".to_owned(),
            "jobs".to_owned(),
            "jobs --all".to_owned(),
            "status".to_owned(),
            format!("logs {vm}"),
        ];
        commands.extend(jobs.iter().map(|job| format!("why {job}")));
        let mut shown = Vec::new();
        for words in commands {
            let mut command = std::process::Command::new(&self.options.flint);
            command.arg("--socket").arg(self.folder.join("run").join(flint::api::SOCKET));
            let output = command.args(words.split(' ')).output()?;
            if !output.status.success() {
                bail!("`flint {words}` failed: {}", String::from_utf8_lossy(&output.stderr));
            }
            shown.push((words, String::from_utf8(output.stdout)?));
        }
        shown.push(("GET /metrics".to_owned(), self.metrics()?));
        let said = fs::read_to_string(self.folder.join("daemon.log"))?;
        shown.push(("the daemon's log".to_owned(), said));
        Ok(shown)
    }

    fn metrics(&self) -> Result<String> {
        let file = Path::new("/run/netns").join(self.places.host());
        let answer = netns::run_in(&file, || -> std::io::Result<String> {
            let mut stream = TcpStream::connect((HOST, PORT))?;
            stream
                .write_all(b"GET /metrics HTTP/1.1\r\nhost: flint\r\nconnection: close\r\n\r\n")?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        })??;
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.replace('\r', ""));
        body.context("it is an answer with a body")
    }

    /// Looks for everything that proves who somebody is: in all that Flint keeps, and in the arguments and environment of
    /// every process of this machine. A guest's own disk has its runner's registration, and belongs to it alone.
    fn leaks(&self, github: &FakeGithub) -> Result<Vec<String>> {
        let ours = ["state", "run", "daemon.log"].map(|name| self.folder.join(name));
        let processes = fs::read_dir("/proc")?.flatten().map(|entry| entry.path());
        let told =
            processes.flat_map(|process| ["cmdline", "environ"].map(|file| process.join(file)));
        self.find(github, &ours.into_iter().chain(told).collect::<Vec<_>>())
    }

    /// The files of these, and of the directories among these, that hold a secret. Processes may end meanwhile.
    fn find(&self, github: &FakeGithub, places: &[PathBuf]) -> Result<Vec<String>> {
        let mut secrets = github.secrets();
        secrets.push(SECRET.to_owned());
        secrets.extend(self.pem.lines().filter(|line| !line.starts_with('-')).map(str::to_owned));
        let known = |bytes: &[u8]| {
            secrets
                .iter()
                .any(|secret| bytes.windows(secret.len()).any(|piece| piece == secret.as_bytes()))
        };
        let (mut found, mut left) = (Vec::new(), places.to_vec());
        while let Some(path) = left.pop() {
            let Ok(kind) = fs::symlink_metadata(&path).map(|meta| meta.file_type()) else {
                continue;
            };
            if kind.is_dir() {
                left.extend(fs::read_dir(&path)?.flatten().map(|entry| entry.path()));
            } else if kind.is_file() && !is_disk(&path) && fs::read(&path).is_ok_and(|b| known(&b))
            {
                found.push(path.display().to_string());
            }
        }
        Ok(found)
    }
}

fn is_disk(path: &Path) -> bool {
    let name = path.file_name().unwrap_or(OsStr::new("")).to_string_lossy();
    name.starts_with("vd") || name.ends_with(".ext4")
}

/// A workflow whose every name is this one.
fn workflow(name: &str, label: &str) -> Result<String> {
    let (name, label) = (serde_json::to_string(name)?, serde_json::to_string(label)?);
    Ok(format!(
        "name: {name}
on: push
jobs:
  build:
    name: {name}
    runs-on: [self-hosted, linux, {label}]
    steps:
      - name: {name}
        run: echo the code runs; sleep 10
"
    ))
}
