//! This process's terminal, in raw mode for as long as a guard lives.

use rustix::termios::{OptionalActions, Termios};
use std::io;

/// Puts the terminal back when dropped.
#[derive(Debug)]
pub struct Raw(Option<Termios>);

impl Raw {
    /// Makes standard input raw: each key goes through as it is, Ctrl-C too. No terminal is no error.
    ///
    /// # Errors
    /// When the terminal does not obey.
    pub fn enter() -> io::Result<Raw> {
        let stdin = rustix::stdio::stdin();
        if !rustix::termios::isatty(stdin) {
            return Ok(Raw(None));
        }
        let before = rustix::termios::tcgetattr(stdin)?;
        let mut raw = before.clone();
        raw.make_raw();
        rustix::termios::tcsetattr(stdin, OptionalActions::Now, &raw)?;
        Ok(Raw(Some(before)))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            // Nothing better can be done for a terminal that went away.
            let _ =
                rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Flush, before);
        }
    }
}
