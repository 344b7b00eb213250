//! The real program as a process in the demo's host namespace, with a configuration of its own.

use super::leftovers::Search;
use super::places::{GITHUB, HOST, Places};
use super::{Options, SECRET};
use anyhow::{Context, Result, bail};
use flint::api::{SOCKET, Status};
use flint::cli::client::Client;
use flint::steps;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// Where it takes webhooks.
pub(crate) const PORT: u16 = 9198;

/// How long it may take to look at its host; a canary that does not fly takes 20 s.
const START_MAX: Duration = Duration::from_secs(90);

/// How long it may take to end once nothing runs any more.
const STOP_MAX: Duration = Duration::from_secs(60);

/// As in `flint.service`.
const RESTART_AFTER: Duration = Duration::from_secs(2);

/// As there: more than this in a minute is no accident.
const RESTARTS: u32 = 5;

/// How often something is looked at that cannot be waited for.
const GLANCE: Duration = Duration::from_millis(50);

/// How much of its log is shown when the demo fails.
const LAST_LINES: usize = 40;

/// The daemon's process.
pub(crate) struct Daemon {
    child: Child,
    start: Start,
    state: PathBuf,
    socket: PathBuf,
}

/// What one start needs besides what every demo has.
#[derive(Clone, Copy)]
pub(crate) struct How<'a> {
    /// The App's key.
    pub(crate) pem: &'a str,
    /// Where it is to die, for a program with kill points.
    pub(crate) aim: Option<&'a str>,
    /// Changes the configuration before it is written.
    pub(crate) adjust: fn(&mut toml::Table),
    /// A configuration that is there already: only what it cannot know of the demo's host is added.
    pub(crate) made: Option<&'a Path>,
}

impl<'a> How<'a> {
    /// As it is.
    pub(crate) fn plain(pem: &'a str) -> Self {
        How { pem, aim: None, adjust: |_| {}, made: None }
    }
}

/// How it is started, any number of times.
struct Start {
    program: PathBuf,
    /// The namespace that it is in, by its name and by its file.
    uplink: String,
    netns: String,
    /// Of the names of its slots.
    prefix: String,
    config: PathBuf,
    log: PathBuf,
}

impl Start {
    /// `aim`: where it is to die, for a program with kill points.
    fn run(&self, aim: Option<&str>) -> Result<Child> {
        let output = File::options().create(true).append(true).open(&self.log)?;
        // `ip netns exec` would also give it mounts of its own, in which namespaces it makes would hide.
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.netns)).arg(&self.program);
        command.args(["serve", "--config"]).arg(&self.config);
        command.env_remove(steps::VARIABLE).envs(aim.map(|aim| (steps::VARIABLE, aim)));
        let child = command.stderr(output.try_clone()?).stdout(output).spawn();
        child.context("cannot run `nsenter` (package util-linux)")
    }
}

impl Daemon {
    /// Starts it.
    pub(crate) fn start(
        options: &Options,
        places: &Places,
        folder: &Path,
        how: How<'_>,
    ) -> Result<Daemon> {
        let How { pem, aim, adjust, made } = how;
        let (state, run) = (folder.join("state"), folder.join("run"));
        let key = folder.join("app.pem");
        fs::write(&key, pem)?;
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
        let config = folder.join("flint.toml");
        let mut table = match made {
            Some(made) => completed(fs::read_to_string(made)?.parse()?, options),
            None => github(options, &key),
        };
        host(&mut table, options, (&state, &run));
        adjust(&mut table);
        fs::write(&config, toml::to_string(&table)?)?;
        let (program, log) = (options.flint.clone(), folder.join("daemon.log"));
        let (uplink, prefix) = (places.host().to_owned(), options.name.clone());
        let netns = format!("/run/netns/{uplink}");
        let start = Start { program, uplink, netns, prefix, config, log };
        Ok(Daemon { child: start.run(aim)?, start, state, socket: run.join(SOCKET) })
    }

