//! One microVM's log: a bounded file, the last lines in memory, and whoever listens.
//!
//! The lines are a stranger's. They are kept as they are, escape sequences too; only newlines are taken out, so that
//! no line can look like two. Whoever shows them on a terminal must mind the rest.
//!
//! ```text
//! 1790000000000 17 out the line's text
//! ```
//! Milliseconds, the number under which the guest said it, where it came from, the text. By the number the next
//! daemon knows which lines are in the file already, and none is there twice.

use crate::sys::bounded::{self, Bounded};
use crate::sys::clock;
use flint_core::units::Timestamp;
use flint_wire::LINE_MAX;
use flint_wire::guest::Stream;
use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use tokio::sync::broadcast;

/// The file's bound; as much again may lie in its `.old`.
const FILE_MAX: u64 = 8 << 20;

/// Lines kept in memory, and their bytes.
const LINES_MAX: usize = 500;
const BYTES_MAX: usize = 256 << 10;

/// How much of the file's end is read by the next daemon: at least one line, however long.
const TAIL: u64 = 4 * LINE_MAX as u64;

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
    /// The number of the last line that was taken.
    last: u64,
    file: Option<Bounded>,
    live: Option<broadcast::Sender<Line>>,
}

impl Log {
    /// The log of a new life. Whatever the file held of an earlier one goes. Without the file it is in memory only.
    pub(super) fn begin(file: &Path) -> Log {
        Log::over(file, Bounded::anew(file, FILE_MAX), VecDeque::new(), 0)
    }

    /// The log of a life that goes on: its last lines are read from the file, and no line is taken twice.
    pub(super) fn resume(file: &Path) -> Log {
        let opened = Bounded::resume(file, FILE_MAX, TAIL);
        let tail = String::from_utf8_lossy(&bounded::tail(file, TAIL)).into_owned();
        // The first one may have lost its beginning.
        let cut = usize::from(tail.len() as u64 >= TAIL);
        let said: Vec<(u64, Line)> = tail.lines().skip(cut).filter_map(read).collect();
        let last = said.last().map_or(0, |(seq, _)| *seq);
        Log::over(file, opened, said.into_iter().map(|(_, line)| line).collect(), last)
    }

    fn over(file: &Path, opened: io::Result<Bounded>, lines: VecDeque<Line>, last: u64) -> Log {
        if let Err(error) = &opened {
            tracing::warn!(file = %file.display(), %error, "cannot keep a log");
        }
        let (live, _) = broadcast::channel(BEHIND_MAX);
        let bytes = lines.iter().map(|line| line.text.len()).sum();
        let mut kept = Kept { lines, bytes, last, file: opened.ok(), live: Some(live) };
        kept.forget_oldest();
        Log { kept: Mutex::new(kept) }
    }

    /// Takes a line, and a remark if the guest had to cut it.
    pub(super) fn said(&self, seq: u64, line: (Stream, &str), cut: bool) {
        let lines = [line, (Stream::Agent, "the line above was longer")];
        self.push(seq, if cut { &lines } else { &lines[..1] });
    }

    /// Takes the guest's word that it had to drop lines.
    pub(super) fn lost(&self, seq: u64, lines: u64) {
        self.push(seq, &[(Stream::Agent, &format!("{lines} lines were lost here"))]);
    }

    /// Takes the host's own last words about a guest that says no more.
    pub(super) fn remark(&self, lines: &[String]) {
        let lines: Vec<_> = lines.iter().map(|line| (Stream::Agent, line.as_str())).collect();
        let last = self.kept.lock().unwrap_or_else(PoisonError::into_inner).last;
        self.push(last.saturating_add(1), &lines);
    }

