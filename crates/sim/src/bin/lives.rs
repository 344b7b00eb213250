//! `lives [--from N] [--count N] [--trace]`: runs lives of the core and says how many failed.

use clap::Parser;
use flint_sim::lives::live;
use std::process::ExitCode;
use std::time::Instant;

/// Runs the real core against a made-up GitHub and made-up hosts that fail in every way.
#[derive(Parser)]
struct Args {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many lives.
    #[arg(long, default_value_t = 200)]
    count: u64,
    /// Print everything that happens.
    #[arg(long)]
    trace: bool,
}

#[expect(clippy::print_stdout, reason = "the report is what this program is for")]
fn main() -> ExitCode {
    let args = Args::parse();
    let begun = Instant::now();
    let (mut failed, mut steps, mut jobs, mut vms, mut simulated_ms) = (0_u64, 0, 0, 0, 0);
    for seed in args.from..args.from.saturating_add(args.count) {
        match live(seed, args.trace) {
            Ok(lived) => {
                steps += lived.steps;
                jobs += lived.jobs;
                vms += lived.vms;
                simulated_ms += lived.simulated_ms;
            }
            Err(error) => {
                failed += 1;
                println!("{error}");
            }
        }
    }
    let (hours, took) = (simulated_ms / 3_600_000, begun.elapsed().as_secs_f64());
    println!("lives: {} run, {failed} failed", args.count);
    println!("{steps} steps, {jobs} jobs, {vms} microVMs, {hours} simulated hours in {took:.1} s");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
