//! Lines in and out, bounded: bytes become messages and messages become bytes, whatever carries them.
//!
//! Nothing here reads or writes: the agent's blocking threads and the host's tasks push what they read into a
//! [`Decoder`] and write what [`encode`] gives. Texts that came from the other side never appear in an error,
//! because a broken line may hold a secret.

use crate::guest::{FromGuest, Said};
use crate::host::ToGuest;
use crate::{LINE_MAX, PROTOCOL};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::marker::PhantomData;
use zeroize::{Zeroize, Zeroizing};

/// What one read of the agent brings at most; the buffer is made large enough that a secret is never moved.
const READ_ROOM: usize = 16 * 1024;

/// Why a line is not a message.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// More than [`LINE_MAX`] bytes without a newline; everything up to the next newline is dropped.
    #[error("cannot take a line longer than {LINE_MAX} bytes")]
    TooLong,
    /// Not JSON, or not an object with a `say`.
    #[error("cannot read a line of {bytes} bytes: no message begins there")]
    NotAMessage {
        /// The line's length.
        bytes: usize,
    },
    /// A known message whose fields are wrong, at this column. The text stays out: it may be a secret.
    #[error("cannot read message `{say}`: wrong at column {column}")]
    Malformed {
        /// Which message; one of [`Message::SAYS`].
        say: &'static str,
        /// Where in the line.
        column: usize,
    },
    /// Ours: the message cannot be written.
    #[error("cannot write a message as a line")]
    Unwritable,
}

/// A message that stands on a line.
pub trait Message: Serialize + DeserializeOwned {
    /// The values of `say` that this version knows; all others are skipped.
    const SAYS: &'static [&'static str];
}

impl Message for ToGuest {
    const SAYS: &'static [&'static str] = &["hello", "configure", "work", "ack", "stop"];
}

impl Message for Said {
    const SAYS: &'static [&'static str] = &[
        "hello",
        "ready",
        "listening",
        "job_started",
        "job_done",
        "log",
        "log_lost",
        "exited",
        "failed",
        "bye",
    ];
}

/// Only the tag of a message, borrowed, so that a probe copies no secret.
#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(borrow)]
    say: Cow<'a, str>,
}

/// Turns bytes into messages of one direction.
///
/// Holds at most one line and one read; what was taken out is overwritten.
pub struct Decoder<M> {
    bytes: Zeroizing<Vec<u8>>,
    /// Where the first byte that was not taken out stands.
    start: usize,
    /// Up to where there is no newline.
    searched: usize,
    /// Inside a line that was too long: drop up to its end.
    dropping: bool,
    message: PhantomData<fn() -> M>,
}

impl<M: Message> Default for Decoder<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: Message> Decoder<M> {
    /// A decoder at the start of a line.
    #[must_use]
    pub fn new() -> Self {
        Decoder {
            bytes: Zeroizing::new(Vec::with_capacity(LINE_MAX + READ_ROOM)),
            start: 0,
            searched: 0,
            dropping: false,
            message: PhantomData,
        }
    }

    /// Takes what was read. Call [`Decoder::next_message`] until it gives `None` before the next push, so that
    /// the buffer stays within its bound.
    pub fn push(&mut self, read: &[u8]) {
        self.compact();
        self.bytes.extend_from_slice(read);
    }

    /// The next whole message. Empty lines and unknown messages are skipped; an error costs one line, not the
    /// conversation.
    pub fn next_message(&mut self) -> Option<Result<M, FrameError>> {
        loop {
            let Some(end) = self.bytes[self.searched..].iter().position(|byte| *byte == b'\n')
            else {
                return self.without_newline();
            };
            let end = self.searched + end;
            let outcome = match (self.dropping, end - self.start < LINE_MAX) {
                (true, _) => None,
                (false, false) => Some(Err(FrameError::TooLong)),
                (false, true) => read_line(&self.bytes[self.start..end]).transpose(),
            };
            self.forget_to(end + 1);
            self.dropping = false;
            if outcome.is_some() {
                return outcome;
            }
        }
    }

    fn without_newline(&mut self) -> Option<Result<M, FrameError>> {
        self.searched = self.bytes.len();
        if self.bytes.len() - self.start < LINE_MAX && !self.dropping {
            return None;
        }
        let first = !self.dropping;
        self.forget_to(self.bytes.len());
        self.dropping = true;
        first.then_some(Err(FrameError::TooLong))
    }

    /// Overwrites what stands before `end`.
    fn forget_to(&mut self, end: usize) {
        self.bytes[self.start..end].zeroize();
        self.start = end;
        self.searched = end;
    }

    /// Moves what is left to the front, and overwrites where it stood.
    fn compact(&mut self) {
        self.bytes.copy_within(self.start.., 0);
        let left = self.bytes.len() - self.start;
        self.bytes[left..].zeroize();
        self.bytes.truncate(left);
        self.searched -= self.start;
        self.start = 0;
    }
}

/// One line without its newline; `None` if this version does not know the message.
fn read_line<M: Message>(line: &[u8]) -> Result<Option<M>, FrameError> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok(None);
    }
    let tag: Tag<'_> =
        serde_json::from_slice(line).map_err(|_| FrameError::NotAMessage { bytes: line.len() })?;
    let Some(say) = M::SAYS.iter().find(|known| **known == tag.say) else {
        return Ok(None);
    };
    serde_json::from_slice(line)
        .map(Some)
        .map_err(|error| FrameError::Malformed { say, column: error.column() })
}

/// The line of a message, newline included. Overwritten when dropped: it may hold a secret.
///
/// # Errors
///
/// [`FrameError::TooLong`] if the other side would not take it.
pub fn encode<M: Message>(message: &M) -> Result<Zeroizing<Vec<u8>>, FrameError> {
    let mut line = Zeroizing::new(Vec::with_capacity(READ_ROOM));
    serde_json::to_writer(&mut *line, message).map_err(|_| FrameError::Unwritable)?;
    line.push(b'\n');
    if line.len() > LINE_MAX { Err(FrameError::TooLong) } else { Ok(line) }
}

/// As [`encode`], for a `hello` of either side: a newline in front ends whatever line an earlier connection
/// left unfinished in the stream, so that the hello is never glued to it.
///
/// # Errors
///
/// As [`encode`].
pub fn encode_hello<M: Message>(hello: &M) -> Result<Zeroizing<Vec<u8>>, FrameError> {
    let mut line = encode(hello)?;
    line.insert(0, b'\n');
    Ok(line)
}

/// The host's first word, ready to write.
///
/// # Errors
///
/// As [`encode`].
pub fn opening(nonce: &str) -> Result<Zeroizing<Vec<u8>>, FrameError> {
    encode_hello(&ToGuest::Hello { protocol: PROTOCOL, nonce: nonce.to_owned() })
}

/// The host's gate: nothing passes before the guest has echoed the nonce.
///
/// What a virtio-serial stream still holds from an earlier conversation comes first and is dropped here, its
/// broken lines included.
pub struct Resync {
    nonce: String,
    open: bool,
}

impl Resync {
    /// Waits for the echo of this nonce.
    #[must_use]
    pub fn new(nonce: String) -> Self {
        Resync { nonce, open: false }
    }

    /// Lets through the echoing hello and all that follows it.
    pub fn admit(&mut self, said: Result<Said, FrameError>) -> Option<Result<Said, FrameError>> {
        if let Ok(Said { message: FromGuest::Hello { nonce, .. }, .. }) = &said {
            self.open = self.open || *nonce == self.nonce;
        }
        self.open.then_some(said)
    }
}

#[cfg(test)]
#[path = "frame_tests.rs"]
mod tests;