    /// Takes what was said under one number, unless it was taken before. On return it outlives this process, though
    /// not this machine.
    fn push(&self, seq: u64, lines: &[(Stream, &str)]) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if seq <= kept.last {
            return;
        }
        kept.last = seq;
        let at = Timestamp(clock::unix_millis());
        let line = |(stream, text): &(Stream, &str)| {
            let text = text.replace('\n', " ");
            Line { at, stream: *stream, text }
        };
        let lines: Vec<Line> = lines.iter().map(line).collect();
        // One write, so that no crash comes between them.
        let written: String = lines.iter().map(|line| write(seq, line)).collect();
        if kept.file.as_mut().is_some_and(|file| file.append(written.as_bytes()).is_err()) {
            // A full disk costs the log, not the job.
            kept.file = None;
        }
        for line in lines {
            kept.bytes += line.text.len();
            if let Some(live) = &kept.live {
                // Nobody listening is the usual case.
                let _ = live.send(line.clone());
            }
            kept.lines.push_back(line);
        }
        kept.forget_oldest();
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

impl Kept {
    fn forget_oldest(&mut self) {
        while self.lines.len() > LINES_MAX || self.bytes > BYTES_MAX {
            self.bytes -= self.lines.pop_front().map_or(0, |line| line.text.len());
        }
    }
}

/// The texts of the remarks that begin with a word, in the end of a file.
pub(super) fn remarks(tail: &[u8], word: &str) -> Vec<String> {
    let lines = tail.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
    let agents = lines.filter_map(read).filter(|(_, line)| line.stream == Stream::Agent);
    agents.map(|(_, line)| line.text).filter(|text| text.starts_with(word)).collect()
}

/// A line as it stands in the file.
fn write(seq: u64, line: &Line) -> String {
    format!("{} {seq} {} {}\n", line.at.0, name(line.stream), line.text)
}

/// The same back; `None` for what no log of ours holds.
fn read(line: &str) -> Option<(u64, Line)> {
    let mut parts = line.splitn(4, ' ');
    let at = Timestamp(parts.next()?.parse().ok()?);
    let seq = parts.next()?.parse().ok()?;
    let stream = parts.next()?;
    let stream =
        [Stream::Out, Stream::Err, Stream::Agent].into_iter().find(|s| name(*s) == stream)?;
    Some((seq, Line { at, stream, text: parts.next()?.to_owned() }))
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
    use std::fs;
    use std::io::Write;

    fn out(log: &Log, seq: u64, text: &str) {
        log.push(seq, &[(Stream::Out, text)]);
    }

    /// Number and text of each line of a file.
    fn lines(path: &Path) -> Vec<(u64, String)> {
        let file = fs::read_to_string(path).unwrap();
        file.lines()
            .map(|line| read(line).expect("a line of ours"))
            .map(|(n, l)| (n, l.text))
            .collect()
    }

    #[tokio::test]
    async fn a_line_cannot_look_like_two_and_listeners_hear_it_until_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let log = Log::begin(&path);
        out(&log, 1, "before");
        let mut view = log.view();
        log.push(2, &[(Stream::Err, "a\n0 9 out forged")]);
        log.close();
        assert_eq!(view.past.iter().map(|l| l.text.as_str()).collect::<Vec<_>>(), ["before"]);
        assert_eq!(view.live.recv().await.unwrap().text, "a 0 9 out forged");
        assert!(view.live.recv().await.is_err());
        let file = fs::read_to_string(&path).unwrap();
        assert_eq!(file.lines().count(), 2);
        assert!(file.ends_with(" 2 err a 0 9 out forged\n"), "{file}");
    }

    #[test]
    fn a_full_disk_costs_the_file_and_no_line_in_memory() {
        let dir = tempfile::tempdir().unwrap();
        let path = bounded::full(dir.path());
        let log = Log::over(&path, Bounded::open(&path, FILE_MAX), VecDeque::new(), 0);
        let mut view = log.view();
        log.push(1, &[(Stream::Out, "one")]);
        log.push(2, &[(Stream::Out, "two")]);
        assert_eq!(view.live.try_recv().unwrap().text, "one");
        assert_eq!(log.view().past.len(), 2);
    }

    #[test]
    fn memory_holds_the_last_lines_only() {
        let dir = tempfile::tempdir().unwrap();
        let log = Log::begin(&dir.path().join("log"));
        for n in 1..2000 {
            out(&log, n, &format!("{n}"));
        }
        let past = log.view().past;
        assert_eq!((past.len(), past.last().unwrap().text.as_str()), (LINES_MAX, "1999"));
    }

    #[test]
    fn what_is_said_again_to_the_next_daemon_is_not_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let log = Log::begin(&path);
        out(&log, 3, "three");
        log.said(4, (Stream::Out, "four"), true);
        drop(log);
        let log = Log::resume(&path);
        let past: Vec<String> = log.view().past.into_iter().map(|line| line.text).collect();
        assert_eq!(past, ["three", "four", "the line above was longer"]);
        out(&log, 3, "three");
        out(&log, 4, "four");
        out(&log, 6, "six");
        let numbers: Vec<u64> = lines(&path).into_iter().map(|(seq, _)| seq).collect();
        assert_eq!(numbers, [3, 4, 4, 6]);
    }

    #[test]
    fn a_line_that_a_crash_cut_is_taken_out_and_written_whole() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        out(&Log::begin(&path), 1, "one");
        let mut file = fs::File::options().append(true).open(&path).unwrap();
        file.write_all(b"1790000000000 2 out tw").unwrap();
        let log = Log::resume(&path);
        out(&log, 2, "two");
        assert_eq!(lines(&path), [(1, "one".to_owned()), (2, "two".to_owned())]);
    }

    #[test]
    fn a_crash_between_two_files_repeats_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        out(&Log::begin(&path), 7, "seven");
        fs::rename(&path, dir.path().join("log.old")).unwrap();
        let log = Log::resume(&path);
        out(&log, 7, "seven");
        out(&log, 8, "eight");
        assert_eq!(lines(&path), [(8, "eight".to_owned())]);
    }

    #[test]
    fn a_new_life_under_an_old_id_begins_with_an_empty_log() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        out(&Log::begin(&path), 900, "of an earlier life");
        out(&Log::begin(&path), 1, "first");
        assert_eq!(lines(&path), [(1, "first".to_owned())]);
    }

    #[test]
    fn remarks_are_found_again_and_what_a_job_says_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let log = Log::begin(&path);
        out(&log, 1, "egress: refused: forged");
        log.remark(&["egress: refused: 203.0.113.9:25 over tcp, once".to_owned()]);
        let file = fs::read(&path).unwrap();
        assert_eq!(remarks(&file, "egress: "), ["egress: refused: 203.0.113.9:25 over tcp, once"]);
    }

    #[test]
    fn a_file_of_nonsense_is_a_log_without_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, [b"no log at all\n".as_slice(), &[0xff; 300_000]].concat()).unwrap();
        let log = Log::resume(&path);
        assert!(log.view().past.is_empty());
        out(&log, 1, "first");
        assert!(fs::read(&path).unwrap().ends_with(b" 1 out first\n"));
    }
}
