//! The lines of an exported log: a header, the world before the facts, then each fact; now and then a world again.

use super::error::Error;
use crate::store::Entry;
use flint_core::event::Event;
use flint_core::units::Timestamp;
use flint_core::world::World;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, Read};

/// Goes up when older readers would misread a line.
pub const FORMAT: u32 = 1;

/// Far above the world of the largest host.
pub const LINE_MAX: u64 = 256 << 20;

/// What became of names in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Names {
    /// They are as they were.
    Kept,
    /// Stand-ins are in their place.
    Replaced,
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The format of the log.
    #[serde(rename = "flint-events")]
    pub format: u32,
    /// The flint that exported it.
    pub version: String,
    /// The store's name.
    pub instance: String,
    /// When.
    pub written: Timestamp,
    /// What became of names.
    pub names: Names,
}

/// What a reader must know before it reads the rest.
#[derive(Deserialize)]
struct Format {
    #[serde(rename = "flint-events")]
    format: u32,
}

/// Any other line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    seq: u64,
    at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    turn: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fact: Option<Event>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    world: Option<Box<World>>,
}

/// The first line, with its end.
///
/// # Errors
/// serde's, which no header of ours has.
pub fn header_line(header: &Header) -> serde_json::Result<String> {
    serde_json::to_string(header).map(|line| line + "\n")
}

/// Any other line, with its end.
///
/// # Errors
/// serde's.
pub fn entry_line(entry: Entry) -> serde_json::Result<String> {
    let line = match entry {
        Entry::World { seq, at, version, world } => {
            Line { seq, at, turn: None, fact: None, version: Some(version), world: Some(world) }
        }
        Entry::Fact { seq, at, turn, event } => {
            Line { seq, at, turn: Some(turn), fact: Some(event), version: None, world: None }
        }
    };
    serde_json::to_string(&line).map(|line| line + "\n")
}

/// A log that is being read: its header is known, its entries come one by one.
#[derive(Debug)]
pub struct Log<R> {
    from: R,
    header: Header,
    line: u64,
    /// The number that the last entry had; none before the first.
    seq: Option<u64>,
    limit: u64,
}

impl<R: BufRead> Log<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`Error`] when it is not the log of a flint that this one understands.
    pub fn open(from: R) -> Result<Self, Error> {
        Log::open_with(from, LINE_MAX)
    }

    pub(super) fn open_with(mut from: R, limit: u64) -> Result<Self, Error> {
        let mut line = 0;
        let bytes = next_line(&mut from, &mut line, limit)?.ok_or(Error::Empty)?;
        let no_header = |source| Error::NoHeader { source };
        let Format { format } = serde_json::from_slice(&bytes).map_err(no_header)?;
        if format != FORMAT {
            return Err(Error::Format { found: format, known: FORMAT });
        }
        let header = serde_json::from_slice(&bytes).map_err(no_header)?;
        Ok(Log { from, header, line, seq: None, limit })
    }

    /// The first line.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The next entry; the first is a world, and the numbers have no gap. `None` at the end.
    ///
    /// # Errors
    /// [`Error`] names the line.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, Error> {
        let Some(bytes) = next_line(&mut self.from, &mut self.line, self.limit)? else {
            return match self.seq {
                Some(_) => Ok(None),
                None => Err(Error::NoWorld { line: self.line + 1 }),
            };
        };
        let line = self.line;
        let parsed: Line = serde_json::from_slice(&bytes).map_err(|source| {
            if source.is_data() {
                Error::Unknown { line, version: self.header.version.clone(), source }
            } else {
                Error::NotJson { line, source }
            }
        })?;
        let entry = entry(parsed).ok_or(Error::Neither { line })?;
        self.follow(&entry)?;
        Ok(Some(entry))
    }

    fn follow(&mut self, entry: &Entry) -> Result<(), Error> {
        let line = self.line;
        let seq = match (entry, self.seq) {
            (Entry::World { seq, .. }, None) => *seq,
            (Entry::Fact { .. }, None) => return Err(Error::NoWorld { line }),
            (Entry::World { seq, .. }, Some(before)) if *seq == before => *seq,
            (Entry::Fact { seq, .. }, Some(before)) if before.checked_add(1) == Some(*seq) => *seq,
            (Entry::World { seq, .. } | Entry::Fact { seq, .. }, Some(before)) => {
                return Err(Error::Order { line, seq: *seq, before });
            }
        };
        self.seq = Some(seq);
        Ok(())
    }
}

fn entry(line: Line) -> Option<Entry> {
    let Line { seq, at, turn, fact, version, world } = line;
    match (fact, world) {
        (Some(event), None) => Some(Entry::Fact { seq, at, turn: turn.unwrap_or(seq), event }),
        (None, Some(world)) => {
            Some(Entry::World { seq, at, version: version.unwrap_or_default(), world })
        }
        _ => None,
    }
}

/// The next line that is not blank.
fn next_line(
    from: &mut impl BufRead,
    line: &mut u64,
    limit: u64,
) -> Result<Option<Vec<u8>>, Error> {
    loop {
        let mut bytes = Vec::new();
        let number = *line + 1;
        let mut bounded = from.by_ref().take(limit.saturating_add(1));
        let read = bounded.read_until(b'\n', &mut bytes);
        read.map_err(|source| Error::Read { line: number, source })?;
        if bytes.is_empty() {
            return Ok(None);
        }
        if bytes.len() as u64 > limit {
            return Err(Error::TooLong { line: number, limit });
        }
        *line = number;
        if !bytes.trim_ascii().is_empty() {
            return Ok(Some(bytes));
        }
    }
}
