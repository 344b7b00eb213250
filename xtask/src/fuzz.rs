//! `cargo xtask fuzz`: feeds what strangers send with inputs that a fuzzer makes up, guided by what they reach.
//!
//! libFuzzer wants the compiler's coverage counters. The flags for them are stable; only the sanitizers are not, and safe
//! Rust has little for those to find.

use crate::cargo::{cargo, run};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The ways in, which are the targets of `fuzz/`: those of `flint_sim::strangers::WAYS`.
const TARGETS: &[&str] = &["webhook", "guest", "settings", "log"];

/// Counters at each edge, a table of where they are, and the operands of comparisons.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing";

/// The longest input, in bytes: long enough for everything that has a meaning.
const LONGEST: usize = 16 << 10;

/// What to run.
#[derive(clap::Args)]
pub(crate) struct FuzzArgs {
    /// webhook, guest, settings, log; none: all.
    targets: Vec<String>,
    /// How many inputs each takes.
    #[arg(long, value_name = "N", default_value_t = 10_000_000)]
    count: u64,
    /// Keep what reached something new: the smallest set of inputs that does replaces the corpora in `fuzz/corpus`.
    #[arg(long)]
    keep: bool,
}

/// Builds the fuzzers and runs them one after the other; says whether none of them found anything.
///
/// # Errors
/// When something cannot be built or started, and for a target that is none.
pub(crate) fn fuzz(args: &FuzzArgs) -> Result<bool> {
    let asked = || args.targets.iter().map(String::as_str);
    if let Some(unknown) = asked().find(|name| !TARGETS.contains(name)) {
        bail!("`{unknown}` is none of {}", TARGETS.join(", "));
    }
    let targets = if args.targets.is_empty() { TARGETS.to_vec() } else { asked().collect() };
    let programs = build()?;
    let mut well = true;
    for target in targets {
        let corpora = Corpora::of(target)?;
        let found = feed(&programs.join(target), &corpora, args.count)?;
        let (crashes, took) = (u8::from(found.is_none()), found.unwrap_or("ended early".into()));
        crate::say(&format!("fuzz: {target}: {took}, {crashes} crashes"));
        well &= crashes == 0;
        if args.keep && crashes == 0 {
            keep(&programs.join(target), &corpora)?;
        }
    }
    Ok(well)
}

/// Where a target's inputs are.
struct Corpora {
    /// Those that are kept with the code.
    kept: PathBuf,
    /// Those that earlier runs on this machine found.
    found: PathBuf,
    /// Those that made it panic.
    crashes: PathBuf,
}

impl Corpora {
    fn of(target: &str) -> Result<Self> {
        let (root, build) = (crate::root().join("fuzz"), crate::root().join("target/fuzz"));
        let corpora = Corpora {
            kept: root.join("corpus").join(target),
            found: build.join("found").join(target),
            crashes: build.join("crashes").join(target),
        };
        for dir in [&corpora.kept, &corpora.found, &corpora.crashes] {
            fs::create_dir_all(dir).with_context(|| format!("cannot make `{}`", dir.display()))?;
        }
        Ok(corpora)
    }
}

/// With a target named, so that build scripts are not instrumented too.
fn build() -> Result<PathBuf> {
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let manifest =
        ["build", "--quiet", "--release", "--locked", "--manifest-path", "fuzz/Cargo.toml"];
    let mut command = cargo(&manifest);
    command.args(["--target-dir", "target/fuzz", "--target", &triple]);
    run(command.env("RUSTFLAGS", FLAGS))?;
    Ok(crate::root().join("target/fuzz").join(triple).join("release"))
}

/// Runs one; gives how many inputs in what time, or nothing when it found one that makes it panic.
fn feed(program: &Path, corpora: &Corpora, count: u64) -> Result<Option<String>> {
    let mut command = Command::new(program);
    command.arg(format!("-runs={count}")).arg(format!("-max_len={LONGEST}"));
    command.arg(format!("-artifact_prefix={}/", corpora.crashes.display()));
    // A slow input is a finding too: seconds, of one that takes microseconds.
    command.args(["-timeout=10", "-print_final_stats=1"]);
    command.args([&corpora.found, &corpora.kept]);
    let output = command.stderr(Stdio::piped()).output();
    let output = output.with_context(|| format!("cannot start `{}`", program.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let last: Vec<&str> = said.lines().rev().take(40).collect();
        last.iter().rev().for_each(|line| crate::say(line));
        return Ok(None);
    }
    let done = said.lines().rev().find_map(|line| line.strip_prefix("Done "));
    let done = done.context("the fuzzer does not say how much it did")?;
    Ok(Some(done.replace(" runs in ", " executions in ").replace("second(s)", "s")))
}

/// Takes over the smallest set of inputs that reaches all that is reached.
fn keep(program: &Path, corpora: &Corpora) -> Result<()> {
    let smallest = corpora.found.with_extension("smallest");
    // Of an earlier run that was cut off.
    drop(fs::remove_dir_all(&smallest));
    fs::create_dir_all(&smallest)?;
    let mut command = Command::new(program);
    command.arg("-merge=1").arg(format!("-max_len={LONGEST}"));
    command.args([&smallest, &corpora.kept, &corpora.found]).stderr(Stdio::null());
    run(&mut command)?;
    fs::remove_dir_all(&corpora.kept)?;
    fs::create_dir_all(&corpora.kept)?;
    for entry in fs::read_dir(&smallest)? {
        let entry = entry?;
        fs::copy(entry.path(), corpora.kept.join(entry.file_name()))?;
    }
    Ok(fs::remove_dir_all(&smallest)?)
}
