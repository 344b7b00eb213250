//! The command line: what a person types, and what they read.
//!
//! It talks to the daemon over the API socket. `serve`, `run`, `--interactive`, `doctor`, `export` and `replay` need no
//! daemon.

mod args;
mod ask;
pub mod client;
mod doctor;
pub mod error;
mod export;
mod files;
mod init;
mod journal;
mod network;
mod output;
mod replay;
mod run;
mod tables;
#[cfg(test)]
mod tests;
mod update_runner;

use crate::config::{self, Config, Flags, Machine, Purpose, Sources};
use crate::error::{Exit, Problem, chain};
use crate::sys::host_facts;
use crate::{api, assemble};
use args::{Cli, Command, Files, Images};
use clap::Parser;
use client::Client;
use error::Error;
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
        Command::Run { profile, flags, argv } => {
            let config = load(&gather(flags.or(top), config)?, Purpose::Local)?;
            run::by_hand(config, profile, argv)
        }
        Command::Image { what: Images::Files(what) } => {
            look(out, config, top, what, files::Role::Image)
        }
        Command::Image { what: Images::UpdateRunner { asked, flags } } => {
            update_runner::run(out, asked, flags.or(top), config)
        }
        Command::Kernel { what } => look(out, config, top, what, files::Role::Kernel),
        Command::Doctor { github, flags } => {
            let sources = gather(flags.or(top), config)?;
            doctor::run(out, &sources, &machine(), github)
        }
        Command::Export { since, raw, output, flags } => {
            let directory = gather(flags.or(top), config)?.state_dir();
            export::run(out, &directory, &export::Wish { since, raw, output })
        }
        Command::Replay { events, from, to, at } => {
            replay::run(out, &events, replay::Part { from, to, at })
        }
        Command::Init { given } => init::run(out, config, given, &top),
        Command::Network { what } => {
            let (what, flags) = what.parts();
            let config = load(&gather(flags.or(top), config)?, Purpose::Local)?;
            network::network(out, &config, what)
        }
        Command::Front { uid } => Ok(front(uid)),
        Command::Names { uid } => Ok(names(uid)),
        Command::Version => version(out),
        Command::Ps
        | Command::Jobs { .. }
        | Command::Why { .. }
        | Command::Logs { .. }
        | Command::Status
        | Command::Drain => {
            let client = Client::new(socket(cli.socket, config, top)?);
            block_on(ask::ask(out, &client, command))?.map_err(Problem::from)
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
        return run::by_hand(config, None, Vec::new());
    }
    if flags.is_empty() && config.is_none() && std::env::var_os("FLINT_CONFIG").is_none() {
        use clap::CommandFactory;
        output::complain(&Cli::command().render_help().to_string());
        return Ok(Exit::Usage);
    }
    serve(config, flags)
}

fn serve(config: Option<PathBuf>, flags: Flags) -> Result<Exit, Problem> {
    journal::start("info");
    if let Err(error) = assemble::keep_memory() {
        tracing::warn!(%error, "a crash may leave secrets in a core dump");
    }
    let config = load(&gather(flags, config)?, Purpose::Serve)?;
    let ended = block_on(assemble::serve(config))?;
    ended.map(|()| Exit::Ok).map_err(from_daemon)
}

/// What goes wrong is one line for the daemon, which logs it. A confined process may not ask whether that is a terminal.
fn front(uid: u32) -> Exit {
    journal::start_plain();
    match assemble::half(uid) {
        Ok(()) => Exit::Ok,
        Err(error) => {
            let help = error.help().unwrap_or_default();
            tracing::error!(error = %chain(&error), help);
            Exit::Failed
        }
    }
}

fn names(uid: u32) -> Exit {
    journal::start_plain();
    match assemble::names(uid) {
        Ok(()) => Exit::Ok,
        Err(error) => {
            tracing::error!(error = %chain(&error));
            Exit::Failed
        }
    }
}

fn from_daemon(error: assemble::Error) -> Problem {
    let help = error.help();
    Problem::new(Exit::Failed, error).help(help)
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
