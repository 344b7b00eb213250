//! `lives [--from N] [--count N] [--seed-trace N] [--planted K]`: runs lives of the core and says how many failed.

use clap::Parser;
#[cfg(feature = "planted")]
use flint_sim::lives::{hunt, shrink_planted};
use flint_sim::lives::{live, many, shrink};
use std::io::Write as _;
use std::ops::Range;
use std::process::ExitCode;
use std::time::Instant;

/// So many that fail are enough to look at.
const ENOUGH: usize = 10;

/// What a checker found is shown up to this many characters.
#[cfg(feature = "planted")]
const WHY_MAX: usize = 120;

/// Runs the real core against a made-up GitHub and made-up hosts that fail in every way.
#[derive(Parser)]
#[command(name = "lives")]
struct Args {
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many lives: 500, or for a planted fault 3000 at most.
    #[arg(long)]
    count: Option<u64>,
    /// Print everything that happens in the life of this seed.
    #[arg(long, value_name = "SEED")]
    seed_trace: Option<u64>,
    /// Wake a planted fault, by its name, and say how many lives it takes to find it; `all`: each of them.
    #[arg(long, value_name = "FAULT")]
    planted: Option<String>,
}

impl Args {
    fn seeds(&self, count: u64) -> Range<u64> {
        self.from..self.from.saturating_add(self.count.unwrap_or(count))
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let well = match (&args.planted, args.seed_trace) {
        (Some(name), _) => planted(name, &args),
        (None, Some(seed)) => trace(seed),
        (None, None) => run(&args),
    };
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn trace(seed: u64) -> bool {
    match live(seed, true) {
        Ok(lived) => say(&format!("life {seed} ended well: {lived:?}")),
        Err(failed) => {
            say(&failed.to_string());
            return false;
        }
    }
    true
}

fn run(args: &Args) -> bool {
    let begun = Instant::now();
    let sum = many(args.seeds(500), ENOUGH);
    let took = begun.elapsed().as_secs_f64();
    sum.failed.iter().for_each(|failed| say(&failed.to_string()));
    if let Some(shrunk) = sum.failed.first().and_then(|failed| shrink(failed.seed)) {
        say(
            "\nthe first of them, made simpler; saved in crates/core/tests/scripts it is a test:\n",
        );
        say(&shrunk.script);
    }
    let (steps, jobs, vms) = (sum.steps, sum.jobs, sum.vms);
    let hours = sum.simulated_ms / 3_600_000;
    #[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
    let pace = sum.lives as f64 / took;
    say(&format!("{steps} steps, {jobs} jobs, {vms} microVMs, {hours} simulated hours"));
    say(&format!("{took:.1} s, {pace:.0} lives a second"));
    say(&format!("lives: {} run, {} failed", sum.lives, sum.failed.len()));
    sum.failed.is_empty()
}

#[cfg(feature = "planted")]
fn planted(name: &str, args: &Args) -> bool {
    let all = flint_core::planted::Fault::ALL;
    let faults: Vec<_> =
        all.iter().copied().filter(|fault| name == "all" || fault.name() == name).collect();
    if faults.is_empty() {
        let names: Vec<&str> = all.iter().map(|fault| fault.name()).collect();
        say(&format!("error: no fault is named `{name}`; there are: {}", names.join(" ")));
        return false;
    }
    let (begun, mut caught) = (Instant::now(), 0);
    for fault in &faults {
        let seeds = args.seeds(3_000);
        let (from, most) = (seeds.start, seeds.end - seeds.start);
        match hunt(*fault, seeds).found {
            Some((seed, why)) => {
                caught += 1;
                let lives = seed - from + 1;
                let why: String = why.chars().take(WHY_MAX).collect();
                say(&format!("{:<24} life {lives:>4}: {why}", fault.name()));
                let alone = faults.len() == 1;
                let shrunk = alone.then(|| shrink_planted(*fault, seed)).flatten();
                if let Some(shrunk) = shrunk {
                    say(&format!("\n{}", shrunk.script));
                }
            }
            None => say(&format!("{:<24} not caught in {most} lives", fault.name())),
        }
    }
    say(&format!("{:.1} s", begun.elapsed().as_secs_f64()));
    say(&format!("planted: caught {caught} of {}", faults.len()));
    // One in ten may be healed by something else.
    caught * 10 >= faults.len() * 9
}

#[cfg(not(feature = "planted"))]
fn planted(_: &str, _: &Args) -> bool {
    say("error: this build has no planted faults: use `cargo xtask lives --planted`");
    false
}

/// A reader that is gone has seen enough.
fn say(line: &str) {
    writeln!(std::io::stdout(), "{line}").ok();
}
