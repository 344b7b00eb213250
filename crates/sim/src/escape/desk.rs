//! Where the guests of `escape` report to: a server of the internet that they may reach.

use crate::intruder::places::{REPORTS, SERVER};
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything that is tried takes on a slow machine.
const PATIENCE: Duration = Duration::from_mins(20);

/// How long a guest needs to answer that it waits.
const ANSWERS: Duration = Duration::from_secs(2);

/// How long is waited for a call at once.
const GLANCE: Duration = Duration::from_secs(1);

/// A guest that has called.
pub(super) struct Guest {
    /// What it calls itself.
    pub(super) who: String,
    stream: TcpStream,
    lines: Receiver<Vec<String>>,
}

/// The desk.
pub(super) struct Desk {
    calls: Receiver<Guest>,
    early: Vec<Guest>,
    listener: TcpListener,
}

impl Desk {
    pub(super) fn open(internet: &Path) -> Result<Desk> {
        let listener =
            flint::sys::netns::run_in(internet, || TcpListener::bind((SERVER, REPORTS)))??;
        let (call, calls) = channel();
        let taking = listener.try_clone()?;
        thread::spawn(move || {
            for stream in taking.incoming() {
                let Ok(stream) = stream else { return };
                let call = call.clone();
                thread::spawn(move || receive(stream, &call));
            }
        });
        Ok(Desk { calls, early: Vec::new(), listener })
    }

    /// Takes the next call of this guest, and tells it what it waits for.
    pub(super) fn take(&mut self, who: &str, words: &[&str]) -> Result<Guest> {
        self.take_any(&[who], words)
    }

    /// Takes the next call of one of these. Of two calls, the newer one counts; one that was given up does not.
    pub(super) fn take_any(&mut self, who: &[&str], words: &[&str]) -> Result<Guest> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            self.early.extend(self.calls.try_iter());
            let wanted = |guest: &Guest| who.contains(&guest.who.as_str());
            if let Some(at) = self.early.iter().rposition(wanted) {
                let mut guest = self.early.remove(at);
                if guest.say(words).is_ok() && guest.is_here() {
                    self.early.retain(|other| other.who != guest.who);
                    return Ok(guest);
                }
            } else if let Ok(guest) = self.calls.recv_timeout(GLANCE) {
                self.early.push(guest);
            }
        }
        bail!("none of {who:?} calls")
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        // Wakes the thread that waits in `accept`.
        let _ended = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
    }
}

fn receive(stream: TcpStream, call: &Sender<Guest>) {
    let Ok(read) = stream.try_clone() else { return };
    let mut lines = BufReader::new(read).lines().map_while(Result::ok);
    let Some(who) = lines.next() else { return };
    let (tell, told) = channel();
    // Nobody waits for it any more: then nothing is lost with it.
    if call.send(Guest { who, stream, lines: told }).is_err() {
        return;
    }
    for line in lines {
        if tell.send(line.split('\t').map(str::to_owned).collect()).is_err() {
            return;
        }
    }
}

impl Guest {
    /// Whether it still waits at the other end.
    fn is_here(&self) -> bool {
        let line = self.lines.recv_timeout(ANSWERS);
        line.is_ok_and(|line| line.concat() == "here")
    }

    /// Its next line; `None` when it has hung up.
    pub(super) fn hear(&self) -> Result<Option<Vec<String>>> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => bail!("`{}` says nothing more", self.who),
        }
    }

    pub(super) fn say(&mut self, words: &[&str]) -> Result<()> {
        writeln!(self.stream, "{}", words.join("\t"))
            .with_context(|| format!("`{}` has gone", self.who))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // It may be gone already.
        self.stream.shutdown(Shutdown::Both).ok();
    }
}
