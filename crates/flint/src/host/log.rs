//! One microVM's log: a bounded file, the last lines in memory, and whoever listens.
//!
//! The lines are a stranger's. They are kept as they are, escape sequences too; only newlines are taken out, so that
//! no line can look like two. Whoever shows them on a terminal must mind the rest.

use crate::sys::bounded::Bounded;
use crate::sys::clock;
use flint_core::units::Timestamp;
use flint_wire::guest::Stream;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use tokio::sync::broadcast;

/// The file's bound; as much again may lie in its `.old`.
const FILE_MAX: u64 = 8 << 20;

/// Lines kept in memory, and their bytes.
const LINES_MAX: usize = 500;
const BYTES_MAX: usize = 256 << 10;

/// Lines a listener may be behind before it loses some.
const BEHIND_MAX: usize = 1024;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it arrived here.
    pub at: Timestamp,
    /// Where it came from in the guest.
    pub stream: Stream,
    /// Its text, without any newline.
    pub text: String,
}

/// What was said so far (its end), and what will be.
#[derive(Debug)]
pub struct View {
    /// The last lines, oldest first.
    pub past: Vec<Line>,
    /// The lines after them; closed when the microVM is gone. One that lags loses lines and is told how many.
    pub live: broadcast::Receiver<Line>,
}

/// A microVM's log.
#[derive(Debug)]
pub(super) struct Log {
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    lines: VecDeque<Line>,
    bytes: usize,
    file: Option<Bounded>,
    live: Option<broadcast::Sender<Line>>,
}

impl Log {
    /// A log that goes on in this file. Without the file it is in memory only.
    pub(super) fn open(file: &Path) -> Log {
        let opened = Bounded::open(file, FILE_MAX);
        if let Err(error) = &opened {
            tracing::warn!(file = %file.display(), %error, "cannot keep a log");
        }
        let (live, _) = broadcast::channel(BEHIND_MAX);
        let (lines, file) = (VecDeque::new(), opened.ok());
        Log { kept: Mutex::new(Kept { lines, bytes: 0, file, live: Some(live) }) }
    }

    pub(super) fn push(&self, stream: Stream, text: &str) {
        let text = text.replace('\n', " ");
        let line = Line { at: Timestamp(clock::unix_millis()), stream, text };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let written = format!("{} {} {}\n", line.at.0, name(stream), line.text);
        if kept.file.as_mut().is_some_and(|file| file.append(written.as_bytes()).is_err()) {
            // A full disk costs the log, not the job.
            kept.file = None;
        }
        kept.bytes += line.text.len();
        if let Some(live) = &kept.live {
            // Nobody listening is the usual case.
            let _ = live.send(line.clone());
        }
        kept.lines.push_back(line);
        while kept.lines.len() > LINES_MAX || kept.bytes > BYTES_MAX {
            kept.bytes -= kept.lines.pop_front().map_or(0, |line| line.text.len());
        }
    }

    pub(super) fn view(&self) -> View {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = || broadcast::channel(1).1;
        let live = kept.live.as_ref().map_or_else(closed, broadcast::Sender::subscribe);
        View { past: kept.lines.iter().cloned().collect(), live }
    }

    /// No more lines will come.
    pub(super) fn close(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).live = None;
    }
}

fn name(stream: Stream) -> &'static str {
    match stream {
        Stream::Out => "out",
        Stream::Err => "err",
        Stream::Agent => "agent",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_line_cannot_look_like_two_and_listeners_hear_it_until_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let log = Log::open(&path);
        log.push(Stream::Out, "before");
        let mut view = log.view();
        log.push(Stream::Err, "a\n0 out forged");
        log.close();
        assert_eq!(view.past.iter().map(|l| l.text.as_str()).collect::<Vec<_>>(), ["before"]);
        assert_eq!(view.live.recv().await.unwrap().text, "a 0 out forged");
        assert!(view.live.recv().await.is_err());
        let file = std::fs::read_to_string(&path).unwrap();
        assert_eq!(file.lines().count(), 2);
        assert!(file.ends_with(" err a 0 out forged\n"), "{file}");
    }

    #[test]
    fn memory_holds_the_last_lines_only() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::open(&dir.path().join("log"));
        for n in 0..2000 {
            log.push(Stream::Out, &format!("{n}"));
        }
        let past = log.view().past;
        assert_eq!((past.len(), past.last().unwrap().text.as_str()), (LINES_MAX, "1999"));
    }
}
