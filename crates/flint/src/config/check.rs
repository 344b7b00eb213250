//! The way from sources to a configuration and the list of all that is wrong with it.

use super::error::Error;
use super::profiles::Places;
use super::reader::{Reader, Section};
use super::report::{Origin, Problem, Report, Severity};
use super::source::Sources;
use super::{Config, Machine, Purpose, github, host, limits, profiles, scale_sets, server};
use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

/// What a check found.
pub struct Checked {
    /// The configuration, if no problem is an error.
    pub config: Option<Config>,
    /// All problems, in the order of the file.
    pub report: Report,
}

/// Checks everything, whatever is found on the way. Reads the secrets' files.
#[must_use]
pub fn check(sources: &Sources, machine: &Machine, purpose: Purpose) -> Checked {
    let text = sources.file.as_ref().map_or("", |file| file.text.as_str());
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader::new(sources);
    reader.problems = errors.iter().map(syntax).collect();
    reader.problems.extend(sources.misspelt_variables());
    let config = read(&mut reader, document.get_ref(), machine, purpose);
    let mut problems = without_echoes(reader.problems, errors.len());
    problems.sort_by_key(|problem| (problem.origin.rank(), start(&problem.origin)));
    let path = sources.file.as_ref().map(|file| file.path.display().to_string());
    let report = Report { path, text: text.to_owned(), problems };
    Checked { config: config.filter(|_| !report.is_fatal()), report }
}

/// As [`check`]; the problems are the error if one of them is fatal, else they come along as warnings.
///
/// # Errors
/// [`Error::Bad`] with all problems.
pub fn load(
    sources: &Sources,
    machine: &Machine,
    purpose: Purpose,
) -> Result<(Config, Report), Error> {
    let checked = check(sources, machine, purpose);
    match checked.config {
        Some(config) => Ok((config, checked.report)),
        None => Err(Error::Bad(Box::new(checked.report))),
    }
}

fn read<'a>(
    reader: &mut Reader<'a>,
    root: &'a DeTable<'a>,
    machine: &Machine,
    purpose: Purpose,
) -> Option<Config> {
    for (key, _) in root.iter() {
        reader.refuse_unless(&["github", "server", "host", "limits", "profile"], "", key);
    }
    let github = github::read(reader, root, (purpose, scale_sets::hear_by_webhooks(root)));
    let [server, host, limits] =
        ["server", "host", "limits"].map(|name| section(reader, root, name));
    let host = host::read(reader, host, machine);
    let server = server::read(reader, server, &host);
    let limits = limits::read(reader, limits);
    let places = Places { host: &host, githubs: &github.hosts, scopes: github.scopes.as_deref() };
    let profiles = profiles::read(reader, root, places);
    let github = github.entries?;
    Some(Config { github, server, host, limits, profiles })
}

/// A table of the root, its unknown keys already named.
fn section<'a>(reader: &mut Reader<'a>, root: &'a DeTable<'a>, name: &'static str) -> Section<'a> {
    let table = root.get(name).and_then(|value| table(reader, name, value));
    let section = Section { name, table };
    reader.refuse_unknown(section);
    section
}

/// The value as a table, or a problem.
pub(super) fn table<'a>(
    reader: &mut Reader<'a>,
    name: &str,
    value: &'a Spanned<DeValue<'a>>,
) -> Option<&'a DeTable<'a>> {
    let table = value.get_ref().as_table();
    if table.is_none() {
        let help = format!("write `[{name}]` on a line of its own, its keys below");
        reader.error(value.span().into(), format!("`{name}` is not a table"), help);
    }
    table
}

/// A value that is no TOML is no number either: one problem at a place is enough. The first `syntax` are TOML's.
fn without_echoes(problems: Vec<Problem>, syntax: usize) -> Vec<Problem> {
    let places: Vec<usize> = problems[..syntax].iter().map(|p| start(&p.origin)).collect();
    let echo = |problem: &Problem| {
        matches!(problem.origin, Origin::File { .. }) && places.contains(&start(&problem.origin))
    };
    let numbered = problems.into_iter().enumerate();
    numbered
        .filter(|(n, problem)| *n < syntax || !echo(problem))
        .map(|(_, problem)| problem)
        .collect()
}

fn syntax(error: &toml::de::Error) -> Problem {
    Problem {
        severity: Severity::Error,
        message: error.message().to_owned(),
        origin: error.span().map_or(Origin::Nowhere, Origin::from),
        label: String::new(),
        help: None,
    }
}

fn start(origin: &Origin) -> usize {
    match origin {
        Origin::File { start, .. } => *start,
        Origin::Flag(_) | Origin::Variable(_) | Origin::Nowhere => 0,
    }
}
