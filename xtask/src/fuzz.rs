//! `cargo xtask fuzz`: feeds what strangers send with inputs that a fuzzer makes up, guided by what they reach.
//!
//! libFuzzer wants the compiler's coverage counters. The flags for them are stable; only the sanitizers are not, and safe
//! Rust has little for those to find.

use crate::cargo::{cargo, run};
use anyhow::{Context, Result, bail};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A target of `fuzz/`: one of `flint_sim::strangers::WAYS`.
struct Target {
    name: &'static str,
    /// The longest input, in bytes: long enough for everything that has a meaning.
    longest: usize,
}

/// All of them.
const TARGETS: &[Target] = &[
    Target { name: "webhook", longest: 16 << 10 },
    Target { name: "guest", longest: 16 << 10 },
    // Each problem shows its line, so a longer one costs more than it finds.
    Target { name: "settings", longest: 2 << 10 },
    Target { name: "log", longest: 4 << 10 },
    // The longest that is asked for, three times over.
    Target { name: "names", longest: 4 << 10 },
];

/// Counters at each edge, and a table of where they are.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Ccodegen-units=1 --cfg fuzzing";

/// The operands of comparisons, too.
const COMPARES: &str = " -Cllvm-args=-sanitizer-coverage-trace-compares";

/// How many inputs are kept of each target beside its seeds, and how many bytes of them: every clone has them.
const KEPT: usize = 300;
const KEPT_BYTES: u64 = 200 << 10;

/// libFuzzer's exit code when a signal ended it (FuzzerOptions.h).
const INTERRUPTED: i32 = 72;

/// What to run.
#[derive(clap::Args)]
pub(crate) struct FuzzArgs {
    /// webhook, guest, settings, log, names; none: all.
    targets: Vec<String>,
    /// How many inputs each takes.
    #[arg(long, value_name = "N", default_value_t = 10_000_000)]
    count: u64,
    /// Follow what is compared with what: finds words that no corpus has, and is 2 to 10 times slower.
    #[arg(long)]
    compares: bool,
    /// Keep the shortest of those that reached something new in `fuzz/corpus`, beside the seeds.
    #[arg(long)]
    keep: bool,
}

/// Builds the fuzzers and runs them one after the other; says whether none of them found anything.
///
/// # Errors
/// When something cannot be built or started, and for a target that is none.
pub(crate) fn fuzz(args: &FuzzArgs) -> Result<bool> {
    let asked = || args.targets.iter().map(String::as_str);
    let known = || TARGETS.iter().map(|target| target.name);
    if let Some(unknown) = asked().find(|name| known().all(|known| known != *name)) {
        bail!("`{unknown}` is none of {}", known().collect::<Vec<_>>().join(", "));
    }
    let is_asked =
        |target: &&Target| args.targets.is_empty() || asked().any(|name| name == target.name);
    let programs = build(args.compares)?;
    let mut well = true;
    for Target { name, longest } in TARGETS.iter().filter(is_asked) {
        let corpora = Corpora::of(name)?;
        let fuzzer = Fuzzer { program: programs.join(name), longest: *longest };
        let found = fuzzer.feed(&corpora, args.count)?;
        let (crashes, took) = (u8::from(found.is_none()), found.unwrap_or("ended early".into()));
        crate::say(&format!("fuzz: {name}: {took}, {crashes} crashes"));
        well &= crashes == 0;
        if args.keep && crashes == 0 {
            fuzzer.keep(&corpora)?;
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
fn build(compares: bool) -> Result<PathBuf> {
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let manifest =
        ["build", "--quiet", "--release", "--locked", "--manifest-path", "fuzz/Cargo.toml"];
    let mut command = cargo(&manifest);
    command.args(["--target-dir", "target/fuzz", "--target", &triple]);
    let flags = if compares { [FLAGS, COMPARES].concat() } else { FLAGS.to_owned() };
    run(command.env("RUSTFLAGS", flags))?;
    Ok(crate::root().join("target/fuzz").join(triple).join("release"))
}

/// A target, built.
struct Fuzzer {
    program: PathBuf,
    longest: usize,
}

impl Fuzzer {
    /// Runs one; gives how many inputs in what time, or nothing when it found one that makes it panic.
    fn feed(&self, corpora: &Corpora, count: u64) -> Result<Option<String>> {
        let mut command = self.command();
        command.arg(format!("-runs={count}"));
        command.arg(format!("-artifact_prefix={}/", corpora.crashes.display()));
        // A slow input is a finding too: seconds, of one that takes microseconds.
        command.args(["-timeout=10", "-print_final_stats=1"]);
        command.args([&corpora.found, &corpora.kept]);
        let output = command.stderr(Stdio::piped()).output();
        let output =
            output.with_context(|| format!("cannot start `{}`", self.program.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        // It catches what an input can do to it, so a signal came from somebody.
        if output.status.code().is_none_or(|code| code == INTERRUPTED) {
            bail!("`{}` was interrupted: it found nothing so far", self.program.display());
        }
        if !output.status.success() {
            let last: Vec<&str> = said.lines().rev().take(40).collect();
            last.iter().rev().for_each(|line| crate::say(line));
            return Ok(None);
        }
        let done = said.lines().rev().find_map(|line| line.strip_prefix("Done "));
        let done = done.context("the fuzzer does not say how much it did")?;
        Ok(Some(done.replace(" runs in ", " executions in ").replace("second(s)", "s")))
    }

    /// Keeps the seeds, which have names of their own, and what reaches more than they do, the shortest first.
    fn keep(&self, corpora: &Corpora) -> Result<()> {
        let smallest = corpora.found.with_extension("smallest");
        // Of an earlier run that was cut off.
        drop(fs::remove_dir_all(&smallest));
        fs::create_dir_all(&smallest)?;
        let mut command = self.command();
        command.arg("-merge=1");
        command.args([&smallest, &corpora.kept, &corpora.found]).stderr(Stdio::null());
        run(&mut command)?;
        for (_, path) in inputs(&corpora.kept)? {
            if !is_seed(&path) {
                fs::remove_file(path)?;
            }
        }
        let mut bytes = 0;
        for (len, path) in inputs(&smallest)?.into_iter().take(KEPT) {
            bytes += len;
            if bytes > KEPT_BYTES {
                break;
            }
            fs::copy(&path, corpora.kept.join(path.file_name().context("a file has a name")?))?;
        }
        Ok(fs::remove_dir_all(&smallest)?)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(format!("-max_len={}", self.longest));
        command
    }
}

/// The inputs of a directory with their lengths, the shortest first.
fn inputs(dir: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let of = |entry: io::Result<fs::DirEntry>| {
        let entry = entry?;
        Ok((entry.metadata()?.len(), entry.path()))
    };
    let mut inputs = fs::read_dir(dir)?.map(of).collect::<io::Result<Vec<_>>>()?;
    inputs.sort();
    Ok(inputs)
}

/// libFuzzer names its inputs by their SHA-1.
fn is_seed(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.len() != 40 || !name.iter().all(u8::is_ascii_hexdigit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_what_has_a_name_that_somebody_gave() {
        assert!(is_seed(Path::new("corpus/log/story")));
        assert!(!is_seed(Path::new("corpus/log/0601b902f8896fdf7a3fe887f64878d2c6550ce5")));
    }
}
