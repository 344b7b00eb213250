//! Runs the tiers of tests that this machine can run, and names those it cannot.

mod needs;
mod tally;
mod tiers;

use crate::cargo::{Target, cargo, test_targets};
use crate::say;
use anyhow::{Context, bail};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, IsTerminal};
use std::process::Stdio;
use std::time::Instant;
use tally::Tally;
use tiers::{TIERS, Tier};

/// What became of a tier.
enum Outcome {
    Ran(Tally),
    /// For which reason not.
    NotRun(String),
}

/// Runs these tiers, or all; ends with a table, and `N passed, N failed` as the last line. Says whether all is well.
///
/// # Errors
/// When a name is no tier, or cargo cannot be asked.
pub(crate) fn test(wanted: &[String]) -> anyhow::Result<bool> {
    let required = std::env::var("FLINT_REQUIRE").unwrap_or_default();
    let required = required.split(',').map(str::trim).filter(|name| !name.is_empty());
    let required = tier_names(required).context("cannot read FLINT_REQUIRE")?;
    let wanted = tier_names(wanted.iter().map(String::as_str))?;
    let targets = test_targets()?;
    let mut outcomes = Vec::new();
    for tier in TIERS.iter().filter(|tier| wanted.is_empty() || wanted.contains(tier.name)) {
        say(&format!("\n── tier {} ──", tier.name));
        outcomes.push((tier.name, run(tier, &targets)?));
    }
    let (lines, total) = summary(&outcomes, &required);
    lines.iter().for_each(|line| say(line));
    Ok(total.failed == 0)
}

fn tier_names<'a>(names: impl Iterator<Item = &'a str>) -> anyhow::Result<BTreeSet<&'static str>> {
    let known = names.map(|name| {
        let tier = TIERS.iter().find(|tier| tier.name == name);
        tier.map(|tier| tier.name).with_context(|| {
            let all: Vec<_> = TIERS.iter().map(|tier| tier.name).collect();
            format!("`{name}` is no tier of tests; there are {}", all.join(", "))
        })
    });
    known.collect()
}

fn run(tier: &Tier, targets: &[Target]) -> anyhow::Result<Outcome> {
    if let Some(reason) = tier.needs.iter().find_map(|need| needs::missing(*need)) {
        return Ok(Outcome::NotRun(reason));
    }
    let started = Instant::now();
    let mut tally = Tally::default();
    if let Some((package, name)) = tier.target
        && !targets.iter().any(|target| target.package == package && target.name == name)
    {
        say(&format!("error: package `{package}` has no test target `{name}`"));
        tally.ended(false, 0);
    }
    for arguments in commands(tier, targets) {
        let before = tally.failed;
        let success = counted(&arguments, &mut tally)?;
        tally.ended(success, before);
    }
    tally.time = started.elapsed();
    Ok(Outcome::Ran(tally))
}

/// What cargo is told: the tests beside the code in the first tier, and each package's targets of the tier.
fn commands(tier: &Tier, targets: &[Target]) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    if tier.name == TIERS[0].name {
        commands.push(words("test --no-fail-fast --workspace --lib --bins"));
    }
    let own: Vec<_> = targets.iter().filter(|target| tiers::tier_of(target) == tier.name).collect();
    for package in own.iter().map(|target| &target.package).collect::<BTreeSet<_>>() {
        let mut command = words(&format!("test --no-fail-fast --package {package}"));
        let names = own.iter().filter(|target| target.package == *package);
        command.extend(names.flat_map(|target| ["--test".to_owned(), target.name.clone()]));
        commands.push(command);
    }
    if let Some(threads) = tier.threads {
        let more = ["--".to_owned(), format!("--test-threads={threads}")];
        commands.iter_mut().for_each(|command| command.extend(more.clone()));
    }
    commands
}

