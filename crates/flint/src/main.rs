//! The `flint` program: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    flint::cli::main()
}
