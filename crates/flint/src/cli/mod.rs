//! The command line: what a person types, and what they read.
//!
//! It talks to the daemon over the API socket. `serve`, `run`, `--interactive` and `doctor` need no daemon.

mod args;
pub mod client;
mod doctor;
pub mod error;
mod files;
mod output;
mod tables;
#[cfg(test)]
mod tests;

use crate::config::{self, Config, Flags, Machine, Purpose, Sources};
use crate::error::{Exit, Problem};
use crate::sys::host_facts;
use crate::{api, daemon};
use args::{Cli, Command, Files};
use clap::Parser;
use client::Client;
use error::Error;
use flint_core::id::ProfileId;
use flint_core::units::{MiB, Timestamp};
use output::Output;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error),
    };
    match carry_out(cli) {
        Ok(exit) => exit.into(),
        Err(problem) => {
            output::complain(&problem.render(output::color_errors()));
            problem.exit.into()
        }
    }
}

/// `--help` and `--version` are errors to clap, too: they go to standard output and end well.
fn usage(error: &clap::Error) -> ExitCode {
    // There is nobody to tell when even that fails.
    let _ = error.print();
    if error.use_stderr() { Exit::Usage.into() } else { Exit::Ok.into() }
}

fn carry_out(cli: Cli) -> Result<Exit, Problem> {
    let out = Output { json: cli.json };
    let Some(command) = cli.command else {
        return without_command(cli.config, cli.flags, cli.interactive);
    };
    let (config, top) = (cli.config, cli.flags);
    match command {
        Command::Serve { flags } => serve(config, flags.or(top)),
        Command::Run { profile, flags, argv } => run(config, flags.or(top), profile, argv),
        Command::Image { what } => look(out, config, top, what, files::Role::Image),
        Command::Kernel { what } => look(out, config, top, what, files::Role::Kernel),
        Command::Doctor { github, flags } => {
            let sources = gather(flags.or(top), config)?;
            doctor::run(out, &sources, &machine(), github)
        }
        Command::Version => version(out),
        Command::Ps
        | Command::Jobs { .. }
        | Command::Why { .. }
        | Command::Logs { .. }
        | Command::Status
        | Command::Drain => {
            let client = Client::new(socket(cli.socket, config, top)?);
            block_on(ask(out, client, command))?.map_err(Problem::from)
        }
    }
}

/// Bare `flint`: as the original, flags mean "serve"; with nothing at all the help is more use than an error.
fn without_command(
    config: Option<PathBuf>,
    flags: Flags,
    interactive: bool,
) -> Result<Exit, Problem> {
    if interactive {
        let config = load(&gather(flags, config)?, Purpose::Local)?;
        let profile = choose(&config, None)?;
        let by_hand = daemon::ByHand { profile, argv: Vec::new() };
        return by_hand_exit(block_on(daemon::run(config, by_hand))?);
    }
    if flags.is_empty() && config.is_none() && std::env::var_os("FLINT_CONFIG").is_none() {
        use clap::CommandFactory;
        output::complain(&Cli::command().render_help().to_string());
        return Ok(Exit::Usage);
    }
    serve(config, flags)
}

fn serve(config: Option<PathBuf>, flags: Flags) -> Result<Exit, Problem> {
    let config = load(&gather(flags, config)?, Purpose::Serve)?;
    let ended = block_on(daemon::serve(config))?;
    ended.map(|()| Exit::Ok).map_err(from_daemon)
}

fn run(
    config: Option<PathBuf>,
    flags: Flags,
    profile: Option<String>,
    argv: Vec<String>,
) -> Result<Exit, Problem> {
    let config = load(&gather(flags, config)?, Purpose::Local)?;
    let profile = choose(&config, profile)?;
    by_hand_exit(block_on(daemon::run(config, daemon::ByHand { profile, argv }))?)
}

/// A code outside of 0 to 255 cannot be an exit code: something went wrong in the guest.
fn by_hand_exit(ended: Result<i32, daemon::Error>) -> Result<Exit, Problem> {
    let code = ended.map_err(from_daemon)?;
    Ok(u8::try_from(code).map_or(Exit::Failed, Exit::Command))
}