    /// What a second one says that has everything of its own but the prefix.
    pub(crate) fn second(&self) -> Result<String> {
        let other = self.state.with_file_name("second");
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.start.netns)).arg(&self.start.program);
        command.args(["run", "--profile", "small", "--config"]).arg(&self.start.config);
        command.arg("--state-dir").arg(&other).arg("--run-dir").arg(other.join("run"));
        let ended = command.args(["--", "true"]).output()?;
        if ended.status.success() {
            bail!("a second Flint with the same prefix runs beside the first");
        }
        Ok(String::from_utf8_lossy(&ended.stderr).into_owned())
    }

    /// Ends it as a crash does, and returns when it has ended.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Starts it again after it has ended, as `flint.service` does (`Restart=on-failure`, `RestartSec=2`), and waits
    /// until it serves. A process that the last one was just starting may hold its port for a moment, until its exec.
    pub(crate) async fn come_back(&mut self) -> Result<Status> {
        for _ in 1..RESTARTS {
            self.child = self.start.run(None)?;
            match self.ready().await {
                Err(_) if self.ended()?.is_some() => tokio::time::sleep(RESTART_AFTER).await,
                served => return served,
            }
        }
        self.child = self.start.run(None)?;
        self.ready().await
    }

    /// A client of its API.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.socket.clone())
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Its log.
    pub(crate) fn log(&self) -> &Path {
        &self.start.log
    }

    /// Its state directory.
    pub(crate) fn state_dir(&self) -> PathBuf {
        self.state.clone()
    }

    /// Waits until it serves.
    pub(crate) async fn ready(&mut self) -> Result<Status> {
        let began = Instant::now();
        while began.elapsed() < START_MAX {
            if let Ok(status) = self.client().get("/v1/status").await {
                return Ok(status);
            }
            if let Some(end) = self.child.try_wait()? {
                bail!("flint ended at its start: {end}");
            }
            tokio::time::sleep(GLANCE).await;
        }
        bail!("flint does not serve after {} s", START_MAX.as_secs())
    }

    /// Tells it to end, and waits; at the limit it is killed.
    pub(crate) fn stop(&mut self) -> Result<()> {
        if let Some(pid) = rustix::process::Pid::from_raw(self.child.id().cast_signed()) {
            // It may have ended by itself.
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        }
        let began = Instant::now();
        while began.elapsed() < STOP_MAX {
            match self.child.try_wait()? {
                Some(end) if end.success() => return Ok(()),
                Some(end) => bail!("flint did not end well: {end}\n{}", self.last_words()),
                None => std::thread::sleep(GLANCE),
            }
        }
        self.child.kill()?;
        self.child.wait()?;
        bail!("flint did not end within {} s\n{}", STOP_MAX.as_secs(), self.last_words())
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.start.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let from = lines.len().saturating_sub(LAST_LINES);
        format!("the daemon's last words:\n{}", lines[from..].join("\n"))
    }
}

impl Drop for Daemon {
    /// The last resort, after a failure: normally it has ended by now, and left nothing.
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
        let Start { prefix, uplink, .. } = &self.start;
        Search { prefix, state_dir: &self.state, uplink }.remove();
    }
}

fn text(path: &Path) -> toml::Value {
    toml::Value::from(path.to_string_lossy().into_owned())
}

/// The fake GitHub's App of the start, and three profiles.
fn github(options: &Options, key: &Path) -> toml::Table {
    let profile = |(name, vcpus, memory): (&str, i64, &str)| {
        let mut profile = toml::toml! {
            name = name
            labels = ["self-hosted", "linux", name]
        };
        shape(&mut profile, options, (vcpus, memory));
        toml::Value::from(profile)
    };
    let mut github = toml::toml! {
        organization = "flint-demo"
        app_id = "123456"
        webhook_secret = SECRET
    };
    github.insert("url".to_owned(), format!("http://{GITHUB}").into());
    github.insert("private_key".to_owned(), text(key));
    let mut server = toml::Table::new();
    server.insert("listen".to_owned(), format!("{HOST}:{PORT}").into());
    let profiles = [("small", 1, "512 MiB"), ("medium", 1, "768 MiB"), ("large", 2, "1 GiB")];
    let profiles = profiles.map(profile).to_vec();
    let all = [("github", github.into()), ("server", server.into()), ("profile", profiles.into())];
    all.into_iter().map(|(name, value): (&str, toml::Value)| (name.to_owned(), value)).collect()
}

/// A configuration of `flint init`, whose one profile is made to fit the demo's host.
fn completed(mut config: toml::Table, options: &Options) -> toml::Table {
    for profile in profiles(&mut config) {
        shape(profile, options, (1, "512 MiB"));
    }
    config
}

/// The profiles of a configuration, to be changed.
pub(crate) fn profiles(config: &mut toml::Table) -> impl Iterator<Item = &mut toml::Table> {
    let profiles = config.get_mut("profile").and_then(toml::Value::as_array_mut);
    profiles.into_iter().flatten().filter_map(toml::Value::as_table_mut)
}

fn shape(profile: &mut toml::Table, options: &Options, (vcpus, memory): (i64, &str)) {
    profile.insert("vcpus".to_owned(), vcpus.into());
    profile.insert("memory".to_owned(), memory.into());
    profile.insert("scratch".to_owned(), "2 GiB".into());
    profile.insert("kernel".to_owned(), text(&options.kernel));
    profile.insert("image".to_owned(), text(&options.image));
}

/// The demo's host.
fn host(config: &mut toml::Table, options: &Options, (state, run): (&Path, &Path)) {
    let mut host = toml::toml! {
        vcpus = 4
        memory = "4 GiB"
        disk = "8 GiB"
        slots = 4
        drain_timeout = "30s"
    };
    let mut set = |key: &str, value: toml::Value| host.insert(key.to_owned(), value);
    set("state_dir", text(state));
    set("run_dir", text(run));
    set("vmm", options.vmm.clone().into());
    set("netns_prefix", options.name.clone().into());
    if let Some((firecracker, jailer)) = programs() {
        set("firecracker", text(&firecracker));
        set("jailer", text(&jailer));
    }
    config.insert("host".to_owned(), host.into());
}

/// Firecracker and its jailer, where the environment or the search path has them.
fn programs() -> Option<(PathBuf, PathBuf)> {
    let find = |variable: &str, name: &str| {
        let named = std::env::var_os(variable).map(PathBuf::from);
        let paths = std::env::var_os("PATH").unwrap_or_default();
        let mut found = std::env::split_paths(&paths).map(|folder| folder.join(name));
        named.or_else(|| found.find(|path| path.is_file()))
    };
    Some((find("FLINT_FIRECRACKER", "firecracker")?, find("FLINT_JAILER", "jailer")?))
}
