//! `flint run` and `flint --interactive`: one microVM by hand, without a daemon.

use super::error::Error;
use super::output::{self, Output};
use super::{block_on, from_daemon, journal};
use crate::assemble;
use crate::config::{self, Config};
use crate::error::{Exit, Problem};
use flint_core::id::ProfileId;
use flint_wire::guest::Stream;
use indicatif::ProgressBar;
use std::time::Duration;

/// Fast enough to look alive, slow enough for a serial line.
const TICK: Duration = Duration::from_millis(120);

/// Boots one microVM of the profile and runs `argv` in it; without any it gives a login on this terminal.
///
/// # Errors
/// No such profile, or the microVM or the command cannot start.
pub(super) fn by_hand(
    config: Config,
    profile: Option<String>,
    argv: Vec<String>,
) -> Result<Exit, Problem> {
    journal::start("warn");
    let profile = choose(&config, profile)?;
    // A login has the terminal to itself; `indicatif` shows nothing where there is no terminal.
    let bar = if argv.is_empty() { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    bar.set_message("booting a microVM");
    bar.enable_steady_tick(TICK);
    let print = |stream: Stream, text: &str| match stream {
        // The agent's own words are not the command's output.
        Stream::Agent => {}
        Stream::Out => {
            bar.finish_and_clear();
            // Whoever closed our output has seen enough; the command goes on.
            let _ = Output { json: false }.raw(format!("{text}\n").as_bytes());
        }
        Stream::Err => {
            bar.finish_and_clear();
            output::complain(text);
        }
    };
    let by_hand = assemble::ByHand { profile, argv };
    let ended = block_on(assemble::run(config, by_hand, print))?;
    bar.finish_and_clear();
    let code = ended.map_err(from_daemon)?;
    // A code outside of 0 to 255 cannot be an exit code: something went wrong in the guest.
    Ok(u8::try_from(code).map_or(Exit::Failed, Exit::Command))
}

/// The named profile, or the only one, or `default`.
fn choose(config: &Config, name: Option<String>) -> Result<ProfileId, Problem> {
    let name = name.unwrap_or_else(|| match config.profiles.keys().next() {
        Some(only) if config.profiles.len() == 1 => only.to_string(),
        _ => config::defaults::PROFILE.to_owned(),
    });
    let found = config.profiles.keys().find(|profile| profile.as_str() == name);
    found.cloned().ok_or_else(|| {
        let known: Vec<&str> = config.profiles.keys().map(ProfileId::as_str).collect();
        Error::NoProfile { name, known: known.join(", ") }.into()
    })
}
