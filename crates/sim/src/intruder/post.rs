//! The intruder's line to the stage: what it is to do, and what it saw. Words between tabs, one line each.

use super::places::{REPORTS, SERVER};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

/// A call that is not taken for so long is made again: what it went through may be there no more.
const CALLING: Duration = Duration::from_secs(5);

/// A stage that is silent for so long has gone.
const SILENCE: Duration = Duration::from_mins(5);

/// How often it is looked for while it is being changed.
const AGAIN: Duration = Duration::from_millis(250);

const TIMES: u32 = 120;

/// The line.
pub(super) struct Post {
    read: BufReader<TcpStream>,
}

impl Post {
    /// Says who is here, and waits to be answered. What is being changed meanwhile may cut the line: it is tried again.
    pub(super) fn open(who: &str) -> io::Result<(Post, Vec<String>)> {
        let mut last = io::Error::from(io::ErrorKind::TimedOut);
        for _ in 0..TIMES {
            match Post::try_open(who) {
                Ok(opened) => return Ok(opened),
                Err(error) => last = error,
            }
            thread::sleep(AGAIN);
        }
        Err(last)
    }

    fn try_open(who: &str) -> io::Result<(Post, Vec<String>)> {
        let server = SocketAddr::new(SERVER.into(), REPORTS);
        let stream = TcpStream::connect_timeout(&server, Duration::from_secs(2))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(CALLING))?;
        let mut post = Post { read: BufReader::new(stream) };
        post.say(&[who])?;
        let answer = post.hear()?;
        // The stage knows by it that this is no call that was given up.
        post.say(&["here"])?;
        post.stream().set_read_timeout(Some(SILENCE))?;
        Ok((post, answer))
    }

    pub(super) fn say(&mut self, words: &[&str]) -> io::Result<()> {
        let plain = |word: &&str| word.replace(['\t', '\n'], " ");
        let line = words.iter().map(plain).collect::<Vec<_>>().join("\t");
        writeln!(self.read.get_mut(), "{line}")
    }

    /// Says what became of an attempt that is judged here: whether it succeeded, and whether it would have without what
    /// holds it.
    pub(super) fn report(
        &mut self,
        name: &str,
        [succeeded, works]: [bool; 2],
        how: &str,
    ) -> io::Result<()> {
        let word = |yes| if yes { "yes" } else { "no" };
        self.say(&["judged", name, word(succeeded), word(works), how])
    }

    pub(super) fn hear(&mut self) -> io::Result<Vec<String>> {
        let mut line = String::new();
        if self.read.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().split('\t').map(str::to_owned).collect())
    }

    pub(super) fn stream(&self) -> &TcpStream {
        self.read.get_ref()
    }
}
