//! `flint init`: the terminal's part of it, and the proof at the end.

use super::doctor;
use super::output::{self, Output};
use super::{block_on, machine};
use crate::assemble;
use crate::config::{self, Flags, Purpose, Sources, defaults};
use crate::error::{Exit, Problem};
use crate::init::{self, Given, Outcome, Person, Wish};
use std::io::{self, IsTerminal};
use std::path::PathBuf;

/// Makes a configuration, waits for its App, and shows what GitHub says of it.
///
/// # Errors
/// Whatever keeps it from being made; the help says what is left to do.
pub(super) fn run(
    out: Output,
    config: Option<PathBuf>,
    given: Given,
    top: &Flags,
) -> Result<Exit, Problem> {
    // A crash must not write the key to a disk. It goes on without that: the daemon warns of it.
    assemble::keep_memory().ok();
    let named = config.or_else(|| std::env::var_os("FLINT_CONFIG").map(PathBuf::from));
    let path = named.unwrap_or_else(|| PathBuf::from(defaults::FILE));
    let is_terminal = io::stdin().is_terminal() && io::stderr().is_terminal();
    let person = Person {
        say: &|line| output::complain(&crate::text::escaped(line)),
        hear: is_terminal.then_some(&hear),
    };
    let wish = Wish::complete(with(given, top), path, person).map_err(problem)?;
    let made = block_on(init::run(&wish, person.say))?.map_err(problem)?;
    prove(out, &made)
}

/// Flags before the command's name are as good as those after it.
fn with(given: Given, top: &Flags) -> Given {
    let flag = |path: &str| top.get(path).map(str::to_owned);
    Given {
        organization: given.organization.or_else(|| flag("github.organization")),
        repository: given.repository.or_else(|| flag("github.repository")),
        github_url: given.github_url.or_else(|| flag("github.url")),
        ca_certificate: given
            .ca_certificate
            .or_else(|| flag("github.ca_certificate").map(PathBuf::from)),
        ..given
    }
}

fn hear() -> io::Result<Option<String>> {
    let mut line = String::new();
    let read = io::stdin().read_line(&mut line)?;
    Ok((read > 0).then_some(line))
}

/// The file is read as the daemon will read it, and GitHub is asked as `flint doctor --github` does.
fn prove(out: Output, made: &Outcome) -> Result<Exit, Problem> {
    let path = made.files.config.clone();
    let sources = Sources::gather(Flags::default(), Some(path.clone()))
        .map_err(|error| Problem::new(Exit::Usage, error))?;
    let checked = config::check(&sources, &machine(), Purpose::Serve);
    if !checked.report.problems.is_empty() {
        output::complain(&checked.report.render(output::color_errors()));
    }
    let Some(config) = checked.config else {
        return Err(Problem::new(Exit::Usage, checked.report));
    };
    output::complain(&format!("{} is written", path.display()));
    let sets = assemble::scopes_of_sets(&config);
    let asking = doctor::github::Asking::All(&sets);
    let exit = doctor::tell(out, &doctor::github::look(&config.github, asking))?;
    output::complain("next: `flint doctor` looks at this machine, `flint serve` serves");
    Ok(exit)
}

fn problem(error: init::Error) -> Problem {
    let (exit, help) = (error.exit(), error.help());
    Problem::new(exit, error).help(help)
}
