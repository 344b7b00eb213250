//! `flint doctor`: what this machine and this configuration lack, each with its reading, verdict and fix.

mod files;
mod github;
mod machine;

use super::output::{self, Output, table};
use crate::config::{self, Machine, Purpose, Severity, Sources};
use crate::error::{Exit, Problem, escaped};
use serde::Serialize;

/// How good a reading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// It works, with a cost or a risk.
    Warn,
    /// It will not work.
    Bad,
}

/// One line of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    /// What was looked at.
    pub(super) item: &'static str,
    /// How good it is.
    pub(super) verdict: Verdict,
    /// What was seen.
    pub(super) reading: String,
    /// What to do, unless all is well.
    pub(super) fix: Option<String>,
}

impl Line {
    /// All is well.
    pub(super) fn ok(item: &'static str, reading: impl Into<String>) -> Self {
        Line { item, verdict: Verdict::Ok, reading: reading.into(), fix: None }
    }

    /// It works, with a cost or a risk.
    pub(super) fn warn(item: &'static str, reading: impl Into<String>, fix: &str) -> Self {
        Line { item, verdict: Verdict::Warn, reading: reading.into(), fix: Some(fix.to_owned()) }
    }

    /// It will not work.
    pub(super) fn bad(item: &'static str, reading: impl Into<String>, fix: &str) -> Self {
        Line { item, verdict: Verdict::Bad, reading: reading.into(), fix: Some(fix.to_owned()) }
    }
}

/// Looks at everything, shows it, and ends by the worst.
///
/// # Errors
/// When the answer cannot be written.
pub(super) fn run(
    out: Output,
    sources: &Sources,
    machine: &Machine,
    ask_github: bool,
) -> Result<Exit, Problem> {
    let mut lines = vec![configuration(sources, machine)];
    lines.extend(machine::look(sources.run_dir().as_path()));
    if let Some(config) = config::check(sources, machine, Purpose::Local).config {
        lines.extend(files::look(&config));
        lines.push(machine::port(config.server.listen));
    }
    if let Some(github) =
        config::check(sources, machine, Purpose::Serve).config.and_then(|c| c.github)
    {
        lines.extend(github::look(&github, ask_github));
    }
    out.show(&lines, |lines| show(lines, output::color_answers()))?;
    let worst = lines.iter().map(|line| line.verdict).max();
    Ok(if worst == Some(Verdict::Bad) { Exit::Refused } else { Exit::Ok })
}

fn configuration(sources: &Sources, machine: &Machine) -> Line {
    let report = config::check(sources, machine, Purpose::Serve).report;
    let named = report.path.clone().unwrap_or_else(|| "flags and defaults".to_owned());
    let messages: Vec<&str> =
        report.problems.iter().map(|problem| problem.message.as_str()).collect();
    let reading = format!("{named}: {}", messages.join("; "));
    let severe = report.problems.iter().any(|problem| problem.severity == Severity::Error);
    match (report.problems.is_empty(), severe) {
        (true, _) => Line::ok("configuration", named),
        (false, false) => {
            Line::warn("configuration", reading, "`flint serve` shows each at its line")
        }
        (false, true) => {
            Line::bad("configuration", reading, "`flint serve` shows each at its line")
        }
    }
}

/// A row each; below them, what to do.
fn show(lines: &[Line], color: bool) -> String {
    let rows =
        lines.iter().map(|line| [word(line.verdict), line.item.to_owned(), line.reading.clone()]);
    let rows = table(["", "ITEM", "READING"], rows);
    let rows = rows.lines().map(|row| if color { colored(row) } else { row.to_owned() });
    let fixes = lines.iter().filter_map(|line| Some((line.item, line.fix.as_ref()?)));
    let fixes = fixes.map(|(item, fix)| format!("  help: {item}: {}", escaped(fix)));
    rows.chain(fixes).collect::<Vec<_>>().join("\n")
}

/// A row begins with its verdict.
fn colored(row: &str) -> String {
    let styles = [("ok", "32"), ("warn", "33"), ("bad", "31")];
    let found =
        styles.iter().find_map(|(word, style)| Some((word, style, row.strip_prefix(word)?)));
    match found {
        Some((word, style, rest)) => format!("\u{1b}[{style}m{word}\u{1b}[0m{rest}"),
        None => row.to_owned(),
    }
}

fn word(verdict: Verdict) -> String {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Warn => "warn",
        Verdict::Bad => "bad",
    }
    .to_owned()
}
