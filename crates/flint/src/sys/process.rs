//! A process by its pidfd: whether it lives, when it ends, how to end it. Never by its number alone.
//!
//! The process need not be a child of this one: [`Process::find`] takes up one that an earlier daemon started, by
//! the record that [`crate::sys::spawn`] left. A number that was given to another process since is not taken for it.

use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use tokio::io::unix::AsyncFd;
use tokio::sync::OnceCell;

/// A process that was there when this was made.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    fd: AsyncFd<OwnedFd>,
    ended: OnceCell<Option<Ended>>,
}

/// How a process ended, as its parent is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Process {
    /// Takes hold of a child that has not been waited for, so that its number is still its own.
    ///
    /// # Errors
    /// When the kernel has no pidfd for it.
    pub fn child(pid: u32) -> io::Result<Process> {
        Process::open(number(pid)?)
    }

    /// The process that a record names, if it is still that one and has not ended.
    ///
    /// # Errors
    /// When the record cannot be read, or the kernel does not answer. No record is no process, not an error.
    pub fn find(record: &Path) -> io::Result<Option<Process>> {
        let text = match fs::read_to_string(record) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read?,
        };
        let Some((boot, stat)) = text.split_once('\n') else { return Ok(None) };
        let Some((pid, started)) = birth(stat) else { return Ok(None) };
        if boot != boot_id()? {
            return Ok(None);
        }
        // The pidfd first: whoever holds the number now keeps it while we compare the start times.
        let process = match Process::open(number(pid)?) {
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => return Ok(None),
            opened => opened?,
        };
        let now = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let same = birth(&now).is_some_and(|(_, start)| start == started);
        Ok((same && process.alive()).then_some(process))
    }

    fn open(pid: Pid) -> io::Result<Process> {
        let fd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        #[expect(unsafe_code, reason = "tokio asks for a promise about the descriptor")]
        // SAFETY: the `OwnedFd` moves into the `AsyncFd`, which alone owns it until it closes it.
        let fd = unsafe { AsyncFd::register_with_interest(fd, tokio::io::Interest::READABLE) }
            .map_err(io::Error::from)?;
        Ok(Process { pid, fd, ended: OnceCell::new() })
    }

    /// Its number, for people and for `/proc`.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Where the kernel shows it, to name it in an error.
    #[must_use]
    pub fn place(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}", self.pid()))
    }

    /// Whether it has not ended. One that ended and was not waited for has ended.
    #[must_use]
    pub fn alive(&self) -> bool {
        let mut poll =
            libc::pollfd { fd: self.fd.get_ref().as_raw_fd(), events: libc::POLLIN, revents: 0 };
        #[expect(unsafe_code, reason = "one poll(2) without a timeout")]
        // SAFETY: `poll` is one valid pollfd and outlives the call.
        let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
        ready == 0
    }

    /// Sends SIGKILL. One that has ended is no error.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn kill(&self) -> io::Result<()> {
        match rustix::process::pidfd_send_signal(self.fd.get_ref(), Signal::KILL) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            sent => Ok(sent?),
        }
    }

    /// Waits until it has ended; says how, if it was a child of this process. Any number of callers may wait.
    pub async fn wait(&self) -> Option<Ended> {
        let ended = self.ended.get_or_init(|| async {
            // An error here is only possible when the runtime is ending; then nobody reads the answer.
            let _ = self.fd.readable().await;
            self.reap()
        });
        *ended.await
    }

    fn reap(&self) -> Option<Ended> {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let id = WaitId::PidFd(self.fd.get_ref().as_fd());
        let status = rustix::process::waitid(id, options).ok().flatten()?;
        let code = status.exit_status().map(Ended::Code);
        code.or_else(|| status.terminating_signal().map(Ended::Signal))
    }
}

/// This boot's id: a record of an earlier boot names nobody.
///
/// # Errors
/// When `/proc` is not there.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// A process's number and start time (field 22, in clock ticks since boot) in a line of `/proc/PID/stat`.
/// Its name, field 2, may hold spaces and parentheses; hence from the last `)`.
fn birth(stat: &str) -> Option<(u32, u64)> {
    let (pid, _) = stat.split_once(' ')?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let start = after_name.split_ascii_whitespace().nth(19)?;
    Some((pid.parse().ok()?, start.parse().ok()?))
}

fn number(pid: u32) -> io::Result<Pid> {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
    raw.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{pid} is no process")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_does_not_shift_the_start_time() {
        let stat = "17 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20 21";
        assert_eq!(birth(stat), Some((17, 4242)));
    }

    #[tokio::test]
    async fn a_record_of_another_boot_names_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let record = dir.path().join("process");
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        fs::write(&record, format!("some-other-boot\n{stat}")).unwrap();
        assert!(Process::find(&record).unwrap().is_none());
        fs::write(&record, format!("{}\n{stat}", boot_id().unwrap())).unwrap();
        assert!(Process::find(&record).unwrap().is_some());
    }

    #[tokio::test]
    async fn a_number_that_another_process_has_now_is_not_taken_for_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let record = dir.path().join("process");
        let me = std::process::id();
        let stat = format!("{me} (old) S{}", " 1".repeat(40));
        fs::write(&record, format!("{}\n{stat}", boot_id().unwrap())).unwrap();
        assert!(Process::find(&record).unwrap().is_none());
    }
}
