//! `flint doctor`: what this machine and this configuration lack, each with its reading, verdict and fix.

mod app;
mod files;
pub(super) mod github;
mod kernel;
mod machine;
mod network;
mod runner;
mod running;

use self::github::Asking;
use super::output::{self, Output, table};
use crate::assemble;
use crate::config::{self, Machine, Purpose, Severity, Sources};
use crate::error::{Exit, Problem};
use crate::sys::readings::Readings;
use serde::Serialize;
use std::borrow::Cow;

/// How good a reading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    /// As it should be.
    Ok,
    /// Worth knowing; nothing has to be done, or nothing could be read.
    Note,
    /// It works, with a cost or a risk.
    Warn,
    /// It will not work.
    Bad,
}

/// One line of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    /// What was looked at.
    pub(super) item: Cow<'static, str>,
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
        Line { item: item.into(), verdict: Verdict::Ok, reading: reading.into(), fix: None }
    }

    /// Worth knowing.
    pub(super) fn note(item: &'static str, reading: impl Into<String>, fix: &str) -> Self {
        Line {
            item: item.into(),
            verdict: Verdict::Note,
            reading: reading.into(),
            fix: Some(fix.to_owned()),
        }
    }

    /// It works, with a cost or a risk.
    pub(super) fn warn(item: &'static str, reading: impl Into<String>, fix: &str) -> Self {
        Line {
            item: item.into(),
            verdict: Verdict::Warn,
            reading: reading.into(),
            fix: Some(fix.to_owned()),
        }
    }

    /// It will not work.
    pub(super) fn bad(item: &'static str, reading: impl Into<String>, fix: &str) -> Self {
        Line {
            item: item.into(),
            verdict: Verdict::Bad,
            reading: reading.into(),
            fix: Some(fix.to_owned()),
        }
    }

    /// The same, of one of several.
    fn of(self, whose: &str) -> Self {
        Line { item: format!("{whose}: {}", self.item).into(), ..self }
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
    let mut lines = here(sources, machine);
    let serve = config::check(sources, machine, Purpose::Serve).config;
    let sets = serve.as_ref().map(assemble::scopes_of_sets).unwrap_or_default();
    let github = serve.map(|config| config.github).unwrap_or_default();
    let asking = if ask_github { Asking::All(&sets) } else { Asking::Nothing };
    if let Some(config) = config::check(sources, machine, Purpose::Local).config {
        lines.extend(runner::look(&config, assemble::strictest(&github), ask_github));
    }
    if !github.is_empty() {
        lines.extend(github::look(&github, asking));
    }
    tell(out, &lines)
}

/// Shows the lines, and ends by the worst.
///
/// # Errors
/// When the answer cannot be written.
pub(super) fn tell(out: Output, lines: &[Line]) -> Result<Exit, Problem> {
    out.show(&lines, |lines| show(lines, output::color_answers()))?;
    Ok(exit(lines))
}

fn exit(lines: &[Line]) -> Exit {
    let worst = lines.iter().map(|line| line.verdict).max();
    if worst == Some(Verdict::Bad) { Exit::Refused } else { Exit::Ok }
}

/// Everything but GitHub.
fn here(sources: &Sources, machine: &Machine) -> Vec<Line> {
    let readings = Readings::take();
    let config = config::check(sources, machine, Purpose::Local).config;
    let mut lines = vec![configuration(sources, machine)];
    let (run_dir, state_dir) = (sources.run_dir(), sources.state_dir());
    lines.extend(machine::look(&run_dir, &state_dir));
    let prefix = config.as_ref().map_or(config::defaults::NETNS_PREFIX, |c| &c.host.netns_prefix);
    lines.extend(running::look(&run_dir, prefix));
    lines.extend(kernel::look(&readings, config.as_ref().map(|config| &config.host)));
    if let Some(config) = config {
        lines.extend(files::look(&config, &readings));
        lines.push(machine::port(config.server.listen));
        lines.extend(network::look(&config));
    }
    lines
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
        lines.iter().map(|line| [word(line.verdict), line.item.to_string(), line.reading.clone()]);
    let rows = table(["", "ITEM", "READING"], rows);
    let rows = rows.lines().map(|row| if color { colored(row) } else { row.to_owned() });
    let fixes = lines.iter().filter_map(|line| Some((&line.item, line.fix.as_ref()?)));
    let fixes = fixes.map(|(item, fix)| format!("  help: {item}: {}", crate::text::escaped(fix)));
    rows.chain(fixes).collect::<Vec<_>>().join("\n")
}

/// A row begins with its verdict.
fn colored(row: &str) -> String {
    let styles = [("ok", "32"), ("note", "36"), ("warn", "33"), ("bad", "31")];
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
        Verdict::Note => "note",
        Verdict::Warn => "warn",
        Verdict::Bad => "bad",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use flint_core::units::MiB;

    /// What Firecracker's own advice for a host asks for, and the items here that answer it.
    const ADVICE: [(&str, &[&str]); 26] = [
        ("KVM", &["kvm"]),
        ("host kernel", &["kernel"]),
        ("SMT", &["smt"]),
        ("vulnerabilities", &["cpu flaws"]),
        ("microcode", &["microcode"]),
        ("KSM", &["ksm"]),
        ("swap", &["swap"]),
        ("cgroups", &["cgroups"]),
        ("cgroup latency", &["cgroup latency"]),
        ("nx_huge_pages", &["nx_huge_pages"]),
        ("kvm-pit", &["kvm-pit"]),
        ("kernel log", &["kernel log"]),
        ("mounts", &["mounts"]),
        ("binaries", &["firecracker", "jailer"]),
        ("seccomp", &["seccomp"]),
        ("chroot base", &["state dir", "jails", "socket"]),
        ("same file system for images and jails", &["image", "kernel file"]),
        ("uids", &["uids"]),
        ("core dumps", &["core dumps"]),
        ("overcommit", &["overcommit"]),
        ("huge pages", &["huge pages"]),
        ("tun, nft, forwarding", &["tun", "nft", "forwarding"]),
        ("egress filter", &["egress filter"]),
        ("limits", &["limits"]),
        ("time", &["time"]),
        ("memory hardware, watcher", &["memory hardware", "watcher"]),
    ];

    #[test]
    fn each_check_that_firecracker_advises_has_its_line() {
        let machine = Machine { cpus: 2, memory: MiB(8192), free_disk: |_| Some(MiB(1 << 20)) };
        let lines = here(&Sources::default(), &machine);
        for (advice, items) in ADVICE {
            for item in items {
                assert!(lines.iter().any(|line| line.item == *item), "{advice}: no line `{item}`");
            }
        }
        for line in lines.iter().filter(|line| line.verdict > Verdict::Note) {
            assert!(line.fix.as_ref().is_some_and(|fix| fix.len() > 10), "{line:?} has no fix");
        }
    }

    #[test]
    fn machines_read_four_stable_keys_and_the_worst_line_decides() {
        let line = Line::note("kvm-pit", "200 us", "raise it");
        let json = serde_json::to_value(&line).unwrap();
        let wanted = serde_json::json!({"item": "kvm-pit", "verdict": "note", "reading": "200 us", "fix": "raise it"});
        assert_eq!(json, wanted);
        assert!(Verdict::Ok < Verdict::Note && Verdict::Note < Verdict::Warn);
        assert_eq!(exit(&[line.clone(), Line::warn("a", "", "")]), Exit::Ok);
        assert_eq!(exit(&[line, Line::bad("a", "", "")]), Exit::Refused);
    }
}
