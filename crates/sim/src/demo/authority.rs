//! A GitHub with an authority of its own: a job looks whether its guest trusts it.

use super::Options;
use super::daemon::Daemon;
use super::stage::{GLANCE, Stage};
use crate::github::{FakeGithub, JobView};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// What a job finds, in lines that a test reads. `SERVER` becomes the certificate of a server of that authority.
const WORKFLOW: &str = "name: trust
on: push
jobs:
  trust:
    runs-on: [self-hosted, linux, small]
    steps:
      - run: |
          echo 'SERVER' | base64 -d > server.pem
          echo \"node: $NODE_EXTRA_CA_CERTS\"
          echo \"openssl: $SSL_CERT_FILE\"
          own=$(sed -n 2p /usr/local/share/ca-certificates/flint-1.crt)
          echo \"in the list: $(grep -c -F \"$own\" /etc/ssl/certs/ca-certificates.crt)\"
          echo \"for node: $(grep -c -F \"$own\" \"$NODE_EXTRA_CA_CERTS\")\"
          echo \"others: $(test $(grep -c BEGIN /etc/ssl/certs/ca-certificates.crt) -gt 1 && echo kept)\"
          openssl verify server.pem
          env -u SSL_CERT_FILE openssl verify -CAfile /etc/ssl/certs/ca-certificates.crt server.pem
";

/// One microVM on a slow machine.
const PATIENCE: Duration = Duration::from_mins(4);

/// What became of the job.
#[derive(Clone, Debug)]
pub struct Trusting {
    /// As GitHub has it.
    pub job: JobView,
    /// Its log there.
    pub log: Vec<String>,
}

/// Runs the job, and waits until it has ended.
///
/// # Errors
/// When something it needs is missing, or the job does not end in time. Everything it made is removed then too.
pub fn authority(options: &Options) -> Result<Trusting> {
    let stage = Stage::set(options, "authority")?;
    let server = make(stage.folder())?;
    let story = async |_: &mut Daemon, github: &FakeGithub| story(github, &server).await;
    stage.play(stage.adjusted(trust), PATIENCE, story)
}

/// Makes an authority's file where the daemon's configuration lies; gives the certificate of a server of it.
fn make(folder: &Path) -> Result<Vec<u8>> {
    let request =
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let own = ["-subj", "/CN=Flint demo", "-keyout", "ca.key", "-out", CA];
    let by = ["-CA", CA, "-CAkey", "ca.key", "-addext", "basicConstraints=critical,CA:FALSE"];
    let theirs = ["-subj", "/CN=ghes.example", "-keyout", "server.key", "-out", "server.pem"];
    for arguments in [own.to_vec(), [&by[..], &theirs[..]].concat()] {
        let mut openssl = Command::new("openssl");
        let made = openssl.args(request).args(arguments).current_dir(folder).output();
        let made = made.context("cannot run `openssl`")?;
        if !made.status.success() {
            bail!("openssl: {}", String::from_utf8_lossy(&made.stderr));
        }
    }
    Ok(fs::read(folder.join("server.pem"))?)
}

/// Beside the App's key.
const CA: &str = "ca.pem";

/// The configuration names it.
fn trust(config: &mut toml::Table) {
    let github = config.get_mut("github").and_then(toml::Value::as_table_mut);
    let Some(github) = github else { return };
    let key = github.get("private_key").and_then(toml::Value::as_str).unwrap_or_default();
    let file = Path::new(key).with_file_name(CA).to_string_lossy().into_owned();
    github.insert("ca_certificate".to_owned(), file.into());
}

async fn story(github: &FakeGithub, server: &[u8]) -> Result<Trusting> {
    use base64::Engine as _;
    let server = base64::engine::general_purpose::STANDARD.encode(server);
    let ids = github.queue(&WORKFLOW.replace("SERVER", &server))?;
    let id = *ids.first().context("the job is queued")?;
    loop {
        let job = github.job(id).context("GitHub knows it")?;
        if job.status == "completed" {
            return Ok(Trusting { job, log: github.log(id) });
        }
        tokio::time::sleep(GLANCE).await;
    }
}
