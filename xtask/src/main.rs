//! The project's own tools: `cargo xtask COMMAND`.

mod rooms;
mod tidy;

use anyhow::bail;
use clap::{Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The project's own tools.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_version_flag = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check what the compiler does not: rooms, cycles, caps, habits, words.
    Tidy {
        /// Another checkout than this one.
        #[arg(long, value_name = "FOLDER")]
        root: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Tidy { root: other } => {
            let problems = tidy::check(&other.unwrap_or_else(root))?;
            problems.iter().for_each(|problem| say(&problem.to_string()));
            match problems.len() {
                0 => Ok(()),
                n => bail!("tidy: {n} problems"),
            }
        }
    }
}

/// The workspace's folder.
fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// The only way in which these tools talk.
#[expect(clippy::print_stdout, reason = "these are tools for a terminal")]
fn say(text: &str) {
    println!("{text}");
}
