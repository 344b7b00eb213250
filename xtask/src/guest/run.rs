//! Runs the distribution's tools, with errors that name the command and what it said.

use anyhow::{Context, Result, bail};
use std::process::{Command, Output};

/// Runs to the end; what it prints is shown only when it fails.
pub(super) fn run(command: &mut Command) -> Result<Output> {
    let shown = shown(command);
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output();
    let output = output.with_context(|| format!("cannot run `{program}`; is it installed?"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let from = said.trim_end().lines().rev().take(20).collect::<Vec<_>>();
        let said: Vec<&str> = from.into_iter().rev().collect();
        bail!("`{shown}` failed ({}):\n{}", output.status, said.join("\n"));
    }
    Ok(output)
}

/// What a command printed, as text.
pub(super) fn text(command: &mut Command) -> Result<String> {
    Ok(String::from_utf8_lossy(&run(command)?.stdout).trim_end().to_owned())
}

fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    words.join(" ")
}
