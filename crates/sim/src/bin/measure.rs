//! One measurement for `make bench`, printed as JSON.

use anyhow::Result;
use clap::{Parser, Subcommand};
use flint_sim::demo::{self, Options, Source};
use flint_sim::measure::{Disks, Guests, boots, disks, plans};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Measures Flint, and prints JSON. Needs root.
#[derive(Parser)]
struct Arguments {
    /// The program `flint`.
    #[arg(long, default_value = "target/release/flint")]
    flint: PathBuf,
    /// The kernel; its initramfs and modules lie beside it.
    #[arg(long, default_value = "build/kernel/linux/vmlinux")]
    kernel: PathBuf,
    /// An image with a runner in it.
    #[arg(long, default_value = "build/demo/rootfs.ext4")]
    image: PathBuf,
    /// Where state goes while it measures.
    #[arg(long, default_value = "build/demo")]
    scratch: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Boots guests without a daemon.
    Boot,
    /// Makes disks.
    Disks,
    /// Lets the daemon idle.
    Idle,
    /// Plans a large world.
    Plan,
}

fn main() -> ExitCode {
    let measured = measure(&Arguments::parse());
    // A reader that is gone has seen enough.
    match measured {
        Ok(json) => {
            writeln!(std::io::stdout(), "{json}").ok();
            ExitCode::SUCCESS
        }
        Err(error) => {
            writeln!(std::io::stderr(), "{error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> Result<String> {
    let absolute = std::path::absolute::<&PathBuf>;
    let (kernel, image) = (absolute(&arguments.kernel)?, absolute(&arguments.image)?);
    let (flint, scratch) = (absolute(&arguments.flint)?, absolute(&arguments.scratch)?);
    std::fs::create_dir_all(&scratch)?;
    let runtime = tokio::runtime::Runtime::new()?;
    Ok(match arguments.what {
        What::Boot => {
            let guests = Guests { kernel, image, scratch };
            serde_json::to_string(&runtime.block_on(boots(&guests))?)?
        }
        What::Disks => {
            serde_json::to_string(&runtime.block_on(disks(&Disks { kernel, scratch }))?)?
        }
        What::Plan => serde_json::to_string(&plans())?,
        What::Idle => {
            let (vmm, name) = ("qemu".to_owned(), "flintidle".to_owned());
            let source = Source::Webhook;
            let options = Options { flint, kernel, image, vmm, scratch, name, source };
            serde_json::to_string(&demo::idle::resident(&options)?)?
        }
    })
}
