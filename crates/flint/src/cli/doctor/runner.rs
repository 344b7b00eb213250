//! GitHub's runner in the images: which version, and how long GitHub gives jobs to it.

use super::Line;
use crate::assemble;
use crate::cli::update_runner::named;
use crate::cli::{block_on, now};
use crate::config::{Config, GithubOptions};
use crate::error::chain;
use crate::images::Kind;
use crate::images::runner::{self, Error, Found};
use flint_core::runner_version::{LEAST, Last, Releases, Rule, RunnerVersion, Verdict};
use flint_core::units::Timestamp;
use std::path::Path;

const ITEM: &str = "runner";
const FIX: &str = "`flint image update-runner`: new microVMs take the newer one, without a restart";

/// What is known of released versions.
struct Known {
    releases: Releases,
    rule: Rule,
    asked: bool,
}

/// A line for each image; and one if GitHub was asked and does not say which versions there are.
pub(super) fn look(config: &Config, github: Option<&GithubOptions>, ask: bool) -> Vec<Line> {
    let mut known = Known { releases: Releases::default(), rule: Rule::Enforced, asked: false };
    let mut lines = Vec::new();
    // A client that cannot be made has a line of its own.
    if let Some(Ok(client)) = github.map(assemble::of_entry) {
        known.rule = client.runner_rule();
        if ask {
            known.asked = true;
            match block_on(client.runner_releases()) {
                Ok(Ok(releases)) => known.releases = releases,
                Ok(Err(error)) => lines.push(untold(&chain(&error))),
                Err(problem) => lines.push(untold(&problem.error.to_string())),
            }
        }
    }
    let now = now();
    lines.extend(
        named(config).iter().filter_map(|image| line(image, &runner::look(image), &known, now)),
    );
    lines
}

fn untold(why: &str) -> Line {
    Line::note("runner releases", why, "look at github.com/actions/runner/releases by yourself")
}

/// Nothing of an image that cannot be read: another line says so.
fn line(image: &Path, found: &Result<Found, Error>, known: &Known, now: Timestamp) -> Option<Line> {
    let image = image.display();
    let help = |error: &Error| error.help().unwrap_or_else(|| FIX.to_owned());
    let error = match found {
        Ok(Found { version: Some(version), .. }) => {
            return Some(judged(&format!("{image}: {version}"), version.parse().ok(), known, now));
        }
        Ok(Found { version: None, .. }) => {
            let reading = format!("{image}: it does not tell its version");
            return Some(Line::note(ITEM, reading, FIX));
        }
        Err(error) => error,
    };
    match error {
        Error::Unreadable { .. } | Error::NotExt4 { found: Kind::Unknown, .. } => None,
        Error::NotExt4 { found: Kind::Erofs { .. }, .. } => {
            let reading = format!("{image}: its version cannot be read from an EROFS file");
            Some(Line::note(ITEM, reading, &help(error)))
        }
        Error::NotExt4 { .. } => None,
        Error::NoTool { .. } => Some(Line::note(ITEM, chain(error), &help(error))),
        _ => Some(Line::warn(ITEM, chain(error), &help(error))),
    }
}

fn judged(reading: &str, version: Option<RunnerVersion>, known: &Known, now: Timestamp) -> Line {
    let newest = known.releases.newest().map_or(String::new(), |(v, _)| format!("{v} is out"));
    match known.releases.judge(version, known.rule, now) {
        Verdict::Refused => {
            let reading = format!("{reading}: GitHub registers no runner older than {LEAST}");
            Line::bad(ITEM, reading, FIX)
        }
        Verdict::Unknown if version.is_none() => {
            Line::note(ITEM, format!("{reading}, which is no released version"), FIX)
        }
        Verdict::Unknown if known.asked => Line::ok(ITEM, reading),
        Verdict::Unknown => {
            Line::ok(ITEM, format!("{reading}; `flint doctor --github` asks for newer ones"))
        }
        Verdict::Newest => Line::ok(ITEM, format!("{reading}, the newest")),
        Verdict::Behind { last: Some(last) } => {
            Line::note(ITEM, format!("{reading}; {newest}: it gets jobs until {}", day(last)), FIX)
        }
        Verdict::Behind { last: None } => {
            let rule = match known.rule {
                Rule::Enforced => ": it gets jobs for 30 days from then",
                Rule::Advised => "",
            };
            Line::note(ITEM, format!("{reading}; {newest}{rule}"), FIX)
        }
        Verdict::Ending { last } => {
            Line::warn(ITEM, format!("{reading}; {newest}: it gets jobs until {}", day(last)), FIX)
        }
        Verdict::Over { last } => {
            let reading = format!("{reading}; {newest}: it gets no jobs since {}", day(last));
            Line::bad(ITEM, reading, FIX)
        }
    }
}