/// Runs cargo, shows what it prints, and counts.
fn counted(arguments: &[String], tally: &mut Tally) -> anyhow::Result<bool> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut command = cargo(&arguments);
    if std::io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = command.stdout(Stdio::piped()).spawn().context("cannot start cargo")?;
    let Some(output) = child.stdout.take() else { bail!("cargo has no output") };
    for line in BufReader::new(output).split(b'\n') {
        let line = line.context("cannot read what cargo prints")?;
        let line = String::from_utf8_lossy(&line);
        say(&line);
        tally.line(&line);
    }
    Ok(child.wait().context("cannot wait for cargo")?.success())
}

/// The table, and the counts; a required tier that did not run has failed.
fn summary(outcomes: &[(&str, Outcome)], required: &BTreeSet<&str>) -> (Vec<String>, Tally) {
    let mut lines = vec![
        String::new(),
        format!("{:<12} {:>7} {:>7} {:>8}", "tier", "passed", "failed", "time"),
    ];
    let mut total = Tally::default();
    for (name, outcome) in outcomes {
        match outcome {
            Outcome::Ran(tally) => {
                let (passed, failed, time) = (tally.passed, tally.failed, tally.time.as_secs());
                lines.push(format!("{name:<12} {passed:>7} {failed:>7} {time:>6} s"));
                total.add(*tally);
            }
            Outcome::NotRun(reason) if required.contains(name) => {
                lines.push(format!("not run: {name} ({reason}), but FLINT_REQUIRE asks for it"));
                total.failed += 1;
            }
            Outcome::NotRun(reason) => lines.push(format!("not run: {name} ({reason})")),
        }
    }
    lines.push(format!("{} passed, {} failed", total.passed, total.failed));
    (lines, total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn target(package: &str, name: &str) -> Target {
        Target { package: package.into(), name: name.into(), by_name: false }
    }

    fn told(tier: &str, targets: &[Target]) -> Vec<String> {
        let tier = TIERS.iter().find(|t| t.name == tier).unwrap();
        commands(tier, targets).into_iter().map(|command| command.join(" ")).collect()
    }

    #[test]
    fn the_first_tier_runs_what_stands_beside_the_code_and_targets_of_no_other_tier() {
        let targets = [target("flint", "net"), target("flint-wire", "golden")];
        let wanted = [
            "test --no-fail-fast --workspace --lib --bins",
            "test --no-fail-fast --package flint-wire --test golden",
        ];
        assert_eq!(told("unit", &targets), wanted);
    }

    #[test]
    fn a_tier_runs_each_package_once() {
        let targets = [
            target("flint", "daemon"),
            target("flint", "forge"),
            target("flint", "vm"),
            target("flint-sim", "github"),
        ];
        let wanted = [
            "test --no-fail-fast --package flint --test daemon --test forge",
            "test --no-fail-fast --package flint-sim --test github",
        ];
        assert_eq!(told("daemon", &targets), wanted);
        let wanted = ["test --no-fail-fast --package flint --test vm -- --test-threads=1"];
        assert_eq!(told("vm", &targets), wanted);
    }

    #[test]
    fn the_summary_names_what_did_not_run_and_ends_with_the_counts() {
        let ran = Tally { passed: 3, failed: 0, time: Duration::from_secs(2) };
        let outcomes = || {
            let reason = "no firecracker binary found".to_owned();
            [("unit", Outcome::Ran(ran)), ("firecracker", Outcome::NotRun(reason))]
        };
        let (lines, total) = summary(&outcomes(), &BTreeSet::new());
        assert_eq!(lines[2], "unit               3       0      2 s");
        assert_eq!(lines[3], "not run: firecracker (no firecracker binary found)");
        assert_eq!(lines.last().map(String::as_str), Some("3 passed, 0 failed"));
        assert_eq!(total.failed, 0);

        let (lines, total) = summary(&outcomes(), &BTreeSet::from(["firecracker"]));
        assert_eq!(lines.last().map(String::as_str), Some("3 passed, 1 failed"));
        assert_eq!(total.failed, 1);
    }

    #[test]
    fn a_name_that_is_no_tier_is_refused() {
        assert!(tier_names(["net", "vm"].into_iter()).is_ok());
        let error = tier_names(["kvm"].into_iter()).unwrap_err().to_string();
        assert!(error.starts_with("`kvm` is no tier of tests; there are unit, scripts"), "{error}");
    }
}
