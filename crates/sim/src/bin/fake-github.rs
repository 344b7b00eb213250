//! The fake GitHub as a program, for the demo and for trying a configuration by hand.

use anyhow::Context as _;
use clap::Parser;
use flint_sim::github::{Config, FakeGithub, Limits, Webhook, generate_pem};
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::TcpListener;

/// A fake GitHub: REST, signed webhooks, the runner protocol. Queue a job with
/// `curl --data-binary @ci.yml URL/_sim/jobs`.
#[derive(Parser)]
struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8000")]
    listen: SocketAddr,
    /// How runners reach this server [default: http://LISTEN].
    #[arg(long, default_value = "")]
    public_url: String,
    /// Where to send webhooks, such as http://127.0.0.1:3000/webhook.
    #[arg(long, requires = "webhook_secret")]
    webhook_url: Option<String>,
    /// The secret they are signed with.
    #[arg(long, env = "FAKE_GITHUB_WEBHOOK_SECRET", hide_env_values = true)]
    webhook_secret: Option<String>,
    /// The organization.
    #[arg(long, default_value = "flint-demo")]
    organization: String,
    /// Its repositories; jobs are queued in the first one unless `?repository=NAME` says otherwise.
    #[arg(long, default_value = "widgets", num_args = 1..)]
    repository: Vec<String>,
    /// The App's id.
    #[arg(long, default_value = "123456")]
    app_id: String,
    /// Take any number of calls; without this, GitHub's rate limits hold.
    #[arg(long)]
    no_limits: bool,
    /// Remove registrations that are idle for so many seconds.
    #[arg(long)]
    idle: Option<u64>,
    /// What the chances of faults are drawn from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The App's private key; made when the file does not exist.
    #[arg(long)]
    private_key: PathBuf,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut config = Config::new(key(&arguments.private_key)?);
    config.public_url = arguments.public_url.trim_end_matches('/').to_owned();
    config.organization = arguments.organization;
    config.seed = arguments.seed;
    config.idle = arguments.idle.map(Duration::from_secs);
    if arguments.no_limits {
        config.limits = Limits::none();
    }
    let mut repositories = arguments.repository.into_iter();
    config.repository = repositories.next().unwrap_or(config.repository);
    config.app = arguments.app_id;
    let target = arguments.webhook_url.zip(arguments.webhook_secret);
    config.webhook = target.map(|(url, secret)| Webhook { url, secret });
    let listener = TcpListener::bind(arguments.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", arguments.listen))?;
    let github = FakeGithub::start(listener, config).await?;
    repositories.for_each(|name| github.add_repository(&name));
    let mut out = std::io::stdout();
    writeln!(out, "fake-github: listening on {}", github.url())?;
    out.flush()?;
    tokio::signal::ctrl_c().await?;
    Ok(())
}

fn key(path: &Path) -> anyhow::Result<String> {
    if path.exists() {
        return fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()));
    }
    let pem = generate_pem()?;
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(pem.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(pem)
}
