//! What a process without rights writes on its standard error, as bounded lines of our own log.

use crate::text;
use std::io;
use std::os::fd::OwnedFd;
use tokio::net::unix::pipe::Receiver;

/// The longest line; what comes beyond is cut off.
const LINE: usize = 1024;

/// Lines until the next [`Said::again`]; more are counted, not logged. An honest process says a line or two in its life.
const LINES: u32 = 64;

/// The pipe's end.
#[derive(Debug)]
pub struct Said {
    who: &'static str,
    pipe: Option<Receiver>,
    line: Vec<u8>,
    left: u32,
    unsaid: u64,
}

impl Said {
    /// Both ends; the other one is for the process, which the log calls `who`.
    ///
    /// # Errors
    /// When there is none to be had.
    pub fn pipe(who: &'static str) -> io::Result<(Said, OwnedFd)> {
        let (pipe, errors) = io::pipe()?;
        let pipe = Some(Receiver::from_owned_fd(pipe.into())?);
        Ok((Said { who, pipe, line: Vec::new(), left: LINES, unsaid: 0 }, errors.into()))
    }

    /// Logs what comes until the pipe is closed; then it never returns.
    pub async fn listen(&mut self) {
        let mut buffer = [0; 4096];
        while let Some(pipe) = &self.pipe {
            // An error here is only possible when the runtime is ending.
            let ready = pipe.readable().await;
            match ready.and_then(|()| pipe.try_read(&mut buffer)) {
                Ok(0) => self.pipe = None,
                Ok(length) => self.take(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.pipe = None,
            }
        }
        self.end_line();
        std::future::pending().await
    }

    /// Lets it say something again.
    pub fn again(&mut self) {
        if self.unsaid > 0 {
            tracing::warn!(lines = self.unsaid, "{} said more than is logged", self.who);
        }
        (self.left, self.unsaid) = (LINES, 0);
    }

    fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                byte if self.line.len() < LINE => self.line.push(*byte),
                _ => {}
            }
        }
    }

    fn end_line(&mut self) {
        if let Some(said) = self.next_line() {
            tracing::warn!(%said, "{}", self.who);
        }
    }

    /// What has come since the last one, made harmless; nothing, if it is empty or one too many.
    fn next_line(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        match (line.is_empty(), self.left) {
            (true, _) => None,
            (false, 0) => {
                self.unsaid += 1;
                None
            }
            (false, _) => {
                self.left -= 1;
                Some(text::line(&String::from_utf8_lossy(&line)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_process_writes_can_neither_fill_the_log_nor_drive_a_terminal() {
        let (mut said, _errors) = Said::pipe("somebody").unwrap();
        said.take(b"\x1b[2J\xff red");
        assert_eq!(said.next_line().as_deref(), Some("\u{fffd}[2J\u{fffd} red"));
        said.take(&[b'x'; 3 * LINE]);
        assert!(said.line.len() == LINE && said.next_line().unwrap().chars().count() <= LINE);
        (0..1_000).for_each(|_| said.take(b"again and again\n\n"));
        assert_eq!((said.left, said.unsaid), (0, 1_000 + 2 - u64::from(LINES)));
        said.again();
        assert_eq!((said.left, said.unsaid), (LINES, 0));
    }
}
