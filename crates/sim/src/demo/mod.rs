//! The offline demo: three signed jobs through the real program, each in a microVM of its own.
//!
//! GitHub is made up and lives in a network namespace of its own, as does the host's uplink. Everything between
//! them is the real thing: webhook, registration, microVM, runner protocol, log.

mod authority;
pub(crate) mod daemon;
mod halves;
mod hostile;
pub mod idle;
mod init;
pub(crate) mod leftovers;
pub(crate) mod places;
mod proof;
mod scale_sets;
mod scopes;
pub mod show;
mod sizes;
mod stage;
mod stranger;
mod watch;

use crate::github::{Config, FakeGithub, Webhook, generate_pem};
use anyhow::{Context, Result, bail};
pub use authority::{Trusting, authority};
use daemon::{Daemon, How};
use flint::api::JobRow;
pub use hostile::{Hostile, hostile_names};
pub use init::from_nothing;
use leftovers::Search;
use places::{GITHUB, HOST, Places};
pub use scopes::{Scoped, scopes};
pub use sizes::{Sized, sizes};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};
use std::time::Duration;
pub use stranger::{Shut, Stranger, stranger};
use tokio::net::TcpListener;

/// The jobs, in the words of a workflow file.
const WORKFLOW: &str = include_str!("workflow.yml");

/// Between signed webhooks and the daemon. It protects nothing: both ends are in the demo.
pub(crate) const SECRET: &str = "the demo's webhook secret";

/// A machine with two slow cores and no KVM needs a minute; a hang should not last for ever.
const PATIENCE: Duration = Duration::from_mins(8);

/// What the demo needs.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program `flint`.
    pub flint: PathBuf,
    /// The kernel; its initramfs and modules lie beside it.
    pub kernel: PathBuf,
    /// An image with a runner in it.
    pub image: PathBuf,
    /// `auto`, `firecracker` or `qemu`.
    pub vmm: String,
    /// Where state goes; removed at the end.
    pub scratch: PathBuf,
    /// Starts every name that the demo makes: 1 to 9 of a-z and 0-9.
    pub name: String,
    /// How the daemon hears of the jobs.
    pub source: Source,
}

/// How the daemon hears of the jobs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// By signed webhooks.
    #[default]
    Webhook,
    /// By the messages of scale sets; nothing is sent to the host.
    ScaleSet,
}

impl Options {
    /// For a test: QEMU, and the kernel and image that `cargo xtask demo --prepare` makes, or `FLINT_TEST_KERNEL` and
    /// `FLINT_TEST_IMAGE`.
    #[must_use]
    pub fn of_a_test(flint: &str, scratch: &str, name: &str) -> Options {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let given = |variable: &str, built: &str| {
            std::env::var_os(variable).map_or_else(|| root.join(built), PathBuf::from)
        };
        Options {
            flint: flint.into(),
            kernel: given("FLINT_TEST_KERNEL", "build/kernel/linux/vmlinux"),
            image: given("FLINT_TEST_IMAGE", "build/demo/rootfs.ext4"),
            vmm: "qemu".to_owned(),
            scratch: scratch.into(),
            name: name.to_owned(),
            source: Source::Webhook,
        }
    }
}

/// What the demo saw.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The jobs, as the daemon remembers them, in the order in which they were heard of.
    pub jobs: Vec<JobRow>,
    /// How many microVMs ran.
    pub microvms: usize,
    /// What of Flint is still there.
    pub leftovers: Vec<String>,
    /// What is not as it should be.
    pub wrong: Vec<String>,
}

/// Runs the demo; `say` is told each line as it comes.
///
/// # Errors
/// When something it needs is missing, or the jobs do not end in time. Everything it made is removed then too.
pub fn run(options: &Options, say: &(dyn Fn(&str) + Sync)) -> Result<Summary> {
    std::fs::create_dir_all(&options.scratch)?;
    let folder = tempfile::Builder::new().prefix("demo-").tempdir_in(&options.scratch);
    let folder = folder.context("cannot make a directory for the demo's state")?;
    let places = Places::make(&options.name)?;
    let pem = generate_pem()?;
    say("demo: a made-up GitHub in a network namespace of its own");
    let github = Github::start_with(&places, pem.clone(), options.source)?;
    let adjust = match options.source {
        Source::Webhook => |_: &mut toml::Table| {},
        Source::ScaleSet => scale_sets::configure,
    };
    let how = How { adjust, ..How::plain(&pem) };
    let mut daemon = Daemon::start(options, &places, folder.path(), how)?;
    let outcome = jobs(&mut daemon, &github, (options.source, say));
    let stopped = daemon.stop();
    let state_dir = daemon.state_dir();
    let search = Search { prefix: &options.name, state_dir: &state_dir, uplink: places.host() };
    let seen = outcome.with_context(|| daemon.last_words())?;
    stopped?;
    let leftovers = search.leftovers();
    let mut wrong = proof::wrong(&seen, &leftovers);
    if options.source == Source::ScaleSet {
        wrong.extend(scale_sets::wrong(&github.0));
    }
    let microvms = seen.microvms();
    Ok(Summary { jobs: seen.rows, microvms, leftovers, wrong })
}

