//! The project's own tools: `cargo xtask COMMAND`.

mod bench;
mod cargo;
mod demo;
mod fuzz;
mod guest;
mod lint;
mod lives;
mod rooms;
mod test;
mod tidy;

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
    /// Run the tests: all tiers that this machine can run, or those that are named.
    ///
    /// FLINT_REQUIRE=net,vm makes it an error when one of them cannot run.
    Test {
        /// unit, scripts, lives, daemon, browser, net, scope, vm, firecracker.
        tiers: Vec<String>,
    },
    /// Measure sizes and speed, here and now.
    Bench,
    /// All that must be green before a commit: format, lints, tidy.
    Lint,
    /// Build the guests' kernel bundle.
    Kernel(guest::KernelArgs),
    /// Build the guests' default image.
    Filesystem(guest::FilesystemArgs),
    /// Kill the daemon at every step of a job's life, and look at what comes of it. Needs root.
    KillMatrix {
        /// For the matrix: `--point LABEL`, `--list`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Try to break out of a microVM, to its neighbour, and to secrets. Needs root.
    Escape {
        /// For the program that tries: `--help`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Run many lives of the core: `--from N --count N`, `--seed-trace N`, `--planted FAULT|all`.
    #[command(disable_help_flag = true)]
    Lives {
        /// For the program that lives them.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Feed what strangers send with inputs that a fuzzer makes up. Needs a C++ compiler.
    Fuzz(fuzz::FuzzArgs),
    /// Run the offline demo.
    Demo {
        /// Only make what it needs: programs, kernel, an image with the fake runner.
        #[arg(long)]
        prepare: bool,
        /// For the demo.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Says whether all is well, where the command has told itself what is not.
fn run(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Tidy { root: other } => tidied(&other.unwrap_or_else(root)),
        Command::Test { tiers } => test::test(&tiers),
        Command::Bench => bench::bench(),
        Command::Lint => {
            lint::lint()?;
            tidied(&root())
        }
        Command::Kernel(args) => guest::kernel(&args).map(|()| true),
        Command::Filesystem(args) => guest::filesystem(&args).map(|()| true),
        Command::KillMatrix { arguments } => demo::kill_matrix(&arguments),
        Command::Escape { arguments } => demo::escape(&arguments),
        Command::Fuzz(args) => fuzz::fuzz(&args),
        Command::Lives { arguments } => lives::lives(&arguments),
        Command::Demo { prepare: true, .. } => demo::prepare().map(|()| true),
        Command::Demo { arguments, .. } => demo::demo(&arguments),
    }
}

fn tidied(root: &Path) -> anyhow::Result<bool> {
    let problems = tidy::check(root)?;
    problems.iter().for_each(|problem| say(&problem.to_string()));
    match problems.len() {
        0 => say("tidy: ok"),
        n => say(&format!("tidy: {n} problems")),
    }
    Ok(problems.is_empty())
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
