//! What tries to get out of a guest; `cargo xtask escape` puts it there.

use std::process::ExitCode;

fn main() -> ExitCode {
    flint_sim::intruder::main()
}
