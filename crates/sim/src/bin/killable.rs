//! The program `flint` with kill points: the same `main`, built with their feature.

use std::process::ExitCode;

fn main() -> ExitCode {
    flint::cli::main()
}
