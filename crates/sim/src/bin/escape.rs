//! `cargo xtask escape`: tries to break out of real microVMs.

use clap::Parser;
use flint_sim::demo::{Options, Source};
use flint_sim::escape::{Part, Summary, run};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs an intruder as root in a microVM, with another one beside it, and shows what it gets hold of: nothing. Needs root.
#[derive(Parser)]
struct Arguments {
    /// Only what is tried in the network.
    #[arg(long)]
    network: bool,
    /// The program `flint`.
    #[arg(long, default_value = "target/debug/flint")]
    flint: PathBuf,
    /// The kernel; its initramfs and modules lie beside it.
    #[arg(long, default_value = "build/kernel/linux/vmlinux")]
    kernel: PathBuf,
    /// An image with the intruder in it.
    #[arg(long, default_value = "build/demo/rootfs.ext4")]
    image: PathBuf,
    /// auto, firecracker or qemu.
    #[arg(long, default_value = "qemu")]
    vmm: String,
    /// Where state goes meanwhile.
    #[arg(long, default_value = "build/escape")]
    scratch: PathBuf,
    /// Starts the name of everything that is made.
    #[arg(long, default_value = "flintesc")]
    name: String,
}

fn main() -> ExitCode {
    match escape(Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("escape: failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn escape(arguments: Arguments) -> anyhow::Result<bool> {
    let absolute = std::path::absolute::<&PathBuf>;
    let options = Options {
        flint: absolute(&arguments.flint)?,
        kernel: absolute(&arguments.kernel)?,
        image: absolute(&arguments.image)?,
        vmm: arguments.vmm,
        scratch: absolute(&arguments.scratch)?,
        name: arguments.name,
        source: Source::Webhook,
    };
    let part = if arguments.network { Part::Network } else { Part::All };
    let summary: Summary = run(&options, part, &say)?;
    summary.wrong.iter().for_each(|wrong| say(&format!("escape: WRONG: {wrong}")));
    say(&summary.line());
    Ok(summary.good())
}

/// A reader that is gone has seen enough.
fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").ok();
}
