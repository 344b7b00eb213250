//! How the program ends and what it says then: exit codes, and the printer that walks a chain of errors.

use crate::text::cut;
use std::error::Error;
use std::fmt::Write;
use std::process::ExitCode;

/// The most characters of an error and its causes in a fact, and of the advice behind them.
const WHY: (usize, usize) = (1_024, 512);

/// How the program ends. The numbers are a promise to scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: done.
    Ok,
    /// 1: tried, and it failed.
    Failed,
    /// 2: the command line or the configuration cannot be used.
    Usage,
    /// 3: refused, or the doctor found something bad.
    Refused,
    /// The code of the command that `flint run` ran.
    Command(u8),
}

/// An error on its way to a person.
#[derive(Debug)]
pub struct Problem {
    /// How the program ends by it.
    pub exit: Exit,
    /// What Flint tried; its sources are the causes.
    pub error: Box<dyn Error + Send + Sync>,
    /// What the person can do.
    pub help: Option<String>,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Ok => ExitCode::SUCCESS,
            Exit::Failed => ExitCode::from(1),
            Exit::Usage => ExitCode::from(2),
            Exit::Refused => ExitCode::from(3),
            Exit::Command(code) => ExitCode::from(code),
        }
    }
}

impl Problem {
    /// An error without advice.
    pub fn new(exit: Exit, error: impl Error + Send + Sync + 'static) -> Self {
        Problem { exit, error: Box::new(error), help: None }
    }

    /// The same with advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<Option<String>>) -> Self {
        self.help = help.into();
        self
    }

    /// The error, its causes and the advice, a line each, as they are printed.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let mut text = headed(color, "error", "\u{1b}[1;31m", &self.error.to_string());
        let mut cause = self.error.source();
        while let Some(error) = cause {
            let line = headed(color, "because", "\u{1b}[1m", &error.to_string());
            write!(text, "\n  {line}").expect("a string takes every text");
            cause = error.source();
        }
        if let Some(help) = &self.help {
            let line = headed(color, "help", "\u{1b}[1;36m", help);
            write!(text, "\n  {line}").expect("a string takes every text");
        }
        text
    }
}

/// An error and its causes on one line, for logs and for facts.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The same, and behind it what a person can do. Facts are kept: this is of bounded length.
#[must_use]
pub fn advised(error: &dyn Error, help: Option<&str>) -> String {
    let (most, advice) = WHY;
    let why = cut(&chain(error), most);
    match help {
        Some(help) => format!("{why}; {}", cut(help, advice)),
        None => why,
    }
}

fn headed(color: bool, head: &str, style: &str, text: &str) -> String {
    let text = crate::text::escaped(text);
    if color { format!("{style}{head}:\u{1b}[0m {text}") } else { format!("{head}: {text}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot clone rootfs `{name}` for vm-42")]
    struct Outer {
        name: &'static str,
        source: std::io::Error,
    }

    #[test]
    fn an_error_prints_its_causes_and_then_the_advice() {
        let source = std::io::Error::other("no space left on device");
        let problem = Problem::new(Exit::Failed, Outer { name: "r-9f2c.ext4", source })
            .help("`flint images prune` would free 31 GiB".to_owned());
        insta::assert_snapshot!(problem.render(false), @r"
        error: cannot clone rootfs `r-9f2c.ext4` for vm-42
          because: no space left on device
          help: `flint images prune` would free 31 GiB
        ");
    }

    #[test]
    fn a_facts_reason_ends_with_the_advice_and_is_bounded() {
        let source = std::io::Error::other("no space left on device");
        let error = Outer { name: "r-9f2c.ext4", source };
        let why = advised(&error, Some("make room"));
        assert_eq!(
            why,
            "cannot clone rootfs `r-9f2c.ext4` for vm-42: no space left on device; make room"
        );
        let error = Outer { name: "r", source: std::io::Error::other("é".repeat(5_000)) };
        let why = advised(&error, Some(&"make room ".repeat(500)));
        assert!(why.contains("…; make room") && why.ends_with('…'), "{why}");
        assert_eq!(why.chars().count(), 1_024 + 2 + 512);
    }
}