/// What was seen of the jobs.
pub(crate) struct Seen {
    /// As the daemon tells them.
    rows: Vec<JobRow>,
    /// What each printed, by GitHub's number.
    logs: Vec<(u64, Vec<String>)>,
}

impl Seen {
    fn microvms(&self) -> usize {
        let vms: std::collections::BTreeSet<_> =
            self.rows.iter().filter_map(|row| row.vm.as_ref()).collect();
        vms.len()
    }
}

fn jobs(
    daemon: &mut Daemon,
    github: &Github,
    (source, say): (Source, &(dyn Fn(&str) + Sync)),
) -> Result<Seen> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let status = daemon.ready().await?;
        say(&format!("demo: flint {} serves, {}", status.version, status.vmm));
        let wrong = halves::wrong(daemon.id(), daemon::PORT);
        if !wrong.is_empty() {
            bail!("the two halves are not apart: {}", wrong.join("; "));
        }
        let second = daemon.second()?;
        if !second.contains("another Flint on this host names its slots after") {
            bail!("a second Flint with the same prefix is not refused for that: {second}");
        }
        say("demo: what faces the network is nobody, without rights, files or network");
        let ids = github.0.queue(WORKFLOW)?;
        let how = match source {
            Source::Webhook => "told by signed webhooks",
            Source::ScaleSet => "told by scale sets: no webhook is sent",
        };
        say(&format!("demo: {} jobs are queued, {how}", ids.len()));
        let watching = watch::until_done(daemon.client(), &github.0, &ids, say);
        match tokio::time::timeout(PATIENCE, watching).await {
            Ok(seen) => seen,
            Err(_) => bail!("the jobs have not ended after {} minutes", PATIENCE.as_secs() / 60),
        }
    })
}

/// The fake GitHub, on a thread that lives in its namespace.
pub(crate) struct Github(pub(crate) Arc<FakeGithub>, Option<tokio::sync::oneshot::Sender<()>>);

impl Github {
    pub(crate) fn start(places: &Places, pem: String) -> Result<Github> {
        Github::start_with(places, pem, Source::Webhook)
    }

    fn start_with(places: &Places, pem: String, source: Source) -> Result<Github> {
        let mut config = Config::new(pem);
        let url = format!("http://{HOST}:{}/webhook", daemon::PORT);
        if source == Source::Webhook {
            config.webhook = Some(Webhook { url, secret: SECRET.to_owned() });
        }
        Github::with(places, config)
    }

    /// One that is told otherwise.
    pub(crate) fn with(places: &Places, mut config: Config) -> Result<Github> {
        config.public_url = format!("http://{GITHUB}");
        let (tell, told) = mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let netns = places.github_file();
        std::thread::spawn(move || serve(&netns, config, &tell, stopped));
        let github = told.recv().context("the fake GitHub's thread has ended")??;
        Ok(Github(github, Some(stop)))
    }
}

impl Drop for Github {
    fn drop(&mut self) {
        // Its thread may have ended by itself.
        self.1.take().map(|stop| stop.send(()).ok());
    }
}

fn serve(
    netns: &Path,
    config: Config,
    tell: &mpsc::Sender<Result<Arc<FakeGithub>>>,
    stopped: tokio::sync::oneshot::Receiver<()>,
) {
    let ran = flint::sys::netns::run_in(netns, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let listener = TcpListener::bind(SocketAddr::from((GITHUB, 80))).await?;
            let github = Arc::new(FakeGithub::start(listener, config).await?);
            tell.send(Ok(github)).ok();
            // The sender is dropped with the demo, which ends this too.
            stopped.await.ok();
            anyhow::Ok(())
        })
    });
    if let Err(error) = ran.map_err(anyhow::Error::from).and_then(|inner| inner) {
        tell.send(Err(error.context("cannot start the fake GitHub"))).ok();
    }
}
