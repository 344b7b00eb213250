//! Runs `nft` in the calling thread's namespace: one text, one transaction, its complaint kept.

use super::Error;
use crate::sys::program;
use std::io::{self, ErrorKind, Write};
use std::process::{Child, Command, Output, Stdio};

/// An `nft` that was started and not yet waited for: two namespaces' rulesets load side by side.
#[must_use = "a ruleset is in place only when `nft` says so"]
pub(super) struct Loading {
    /// `None` once it was waited for.
    child: Option<Child>,
    whose: String,
}

/// Starts to load a ruleset into the calling thread's namespace. `whose` names it in an error.
///
/// # Errors
/// [`Error::NftMissing`], or [`Error::Nft`] when it cannot be spoken to.
pub(super) fn load(whose: &str, ruleset: &str) -> Result<Loading, Error> {
    let failed = |source| cannot_run(whose, source);
    let mut child = command(&["-f", "-"]).stdin(Stdio::piped()).spawn().map_err(failed)?;
    let stdin = child.stdin.take();
    let loading = Loading { child: Some(child), whose: whose.to_owned() };
    // Dropped at the end of the statement: that is the end of the text.
    match stdin.map_or(Ok(()), |mut stdin| stdin.write_all(ruleset.as_bytes())) {
        // It ended before it had read all: its complaint says more than our broken pipe.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(cannot_run(whose, error)),
        _ => Ok(loading),
    }
}

impl Loading {
    /// Waits until the ruleset is in place.
    ///
    /// # Errors
    /// [`Error::Rules`] with nft's own words: nothing of the text was applied.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        let Some(child) = self.child.take() else { return Ok(()) };
        let output = child.wait_with_output().map_err(|source| cannot_run(&self.whose, source))?;
        said(&self.whose, output).map(drop)
    }
}

impl Drop for Loading {
    /// When something else failed meanwhile: an `nft` that nobody waits for would stay as a zombie.
    fn drop(&mut self) {
        self.child.take().and_then(|child| child.wait_with_output().ok());
    }
}

/// Asks `nft` in the calling thread's namespace and returns what it prints.
///
/// # Errors
/// [`Error::NftMissing`], [`Error::Nft`] or [`Error::Rules`].
pub(super) fn ask(whose: &str, arguments: &[&str]) -> Result<Vec<u8>, Error> {
    let output = command(arguments).stdin(Stdio::null()).output();
    said(whose, output.map_err(|source| cannot_run(whose, source))?)
}

fn command(arguments: &[&str]) -> Command {
    let mut command = program::tool("nft");
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn said(whose: &str, output: Output) -> Result<Vec<u8>, Error> {
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Rules { whose: whose.to_owned(), said })
}

fn cannot_run(whose: &str, source: io::Error) -> Error {
    match source.kind() {
        ErrorKind::NotFound => Error::NftMissing { source },
        _ => Error::Nft { whose: whose.to_owned(), source },
    }
}
