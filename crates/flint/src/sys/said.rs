//! What the front writes on its standard error, as bounded lines of the daemon's own log.

use crate::text;
use std::io;
use std::os::fd::OwnedFd;
use tokio::net::unix::pipe::Receiver;

/// The longest line; what comes beyond is cut off.
const LINE: usize = 1024;

/// Lines until the next [`Said::again`]; more are counted, not logged. An honest front says a line or two in its life.
const LINES: u32 = 64;

/// The pipe's end.
pub(super) struct Said {
    pipe: Option<Receiver>,
    line: Vec<u8>,
    left: u32,
    unsaid: u64,
}

impl Said {
    /// Both ends; the other one is for the front.
    pub(super) fn pipe() -> io::Result<(Said, OwnedFd)> {
        let (pipe, errors) = io::pipe()?;
        let pipe = Some(Receiver::from_owned_fd(pipe.into())?);
        Ok((Said { pipe, line: Vec::new(), left: LINES, unsaid: 0 }, errors.into()))
    }

    /// Logs what comes until the pipe is closed; then it never returns.
    pub(super) async fn listen(&mut self) {
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
    pub(super) fn again(&mut self) {
        if self.unsaid > 0 {
            tracing::warn!(lines = self.unsaid, "the front said more than is logged");
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
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return;
        }
        if self.left == 0 {
            self.unsaid += 1;
            return;
        }
        self.left -= 1;
        tracing::warn!(said = %text::line(&String::from_utf8_lossy(&line)), "the front");
    }
}
