//! Measures sizes and speed in one run, and sets each beside its goal. Nothing here is asserted in a test.

use crate::cargo::{cargo, run};
use crate::say;
use anyhow::Context;
use std::fs;
use std::path::PathBuf;

const MIB: f64 = 1024.0 * 1024.0;

/// One thing that is measured.
struct Measurer {
    /// What, in words.
    what: &'static str,
    /// The goal, in words.
    goal: &'static str,
    /// Measures it, and says how it went in words.
    measure: fn() -> anyhow::Result<String>,
}

const MEASURERS: &[Measurer] = &[
    Measurer { what: "agent, static", goal: "at most 3 MiB", measure: agent_size },
    Measurer { what: "flint, release build", goal: "none", measure: flint_size },
];

/// Measures all; what cannot be measured here is named, with the reason. Says whether all could be.
///
/// # Errors
/// None of its own.
pub(crate) fn bench() -> anyhow::Result<bool> {
    let mut rows = vec![["what".to_owned(), "measured".to_owned(), "goal".to_owned()]];
    let mut complete = true;
    for measurer in MEASURERS {
        let measured = (measurer.measure)().unwrap_or_else(|error| {
            complete = false;
            format!("not measured: {error:#}")
        });
        rows.push([measurer.what.to_owned(), measured, measurer.goal.to_owned()]);
    }
    table(&rows).iter().for_each(|line| say(line));
    Ok(complete)
}

fn table(rows: &[[String; 3]]) -> Vec<String> {
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    let line = |[a, b, c]: &[String; 3]| format!("{a:<first$}  {b:<second$}  {c}");
    rows.iter().map(line).collect()
}

fn agent_size() -> anyhow::Result<String> {
    // As `cargo xtask kernel` builds it.
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut build =
        cargo(&["build", "--package", "flint-agent", "--profile", "agent", "--target", &target]);
    run(build.env("RUSTFLAGS", "-C target-feature=+crt-static"))?;
    size_of(crate::root().join("target").join(target).join("agent/flint-agent"))
}

fn flint_size() -> anyhow::Result<String> {
    run(&mut cargo(&["build", "--release", "--package", "flint"]))?;
    size_of(crate::root().join("target/release/flint"))
}

fn size_of(file: PathBuf) -> anyhow::Result<String> {
    let bytes =
        fs::metadata(&file).with_context(|| format!("cannot look at `{}`", file.display()))?.len();
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let size = bytes as f64 / MIB;
    Ok(format!("{size:.2} MiB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_each_other() {
        let row = |a: &str, b: &str, c: &str| [a.to_owned(), b.to_owned(), c.to_owned()];
        let lines = table(&[row("what", "measured", "goal"), row("agent", "1 MiB", "3 MiB")]);
        assert_eq!(lines, ["what   measured  goal", "agent  1 MiB     3 MiB"]);
    }
}
