//! What the real program takes while it serves and has nothing to do.

use super::Options;
use super::daemon::{Daemon, How};
use super::stage::Stage;
use crate::github::FakeGithub;
use anyhow::{Context, Result};
use std::time::Duration;

/// After it serves: its first scan of the host and its first questions to GitHub are over by then.
const SETTLE: Duration = Duration::from_secs(10);

/// Starts the daemon as the demo does, gives it no job, and says its resident memory in KiB.
///
/// # Errors
/// When something it needs is missing, or it does not serve.
pub fn resident(options: &Options) -> Result<u64> {
    let stage = Stage::set(options, "idle")?;
    let story = async |daemon: &mut Daemon, _: &FakeGithub| {
        tokio::time::sleep(SETTLE).await;
        resident_of(daemon.id())
    };
    stage.play(How::plain(stage.pem()), 2 * SETTLE, story)
}

fn resident_of(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    number.context("the kernel does not say `VmRSS`")?.parse().context("`VmRSS` is no number")
}
