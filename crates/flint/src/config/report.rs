//! All problems of a configuration at once, each at its line, as a compiler shows them.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::fmt;
use std::ops::Range;

/// Problems that are shown. A file with more is of another program, or of another version of this one.
const SHOWN: usize = 50;

/// Where a value came from. The order is the order of precedence.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// This flag, with its dashes.
    Flag(String),
    /// This environment variable.
    Variable(String),
    /// These bytes of the file.
    File {
        /// The first.
        start: usize,
        /// The one after the last.
        end: usize,
    },
    /// Nowhere: it is missing, or a default.
    Nowhere,
}

/// How bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// Flint does not start.
    Error,
    /// Flint starts and says so.
    Warning,
}

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// How bad.
    pub severity: Severity,
    /// What is wrong, naming the key.
    pub message: String,
    /// Where.
    pub origin: Origin,
    /// A word at the place; may be empty.
    pub label: String,
    /// What to do.
    pub help: Option<String>,
}

/// All problems of one configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The file's name, if one was read.
    pub path: Option<String>,
    /// The file's text.
    pub text: String,
    /// In the order they were found.
    pub problems: Vec<Problem>,
}

impl From<Range<usize>> for Origin {
    fn from(span: Range<usize>) -> Self {
        Origin::File { start: span.start, end: span.end }
    }
}

impl Report {
    /// Whether one of them keeps Flint from starting.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// The problems as text, with the lines of the file they are about; secrets in these are masked.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let text = masked(&self.text);
        let one = |problem: &Problem| renderer.render(&[self.group(problem, &text)]);
        let mut shown: Vec<_> = self.problems.iter().take(SHOWN).map(one).collect();
        let more = self.problems.len() - shown.len();
        if more > 0 {
            shown.push(format!("and {more} more problems"));
        }
        shown.join("\n\n")
    }

    fn group<'a>(&'a self, problem: &'a Problem, text: &'a str) -> Group<'a> {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(problem.message.as_str());
        let group = match &problem.origin {
            Origin::File { start, end } => {
                let mark = AnnotationKind::Primary.span(*start..*end).label(problem.label.as_str());
                title.element(Snippet::source(text).path(self.path.as_deref()).annotation(mark))
            }
            Origin::Flag(name) => {
                title.element(Level::NOTE.message(format!("from the flag `{name}`")))
            }
            Origin::Variable(name) => title
                .element(Level::NOTE.message(format!("from the environment variable `{name}`"))),
            Origin::Nowhere => Group::with_title(title),
        };
        match &problem.help {
            Some(help) => group.element(Level::HELP.message(help.as_str())),
            None => group,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.iter().filter(|p| p.severity == Severity::Error).count() {
            1 => f.write_str("cannot use the configuration: 1 problem"),
            count => write!(f, "cannot use the configuration: {count} problems"),
        }
    }
}

impl std::error::Error for Report {}

/// The text with every webhook secret as stars, byte for byte: a report shows the lines it is about, and a
/// missing quote must not put a secret on the terminal or into the journal.
fn masked(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut open = false;
    for line in text.split_inclusive('\n') {
        let Some(value) = secret_starts(line).or(open.then_some(0)) else {
            shown.push_str(line);
            continue;
        };
        let (key, secret) = line.split_at(value);
        open = stays_open(secret, open);
        shown.push_str(key);
        shown.extend(secret.chars().flat_map(stars));
    }
    shown
}

/// Whether the value goes on in the next line: a list or a long text that has not ended.
fn stays_open(secret: &str, was_open: bool) -> bool {
    let quotes = secret.matches("\"\"\"").count() + secret.matches("'''").count();
    let ends = secret.contains(']') || quotes % 2 == 1;
    if was_open {
        !ends
    } else {
        quotes % 2 == 1 || (secret.contains('[') && !secret.contains(']'))
    }
}

/// As many as the character has bytes, so that positions stay true. The line's end stays.
fn stars(c: char) -> impl Iterator<Item = char> {
    let keep = matches!(c, '\n' | '\r' | ' ' | '[' | ']');
    std::iter::repeat_n(if keep { c } else { '*' }, c.len_utf8())
}

/// Where the value of a line that sets a webhook secret begins, in whatever way the key is written.
fn secret_starts(line: &str) -> Option<usize> {
    const KEY: &str = "webhook_secret";
    let (at, _) =
        line.match_indices(KEY).find(|(at, _)| !line[at + KEY.len()..].starts_with("_file"))?;
    line[at..].find('=').map(|equals| at + equals + 1)
}
