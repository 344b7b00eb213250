//! What the real program takes while it serves and has nothing to do.

use super::daemon::{Daemon, How};
use super::places::Places;
use super::{Github, Options};
use crate::github::generate_pem;
use anyhow::{Context, Result};
use std::time::Duration;

/// After it serves: its first scan of the host and its first questions to GitHub are over by then.
const SETTLE: Duration = Duration::from_secs(10);

/// Starts the daemon as the demo does, gives it no job, and says its resident memory in KiB.
///
/// # Errors
/// When something it needs is missing, or it does not serve.
pub fn resident(options: &Options) -> Result<u64> {
    let folder = tempfile::Builder::new().prefix("idle-").tempdir_in(&options.scratch)?;
    let places = Places::make(&options.name)?;
    let pem = generate_pem()?;
    let _github = Github::start(&places, pem.clone())?;
    let mut daemon = Daemon::start(options, &places, folder.path(), How::plain(&pem))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let resident = runtime.block_on(async {
        daemon.ready().await?;
        tokio::time::sleep(SETTLE).await;
        resident_of(daemon.id())
    });
    let stopped = daemon.stop();
    let resident = resident.with_context(|| daemon.last_words())?;
    stopped.map(|()| resident)
}

fn resident_of(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    number.context("the kernel does not say `VmRSS`")?.parse().context("`VmRSS` is no number")
}
