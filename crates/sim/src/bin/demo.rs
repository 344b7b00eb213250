//! `make demo`: three jobs, three microVMs, no GitHub.

use clap::Parser;
use flint_sim::demo::{Options, Source, Summary, run};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs three jobs in three microVMs, with a made-up GitHub in a network namespace. Needs root.
#[derive(Parser)]
struct Arguments {
    /// The program `flint`.
    #[arg(long, default_value = "target/debug/flint")]
    flint: PathBuf,
    /// The kernel; its initramfs and modules lie beside it.
    #[arg(long, default_value = "build/kernel/linux/vmlinux")]
    kernel: PathBuf,
    /// An image with a runner in it.
    #[arg(long, default_value = "build/demo/rootfs.ext4")]
    image: PathBuf,
    /// auto, firecracker or qemu.
    #[arg(long, default_value = "auto")]
    vmm: String,
    /// Where state goes while the demo runs.
    #[arg(long, default_value = "build/demo")]
    scratch: PathBuf,
    /// Starts the name of everything the demo makes.
    #[arg(long, default_value = "flintdemo")]
    name: String,
    /// How the daemon hears of the jobs.
    #[arg(long, value_parser = ["webhook", "scale-set"], default_value = "webhook")]
    source: String,
    /// Prints the jobs with their times as JSON, for measurements.
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    match demo(Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("demo: failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn demo(arguments: Arguments) -> anyhow::Result<bool> {
    let absolute = std::path::absolute::<&PathBuf>;
    let options = Options {
        flint: absolute(&arguments.flint)?,
        kernel: absolute(&arguments.kernel)?,
        image: absolute(&arguments.image)?,
        vmm: arguments.vmm,
        scratch: absolute(&arguments.scratch)?,
        name: arguments.name,
        source: if arguments.source == "scale-set" { Source::ScaleSet } else { Source::Webhook },
    };
    let tell = |line: &str| {
        if !arguments.json {
            say(line)
        }
    };
    let Summary { jobs, microvms, leftovers, wrong } = run(&options, &tell)?;
    if arguments.json {
        say(&serde_json::to_string(&jobs)?);
    }
    wrong.iter().for_each(|wrong| tell(&format!("demo: WRONG: {wrong}")));
    let (ok, jobs, left) = (wrong.is_empty(), jobs.len(), leftovers.len());
    let verdict = if ok { "ok" } else { "failed" };
    tell(&format!("demo: {verdict}, {jobs} jobs, {microvms} microVMs, {left} leftovers"));
    Ok(ok)
}

/// A reader that is gone has seen enough.
fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").ok();
}
