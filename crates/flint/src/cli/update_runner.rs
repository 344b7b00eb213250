//! `flint image update-runner`: another version of GitHub's runner for the images that profiles name.
//!
//! One image alone is named by the configuration's own flag, `--image`.

use super::output::Output;
use super::{block_on, gather, load};
use crate::assemble::{self, RunnerError, RunnerState, RunnerUpdate};
use crate::config::{Config, Flags, Purpose};
use crate::error::{Exit, Problem};
use clap::Args;
use flint_core::runner_version::RunnerVersion;
use indicatif::ProgressBar;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// Fast enough to look alive, slow enough for a serial line.
const TICK: Duration = Duration::from_millis(120);

/// Which runner, into which image.
#[derive(Clone, Args)]
pub(super) struct Asked {
    /// This version [default: the newest that GitHub names]
    #[arg(long, value_name = "VERSION")]
    version: Option<RunnerVersion>,
    /// This archive instead of a download; needs no network
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// What the archive's SHA-256 must be [default: what GitHub says of a download; of --from nothing is asked]
    #[arg(long, value_name = "HEX", value_parser = sum)]
    sha256: Option<String>,
}

/// Updates them, and says how to go back.
///
/// # Errors
/// Whatever stands in the way; the image in question is as it was.
pub(super) fn run(
    out: Output,
    asked: Asked,
    flags: Flags,
    file: Option<PathBuf>,
) -> Result<Exit, Problem> {
    let only = flags.get("profile.image").map(PathBuf::from);
    let sources = gather(flags, file)?;
    // An archive that is here is put in without GitHub.
    let purpose = if asked.from.is_some() { Purpose::Local } else { Purpose::Serve };
    let config = load(&sources, purpose)?;
    let images = only.map_or_else(|| named(&config), |image| vec![image]);
    let Asked { version, from, sha256 } = asked;
    let wish = RunnerUpdate { images, from, version, sha256 };
    let github = assemble::strictest(&config.github);
    // It shows nothing where there is no terminal.
    let bar = ProgressBar::new_spinner();
    bar.enable_steady_tick(TICK);
    let say = |step: &str| bar.set_message(crate::text::escaped(step));
    let done = block_on(assemble::update_runner(&wish, github, &say));
    bar.finish_and_clear();
    let done = done?.map_err(problem)?;
    let json: Vec<_> = done.iter().map(shown).collect();
    out.show(&json, |_| done.iter().map(told).collect::<Vec<_>>().join("\n"))?;
    Ok(Exit::Ok)
}

/// Each image once, those that jobs may ask for too.
pub(super) fn named(config: &Config) -> Vec<PathBuf> {
    let profiles = config.profiles.values();
    let images = profiles.flat_map(|p| std::iter::once(&p.image).chain(p.images.values()));
    images.cloned().collect::<BTreeSet<_>>().into_iter().collect()
}

fn shown(state: &RunnerState) -> serde_json::Value {
    match state {
        RunnerState::Updated(updated) => serde_json::json!(updated),
        RunnerState::Current { image, version } => {
            serde_json::json!({ "image": image, "from": version, "to": version, "kept": null })
        }
    }
}

fn told(state: &RunnerState) -> String {
    let text = match state {
        RunnerState::Current { image, version } => {
            format!("{} has version {version} already", image.display())
        }
        RunnerState::Updated(updated) => {
            let from = updated.from.as_deref().unwrap_or("a version that it does not tell");
            let (image, kept) = (updated.image.display(), updated.kept.display());
            format!(
                "{image}: {from} → {}; new microVMs take it, without a restart. Back: mv {kept} {image}",
                updated.to
            )
        }
    };
    crate::text::escaped(&text)
}

fn problem(error: RunnerError) -> Problem {
    let help = error.help();
    Problem::new(Exit::Failed, error).help(help)
}

fn sum(text: &str) -> Result<String, String> {
    let fits = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    fits.then(|| text.to_ascii_lowercase())
        .ok_or_else(|| "a SHA-256 has 64 hexadecimal digits".to_owned())
}
