//! `flint replay`: an exported log folded and planned again, shown step by step.

use super::error::Error;
use super::output::Output;
use crate::error::{Exit, Problem};
use crate::replay::{self, Log, Step, Walk, opening, show_step, show_world};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// What of it to show.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Part {
    /// The first fact.
    pub(super) from: Option<u64>,
    /// The last fact.
    pub(super) to: Option<u64>,
    /// The world after this fact, and no steps.
    pub(super) at: Option<u64>,
}

impl Part {
    fn has(self, step: &Step) -> bool {
        let mut seqs = step.facts.iter().map(|told| told.seq);
        seqs.any(|seq| {
            self.from.is_none_or(|from| from <= seq) && self.to.is_none_or(|to| seq <= to)
        })
    }

    /// Whether no step after this one is wanted.
    fn ends(self, step: &Step) -> bool {
        let last = self.at.or(self.to);
        last.is_some_and(|last| step.facts.iter().any(|told| told.seq >= last))
    }
}

/// Replays the file (`-`: standard input).
///
/// # Errors
/// [`replay::Error`] names the line that is wrong; what comes before it is shown.
pub(super) fn run(out: Output, events: &Path, part: Part) -> Result<Exit, Problem> {
    if events == Path::new("-") {
        return shown(out, io::stdin().lock(), part);
    }
    let file = File::open(events);
    let file = file.map_err(|source| Error::Input { path: events.to_owned(), source })?;
    shown(out, BufReader::new(file), part)
}

fn shown(out: Output, from: impl BufRead, part: Part) -> Result<Exit, Problem> {
    let mut log = Log::open(from).map_err(of_log)?;
    let mut walk = Walk::default();
    if !out.json && part.at.is_none() {
        out.line(&opening(log.header()))?;
    }
    let (mut first, mut last) = (None, 0);
    loop {
        let entry = log.next_entry().map_err(of_log)?;
        let ended = entry.is_none();
        let step = match entry {
            Some(entry) => walk.take(entry),
            None => walk.end(),
        };
        if let Some(step) = step {
            let seqs = || step.facts.iter().map(|told| told.seq);
            first = first.or(seqs().next());
            last = seqs().next_back().unwrap_or(last);
            if part.at.is_none() && part.has(&step) {
                show(out, &step)?;
            }
            if part.ends(&step) {
                break;
            }
        }
        if ended {
            break;
        }
    }
    let Some(seq) = part.at else { return Ok(Exit::Ok) };
    let first = first.unwrap_or(0);
    if !(first..=last).contains(&seq) {
        return Err(of_log(replay::Error::NoSuchFact { seq, first, last }));
    }
    out.show(walk.world(), |_| show_world(&walk))?;
    Ok(Exit::Ok)
}

/// JSON is one step a line, for `jq`.
fn show(out: Output, step: &Step) -> Result<(), Error> {
    if !out.json {
        return out.line(&show_step(step));
    }
    let text = serde_json::to_string(step);
    out.line(&text.map_err(|source| Error::Answer { call: "--json".to_owned(), source })?)
}

fn of_log(error: replay::Error) -> Problem {
    let help = error.help();
    Problem::new(Exit::Failed, error).help(help)
}
