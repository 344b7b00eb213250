//! What the agent says, kept until the host has it.
//!
//! Words (`ready`, `exited`, …) are few and always kept. Log lines are kept within a bound; beyond it they are
//! counted, and the count is said in their place. Nothing here ever holds up the work for good.

use crate::error::{During, Error};
use flint_wire::frame::{encode, encode_hello};
use flint_wire::{FromGuest, Said};
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// The most bytes of log lines that wait for the host.
const LOG_BOUND: usize = 2 * 1024 * 1024;

/// How long a full box holds a log line back before it is dropped: long enough for a host that is only busy.
const LOG_PATIENCE: Duration = Duration::from_secs(1);

/// All that waits for the host.
pub(crate) struct Outbox {
    state: Mutex<State>,
    changed: Condvar,
    log_bound: usize,
}

#[derive(Default)]
struct State {
    last_seq: u64,
    kept: VecDeque<Kept>,
    /// Bytes of the log lines in `kept`.
    log_bytes: usize,
    /// Log lines dropped since the last one that was kept.
    lost: u64,
    /// Where to write, and the number of that connection.
    link: Option<Arc<OwnedFd>>,
    connection: u64,
    /// The answer to the host's hello, which goes before all else.
    hello: Option<Vec<u8>>,
    /// The last number written on this connection.
    written: u64,
}

/// What the host does not have yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// It has everything.
    Nothing,
    /// Everything is written, something is not acknowledged.
    Unacknowledged,
    /// Something is not written.
    Unwritten,
}

struct Kept {
    seq: u64,
    line: Arc<[u8]>,
    log: bool,
}

/// The next thing to write.
struct Next {
    link: Arc<OwnedFd>,
    connection: u64,
    line: Arc<[u8]>,
    seq: Option<u64>,
}

impl Outbox {
    /// An empty one, without a connection.
    pub(crate) fn new() -> Self {
        Self::with_log_bound(LOG_BOUND)
    }

    fn with_log_bound(log_bound: usize) -> Self {
        Outbox { state: Mutex::new(State::default()), changed: Condvar::new(), log_bound }
    }

    /// Says a word; it is kept until acknowledged.
    pub(crate) fn say(&self, message: FromGuest) {
        let mut state = self.lock();
        state.settle_lost();
        state.keep(message, false);
        self.changed.notify_all();
    }

