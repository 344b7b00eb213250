//! A stand-in for GitHub's runner that speaks the same protocol and runs `run:` steps with bash.
//!
//! It does what the real one does as far as the coordinator, the agent and the guest can see: the same files, calls,
//! lines, hooks, signals to steps and exit codes. Not done: TLS, `uses:` steps, expressions, log masking, reaction to
//! signals of its own (the real one cancels its job on SIGTERM; this one just ends).
//!
//! It needs none of the crate's `full` feature, so that it can be built alone and static for a guest image.

mod console;
mod error;
mod files;
mod http;
mod jit;
mod listener;
mod message;
mod protocol;
mod step;
mod worker;

pub use error::Error;
pub use jit::runner_name;

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

/// What it claims to be; GitHub refuses runners older than 2.329.0.
pub const VERSION: &str = "2.337.0";
/// The variable that carries the registration. Never passed on to a child.
pub const JIT_VARIABLE: &str = "ACTIONS_RUNNER_INPUT_JITCONFIG";

/// `Runner.Listener run | warmup | --version`.
#[must_use]
pub fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["--version"] => {
            console::line(VERSION);
            ExitCode::SUCCESS
        }
        ["warmup"] => ExitCode::SUCCESS,
        ["run"] => run(env::var(JIT_VARIABLE).ok()),
        ["run", "--jitconfig", config] => run(Some((*config).to_owned())),
        _ => {
            console::line("usage: Runner.Listener run [--jitconfig CONFIG] | warmup | --version");
            ExitCode::from(1)
        }
    }
}

fn run(jit_config: Option<String>) -> ExitCode {
    let ended = jit_config
        .ok_or(Error::NoConfig)
        .and_then(|config| jit::Identity::decode(&config))
        .and_then(|identity| listener::listen(&identity, &root()));
    match ended {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            console::error(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

/// The folder that holds `bin/Runner.Listener`; for a program that lies elsewhere, the working directory.
fn root() -> PathBuf {
    let bin = env::current_exe().ok().and_then(|exe| exe.parent().map(PathBuf::from));
    let root =
        bin.filter(|bin| bin.ends_with("bin")).and_then(|bin| bin.parent().map(PathBuf::from));
    root.or_else(|| env::current_dir().ok()).unwrap_or_else(|| PathBuf::from("/"))
}