fn from_daemon(error: daemon::Error) -> Problem {
    let help = error.help();
    Problem::new(Exit::Failed, error).help(help)
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

fn look(
    out: Output,
    config: Option<PathBuf>,
    top: Flags,
    what: Files,
    role: files::Role,
) -> Result<Exit, Problem> {
    let (Files::List { flags } | Files::Check { flags }) = what.clone();
    let config = load(&gather(flags.or(top), config)?, Purpose::Local)?;
    let found = files::look(&config, role);
    out.show(&found, |found| files::show(found))?;
    let bad = found.iter().any(|file| !file.good);
    Ok(if bad && matches!(what, Files::Check { .. }) { Exit::Refused } else { Exit::Ok })
}

fn version(out: Output) -> Result<Exit, Problem> {
    let version = serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "protocol": flint_wire::PROTOCOL,
        "arch": std::env::consts::ARCH,
    });
    let text =
        format!("flint {}, guest protocol {}", env!("CARGO_PKG_VERSION"), flint_wire::PROTOCOL);
    out.show(&version, |_| text.clone())?;
    Ok(Exit::Ok)
}

/// The commands that ask the daemon.
async fn ask(out: Output, client: Client, command: Command) -> Result<Exit, Error> {
    let now = now();
    match command {
        Command::Ps => {
            let answer: api::Vms = client.get("/v1/vms").await?;
            out.show(&answer, |answer| tables::vms(answer, now))?;
        }
        Command::Jobs { all } => {
            let path = if all { "/v1/jobs?done=1" } else { "/v1/jobs" };
            let answer: api::Jobs = client.get(path).await?;
            out.show(&answer, |answer| tables::jobs(answer, now))?;
        }
        Command::Why { job } => {
            let answer: api::WhyAnswer = client.get(&format!("/v1/why/{job}")).await?;
            out.show(&answer, tables::why)?;
        }
        Command::Logs { vm, follow, console } => {
            let flag = |on: bool| u8::from(on);
            let path = format!("/v1/logs/{vm}?follow={}&console={}", flag(follow), flag(console));
            logs(out, &client, &path).await?;
        }
        Command::Drain => show_status(out, &client.post("/v1/drain").await?)?,
        _ => show_status(out, &client.get("/v1/status").await?)?,
    }
    Ok(Exit::Ok)
}

fn show_status(out: Output, answer: &api::Status) -> Result<(), Error> {
    out.show(answer, |answer| tables::status(answer, now()))
}

/// A guest's text as it comes. A character cut in two by the stream is put together again.
async fn logs(out: Output, client: &Client, path: &str) -> Result<(), Error> {
    let mut rest: Vec<u8> = Vec::new();
    let take = |piece: &[u8]| {
        rest.extend_from_slice(piece);
        let whole = rest.utf8_chunks().next().map_or(0, |chunk| match chunk.invalid().len() {
            0 => chunk.valid().len(),
            // Up to three bytes at the very end may be the beginning of a character.
            _ if rest.len() - chunk.valid().len() <= 3 => chunk.valid().len(),
            _ => rest.len(),
        });
        let text = String::from_utf8_lossy(&rest[..whole]).into_owned();
        rest.drain(..whole);
        let shown = output::escaped_stream(&text);
        out.raw(shown.as_bytes()).map_err(std::io::Error::other)
    };
    client.stream(path, take).await
}

fn gather(flags: Flags, config: Option<PathBuf>) -> Result<Sources, Problem> {
    Sources::gather(flags, config).map_err(|error| Problem::new(Exit::Usage, error))
}

/// The configuration; its warnings are printed, its errors end the command, each at its line.
fn load(sources: &Sources, purpose: Purpose) -> Result<Config, Problem> {
    let checked = config::check(sources, &machine(), purpose);
    if !checked.report.problems.is_empty() {
        output::complain(&checked.report.render(output::color_errors()));
    }
    let help = "each is shown above; docs/config.md lists every key".to_owned();
    checked.config.ok_or_else(|| Problem::new(Exit::Usage, checked.report).help(help))
}

fn socket(
    given: Option<PathBuf>,
    config: Option<PathBuf>,
    flags: Flags,
) -> Result<PathBuf, Problem> {
    match given {
        Some(path) => Ok(path),
        None => Ok(gather(flags, config)?.run_dir().join(api::SOCKET)),
    }
}

fn machine() -> Machine {
    Machine {
        cpus: host_facts::cpus(),
        memory: MiB(host_facts::memory_mib()),
        free_disk: |path| host_facts::free_disk_mib(path).map(MiB),
    }
}

/// The clock is read here once per command: answers are shown against it.
fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Timestamp(since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX)))
}

fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Problem> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Problem::from(Error::Runtime { source }))?;
    Ok(runtime.block_on(work))
}
