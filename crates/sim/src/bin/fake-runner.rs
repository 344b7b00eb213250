//! A stand-in for GitHub's `Runner.Listener`: arguments and environment in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    flint_sim::runner::main()
}
