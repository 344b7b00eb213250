//! What can be wrong with an exported log.

use std::io;

/// A log that cannot be folded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It cannot be read.
    #[error("cannot read line {line} of the log")]
    Read {
        /// From 1.
        line: u64,
        /// Why.
        source: io::Error,
    },
    /// There is nothing in it.
    #[error("cannot replay an empty file")]
    Empty,
    /// The first line is not what `flint export` writes.
    #[error("cannot find an event log's header in line 1")]
    NoHeader {
        /// What is wrong with the line.
        source: serde_json::Error,
    },
    /// It was written in another format.
    #[error("cannot read a log of format {found}: this flint knows format {known}")]
    Format {
        /// The log's.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// A line is cut, or was never JSON.
    #[error("cannot read line {line} as JSON")]
    NotJson {
        /// From 1.
        line: u64,
        /// Why.
        source: serde_json::Error,
    },
    /// A line is JSON and no fact or world of ours.
    #[error("cannot make sense of line {line}")]
    Unknown {
        /// From 1.
        line: u64,
        /// The flint that exported the log.
        version: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A line is neither a fact nor a world, or it is both.
    #[error("cannot make sense of line {line}: it must hold either a fact or a world")]
    Neither {
        /// From 1.
        line: u64,
    },
    /// The second line is not the world from which the facts go on.
    #[error("cannot fold from line {line}: the world before the facts is missing")]
    NoWorld {
        /// From 1.
        line: u64,
    },
    /// A number does not follow the one before.
    #[error("cannot follow line {line}: its number is {seq}, and the one before is {before}")]
    Order {
        /// From 1.
        line: u64,
        /// Its number.
        seq: u64,
        /// The number of the line before.
        before: u64,
    },
    /// A line is longer than any can be.
    #[error("cannot take line {line}: it is over {limit} bytes")]
    TooLong {
        /// From 1.
        line: u64,
        /// The most that is taken.
        limit: u64,
    },
    /// A number that was asked for is not in the log.
    #[error("cannot show fact {seq}: the log holds {first} to {last}")]
    NoSuchFact {
        /// Which.
        seq: u64,
        /// The first there is.
        first: u64,
        /// The last there is.
        last: u64,
    },
}

impl Error {
    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        let text = match self {
            Error::Empty | Error::NoHeader { .. } => {
                "`flint export -o FILE` writes such a log".to_owned()
            }
            Error::Format { .. } => "replay it with the flint that exported it".to_owned(),
            Error::NotJson { line, source } if source.is_eof() => {
                format!("the file was cut: its first {} lines can be replayed", line - 1)
            }
            Error::NotJson { .. } | Error::Neither { .. } | Error::TooLong { .. } => {
                "was the file changed after `flint export`? Export it again".to_owned()
            }
            Error::Unknown { version, .. } if version == env!("CARGO_PKG_VERSION") => {
                "was the file changed after `flint export`? Export it again".to_owned()
            }
            Error::Unknown { version, .. } => {
                let ours = env!("CARGO_PKG_VERSION");
                format!(
                    "flint {version} exported it, and this is flint {ours}: replay it with that one"
                )
            }
            Error::NoWorld { .. } | Error::Order { .. } => {
                "the lines of `flint export` must stay whole and in their order".to_owned()
            }
            Error::Read { .. } | Error::NoSuchFact { .. } => return None,
        };
        Some(text)
    }
}