/// The date alone: GitHub tells no hour.
fn day(last: Last) -> String {
    let date: String = last.at.to_string().chars().take_while(|c| *c != 'T').collect();
    if last.told { date } else { format!("{date} or earlier: nobody tells since when it is out") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Verdict as Grade;
    use flint_core::runner_version::Since;

    const DAY: u64 = 86_400_000;

    fn known(rule: Rule) -> Known {
        let mut releases = Releases::default();
        for (text, day) in [("2.337.0", 20_600), ("2.338.0", 20_640)] {
            let version = text.parse().expect("it is one");
            releases.learn(version, Since::Released(Timestamp(day * DAY)));
        }
        Known { releases, rule, asked: true }
    }

    fn said(version: &str, day: u64, known: &Known) -> (Grade, String) {
        let line = judged("x", version.parse().ok(), known, Timestamp(day * DAY));
        assert_eq!(line.fix.is_some(), line.verdict > Grade::Ok);
        (line.verdict, line.reading)
    }

    #[test]
    fn each_verdict_says_the_day_and_grades_itself() {
        let known = known(Rule::Enforced);
        let cases = [
            ("2.338.0", 20_650, Grade::Ok, "x, the newest"),
            ("2.337.0", 20_650, Grade::Note, "x; 2.338.0 is out: it gets jobs until 2026-08-05"),
            ("2.337.0", 20_664, Grade::Warn, "x; 2.338.0 is out: it gets jobs until 2026-08-05"),
            ("2.337.0", 20_671, Grade::Bad, "x; 2.338.0 is out: it gets no jobs since 2026-08-05"),
            ("2.320.0", 20_671, Grade::Bad, "x: GitHub registers no runner older than 2.329.0"),
            ("mine", 20_671, Grade::Note, "x, which is no released version"),
        ];
        for (version, day, grade, reading) in cases {
            assert_eq!(said(version, day, &known), (grade, reading.to_owned()));
        }
    }

    #[test]
    fn an_enterprise_server_only_advises() {
        let wanted = (Grade::Note, "x; 2.338.0 is out".to_owned());
        assert_eq!(said("2.310.0", 29_000, &known(Rule::Advised)), wanted);
    }

    #[test]
    fn unasked_it_says_what_the_image_tells() {
        let known = Known { releases: Releases::default(), rule: Rule::Enforced, asked: false };
        assert_eq!(said("2.337.0", 1, &known).0, Grade::Ok);
        assert_eq!(said("2.328.0", 1, &known).0, Grade::Bad);
    }

    #[test]
    fn an_image_without_a_runner_is_warned_of_and_one_that_is_not_there_has_another_line() {
        let known = known(Rule::Enforced);
        let line = |error| line(Path::new("i"), &Err(error), &known, Timestamp(0));
        let (image, dir) = ("i".into(), "/opt/actions-runner".to_owned());
        let none = line(Error::NoRunner { image, dir }).expect("it has a line");
        assert_eq!(none.verdict, Grade::Warn);
        let source = std::io::ErrorKind::NotFound.into();
        assert_eq!(line(Error::Unreadable { path: "i".into(), source }), None);
    }
}
