//! Questions at the terminal, each asked until its answer will do.

use super::{Error, Person};
use std::io;

/// Whoever can be asked.
pub(super) struct Questions<'a> {
    person: Person<'a>,
}

impl<'a> Questions<'a> {
    pub(super) fn new(person: Person<'a>) -> Self {
        Questions { person }
    }

    /// A question that needs an answer; where nobody is, `flag` is what was missing.
    pub(super) fn required<T>(
        &mut self,
        question: &str,
        flag: &'static str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Error> {
        let Some(hear) = self.person.hear else {
            return Err(Error::Missing { flag });
        };
        (self.person.say)(&format!("{question}:"));
        loop {
            match read(line(hear)?.trim()) {
                Ok(answer) => return Ok(answer),
                Err(wanted) => (self.person.say)(&format!("  it must be {wanted}:")),
            }
        }
    }

    /// A question with a default, which is also the answer of nobody.
    pub(super) fn optional<T>(
        &mut self,
        question: &str,
        default: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Error> {
        let or_default = |text: &str| read(if text.is_empty() { default } else { text });
        let question = match default {
            "" => question.to_owned(),
            default => format!("{question} [{default}]"),
        };
        match self.person.hear {
            Some(_) => self.required(&question, "", or_default),
            None => Ok(or_default("").expect("a default is an answer that will do")),
        }
    }
}

fn line(hear: &dyn Fn() -> io::Result<Option<String>>) -> Result<String, Error> {
    let ended = || io::Error::from(io::ErrorKind::UnexpectedEof);
    hear().and_then(|line| line.ok_or_else(ended)).map_err(|source| Error::Answer { source })
}
