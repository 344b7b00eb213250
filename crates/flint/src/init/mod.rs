//! `flint init`: from nothing to a configuration with a GitHub App of its own.
//!
//! Two rules. What can be refused is refused before anything is made at GitHub; and what GitHub shows only once is on the
//! disk before anything else is done with it. GitHub's side is its manifest flow: a page on loopback sends the person to
//! GitHub with a form, GitHub sends them back with a code, and the code is exchanged for the App.

mod app;
mod ask;
mod before;
pub mod error;
mod files;
mod flow;
mod manifest;
mod page;
mod run;
mod server;
mod template;
mod visit;
mod wish;

pub use error::Error;
pub use files::{Existing, Files};
pub use run::{Outcome, run};
pub use wish::{CaCertificate, Given, Wish};

use std::io;

/// Whoever is at the terminal.
#[derive(Clone, Copy)]
pub struct Person<'a> {
    /// Shows them a line.
    pub say: &'a (dyn Fn(&str) + Sync),
    /// Gives the next line that they type, nothing at the end of it; `None` where nobody is.
    pub hear: Option<&'a (dyn Fn() -> io::Result<Option<String>> + Sync)>,
}