    /// Says a log line, or counts it as lost if the host has not taken the earlier ones.
    pub(crate) fn log(&self, message: FromGuest) {
        let mut state = self.lock();
        if state.lost == 0 && state.link.is_some() {
            let bound = self.log_bound;
            state = self
                .changed
                .wait_timeout_while(state, LOG_PATIENCE, |state| state.log_bytes >= bound)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        if state.log_bytes >= self.log_bound {
            state.lost += 1;
            return;
        }
        state.settle_lost();
        state.keep(message, true);
        self.changed.notify_all();
    }

    /// The host opened a conversation: its hello is answered here, and everything kept is said again.
    pub(crate) fn connect(&self, link: Arc<OwnedFd>, hello: &FromGuest) {
        let said = Said { seq: 0, message: hello.clone() };
        let mut state = self.lock();
        state.hello = encode_hello(&said).ok().map(|line| line.to_vec());
        state.link = Some(link);
        state.connection += 1;
        state.written = 0;
        self.changed.notify_all();
    }

    /// The host is gone: what it did not acknowledge counts as never written.
    pub(crate) fn disconnect(&self) {
        self.lock().link = None;
        self.changed.notify_all();
    }

    /// Perhaps the host is gone: what it did not acknowledge counts as never written, and is said again to whoever
    /// takes it. A port takes nothing while nobody is there.
    pub(crate) fn doubt(&self) {
        let mut state = self.lock();
        // What is being written now proves nothing any more.
        state.connection += 1;
        state.written = 0;
        self.changed.notify_all();
    }

    /// The host has everything up to this number.
    pub(crate) fn forget(&self, seq: u64) {
        let mut state = self.lock();
        while state.kept.front().is_some_and(|kept| kept.seq <= seq) {
            if let Some(Kept { line, log: true, .. }) = state.kept.pop_front() {
                state.log_bytes -= line.len();
            }
        }
        self.changed.notify_all();
    }

    /// What the host does not have yet.
    pub(crate) fn rest(&self) -> Rest {
        let mut state = self.lock();
        state.settle_lost();
        self.changed.notify_all();
        match (state.kept.is_empty(), state.all_written()) {
            (true, _) => Rest::Nothing,
            (false, true) => Rest::Unacknowledged,
            (false, false) => Rest::Unwritten,
        }
    }

    /// Waits until all is written, but only so long; for when nobody listens any more.
    pub(crate) fn flush(&self, bound: Duration) {
        let state = self.lock();
        let unwritten = |state: &mut State| !state.all_written();
        // In time or not: there is nothing else to do.
        let _state = self.changed.wait_timeout_while(state, bound, unwritten);
    }

    fn next(&self) -> Next {
        let mut state = self.lock();
        loop {
            if let Some(next) = state.next() {
                return next;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn written(&self, next: &Next, worked: bool) {
        let mut state = self.lock();
        if state.connection != next.connection {
            return;
        }
        match next.seq {
            _ if !worked => state.link = None,
            Some(seq) => state.written = seq,
            None => {}
        }
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn keep(&mut self, message: FromGuest, log: bool) {
        let seq = self.last_seq + 1;
        // Only a text beyond all bounds cannot be written; every text here is cut before.
        let Ok(line) = encode(&Said { seq, message }) else { return };
        self.last_seq = seq;
        if log {
            self.log_bytes += line.len();
        }
        self.kept.push_back(Kept { seq, line: Arc::from(line.as_slice()), log });
    }

    fn settle_lost(&mut self) {
        if self.lost > 0 {
            let lines = std::mem::take(&mut self.lost);
            self.keep(FromGuest::LogLost { lines }, false);
        }
    }

    fn all_written(&self) -> bool {
        self.link.is_some() && self.kept.back().is_none_or(|last| last.seq <= self.written)
    }

    fn next(&mut self) -> Option<Next> {
        let link = Arc::clone(self.link.as_ref()?);
        let connection = self.connection;
        if let Some(hello) = self.hello.take() {
            return Some(Next { link, connection, line: Arc::from(hello), seq: None });
        }
        let first = self.kept.partition_point(|kept| kept.seq <= self.written);
        let kept = self.kept.get(first)?;
        Some(Next { link, connection, line: Arc::clone(&kept.line), seq: Some(kept.seq) })
    }
}

/// Writes to the host for as long as the guest lives.
pub(crate) fn write_on_a_thread(outbox: &Arc<Outbox>) -> Result<(), Error> {
    let outbox = Arc::clone(outbox);
    let mouth = thread::Builder::new().name("mouth".into());
    let write_for_ever = move || {
        loop {
            let next = outbox.next();
            let worked = next.link.try_clone().and_then(|fd| File::from(fd).write_all(&next.line));
            outbox.written(&next, worked.is_ok());
        }
    };
    mouth.spawn(write_for_ever).map(drop).during("start a thread")
}

#[cfg(test)]
mod tests {
    use super::{Outbox, Rest};
    use flint_wire::guest::Stream;
    use flint_wire::{FromGuest, Said};
    use std::fs::File;
    use std::os::fd::OwnedFd;
    use std::sync::Arc;

    fn line(text: &str) -> FromGuest {
        FromGuest::Log { stream: Stream::Out, text: text.into(), cut: false }
    }

    fn hello() -> FromGuest {
        FromGuest::Hello {
            protocol: 1,
            nonce: "n".into(),
            agent: String::new(),
            boot_id: String::new(),
            kernel: String::new(),
            configured: false,
            admits: true,
            repositories: true,
            ca_certificates: true,
        }
    }

    fn nowhere() -> Arc<OwnedFd> {
        Arc::new(OwnedFd::from(File::open("/dev/null").unwrap()))
    }

    /// What would be written now, in order, as if each write worked.
    fn written(outbox: &Outbox) -> Vec<Said> {
        let mut said = Vec::new();
        loop {
            let Some(next) = outbox.lock().next() else { return said };
            outbox.written(&next, true);
            said.push(serde_json::from_slice(&next.line).unwrap());
        }
    }

    #[test]
    fn what_was_not_acknowledged_is_said_again_after_a_new_hello() {
        let outbox = Outbox::new();
        outbox.connect(nowhere(), &hello());
        outbox.say(FromGuest::Listening);
        outbox.say(FromGuest::JobStarted);
        assert_eq!(written(&outbox).len(), 3);
        outbox.forget(1);
        outbox.connect(nowhere(), &hello());
        let again = written(&outbox);
        assert_eq!(again[0].message, hello());
        assert_eq!(again[1..], [Said { seq: 2, message: FromGuest::JobStarted }]);
    }

    #[test]
    fn log_lines_beyond_the_bound_are_counted_and_words_are_never_lost() {
        let outbox = Outbox::with_log_bound(1);
        outbox.log(line("kept"));
        outbox.log(line("lost"));
        outbox.log(line("lost too"));
        outbox.say(FromGuest::Exited { code: 0 });
        outbox.connect(nowhere(), &hello());
        let said: Vec<_> = written(&outbox).into_iter().map(|said| said.message).collect();
        let exited = FromGuest::Exited { code: 0 };
        assert_eq!(said, [hello(), line("kept"), FromGuest::LogLost { lines: 2 }, exited]);
    }

    #[test]
    fn nothing_is_written_on_a_connection_that_failed() {
        let outbox = Outbox::new();
        outbox.connect(nowhere(), &hello());
        let next = outbox.lock().next().unwrap();
        outbox.written(&next, false);
        outbox.say(FromGuest::Listening);
        assert!(outbox.lock().next().is_none());
        outbox.connect(nowhere(), &hello());
        assert_eq!(written(&outbox).len(), 2);
    }

    #[test]
    fn a_host_that_was_thought_gone_and_was_not_gets_everything_again_without_a_new_hello() {
        let outbox = Outbox::new();
        outbox.connect(nowhere(), &hello());
        outbox.say(FromGuest::Listening);
        outbox.say(FromGuest::JobStarted);
        assert_eq!(written(&outbox).len(), 3);
        outbox.forget(1);
        outbox.doubt();
        assert_eq!(outbox.rest(), Rest::Unwritten);
        assert_eq!(written(&outbox), [Said { seq: 2, message: FromGuest::JobStarted }]);
        assert_eq!(outbox.rest(), Rest::Unacknowledged);
    }

    #[test]
    fn the_answer_to_a_hello_goes_first_although_its_host_is_doubted_before_it_is_written() {
        let outbox = Outbox::new();
        outbox.say(FromGuest::Listening);
        outbox.connect(nowhere(), &hello());
        outbox.doubt();
        let messages: Vec<_> = written(&outbox).into_iter().map(|said| said.message).collect();
        assert_eq!(messages, [hello(), FromGuest::Listening]);
    }

    #[test]
    fn what_a_host_that_went_away_had_not_acknowledged_waits_for_the_next_one() {
        let outbox = Outbox::new();
        outbox.connect(nowhere(), &hello());
        outbox.say(FromGuest::Exited { code: 0 });
        written(&outbox);
        assert_eq!(outbox.rest(), Rest::Unacknowledged);
        outbox.disconnect();
        assert_eq!(outbox.rest(), Rest::Unwritten);
        outbox.connect(nowhere(), &hello());
        assert_eq!(written(&outbox).len(), 2);
        outbox.forget(1);
        assert_eq!(outbox.rest(), Rest::Nothing);
    }
}
