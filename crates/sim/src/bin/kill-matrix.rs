//! `cargo xtask kill-matrix`: the daemon, killed at every step of a job's life.

use clap::Parser;
use flint_sim::demo::{Options, Source};
use flint_sim::kills::{Aim, aims, run};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Kills the daemon with SIGKILL at every labelled step, with three jobs in flight, and looks at what comes of it.
/// Needs root.
#[derive(Parser)]
struct Arguments {
    /// Only this label, or `label:n` for another time than the usual.
    #[arg(long, value_name = "LABEL")]
    point: Vec<String>,
    /// Prints the labels and the usual times, and does nothing.
    #[arg(long)]
    list: bool,
    /// The program `flint`, built with the feature `kill-points`.
    #[arg(long, default_value = "target/debug/killable")]
    flint: PathBuf,
    /// The kernel; its initramfs and modules lie beside it.
    #[arg(long, default_value = "build/kernel/linux/vmlinux")]
    kernel: PathBuf,
    /// An image with a runner in it.
    #[arg(long, default_value = "build/demo/rootfs.ext4")]
    image: PathBuf,
    /// auto, firecracker or qemu.
    #[arg(long, default_value = "qemu")]
    vmm: String,
    /// Where state goes meanwhile.
    #[arg(long, default_value = "build/kill-matrix")]
    scratch: PathBuf,
    /// Starts the name of everything that is made.
    #[arg(long, default_value = "flintkill")]
    name: String,
}

fn main() -> ExitCode {
    match matrix(Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("kill-matrix: failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn matrix(arguments: Arguments) -> anyhow::Result<bool> {
    if arguments.list {
        aims().iter().for_each(|aim| say(&aim.text()));
        return Ok(true);
    }
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
    let summary = run(&options, &chosen(&arguments.point)?, &say)?;
    say(&summary.line());
    Ok(summary.good())
}

fn chosen(points: &[String]) -> anyhow::Result<Vec<Aim>> {
    let all = aims();
    let find = |point: &String| {
        let (label, time) = match point.split_once(':') {
            Some((label, time)) => (label, Some(time.parse()?)),
            None => (point.as_str(), None),
        };
        let aim = all.iter().find(|aim| aim.label == label);
        let aim = aim
            .ok_or_else(|| anyhow::anyhow!("no point is called `{label}`; `--list` names them"))?;
        Ok(Aim { time: time.unwrap_or(aim.time), ..aim.clone() })
    };
    match points {
        [] => Ok(all.clone()),
        points => points.iter().map(find).collect(),
    }
}

/// A reader that is gone has seen enough.
fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").ok();
}
