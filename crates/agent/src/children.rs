//! PID 1's duty to bury every process, and the few whose end somebody waits for.

use crate::error::{During, Error};
use crate::sys::{self, Start};
use rustix::process::{WaitOptions, WaitStatus, wait};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

/// The processes of the guest.
pub(crate) struct Children {
    /// Those that somebody waits for, and how they ended.
    awaited: Mutex<BTreeMap<i32, Option<i32>>>,
    ended: Condvar,
    reaper: Mutex<Option<Thread>>,
}

impl Children {
    /// Begins to bury.
    pub(crate) fn begin() -> Result<Arc<Self>, Error> {
        let children = Arc::new(Children {
            awaited: Mutex::new(BTreeMap::new()),
            ended: Condvar::new(),
            reaper: Mutex::new(None),
        });
        let mine = Arc::clone(&children);
        let reaper = thread::Builder::new().name("reaper".into());
        let handle = reaper.spawn(move || mine.reap_for_ever()).during("start a thread")?;
        *children.reaper.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(handle.thread().clone());
        Ok(children)
    }

    /// Starts a program whose end [`Children::wait`] will tell.
    pub(crate) fn start(&self, start: &Start<'_>) -> io::Result<i32> {
        // The lock is held over the fork, so that the reaper cannot see the end before we see the beginning.
        let mut awaited = self.lock();
        let pid = sys::spawn(start)?;
        awaited.insert(pid, None);
        drop(awaited);
        if let Some(reaper) = &*self.reaper.lock().unwrap_or_else(PoisonError::into_inner) {
            reaper.unpark();
        }
        Ok(pid)
    }

    /// Waits for the end of a started program: its exit code, or 128 + the signal that ended it.
    pub(crate) fn wait(&self, pid: i32) -> i32 {
        let mut awaited = self.lock();
        loop {
            if let Some(Some(code)) = awaited.get(&pid).copied() {
                awaited.remove(&pid);
                return code;
            }
            awaited = self.ended.wait(awaited).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn reap_for_ever(&self) {
        loop {
            match wait(WaitOptions::empty()) {
                Ok(Some((pid, status))) => {
                    if let Some(end) = self.lock().get_mut(&pid.as_raw_nonzero().get()) {
                        *end = Some(code_of(status));
                        self.ended.notify_all();
                    }
                }
                // No child at all. Orphans come only from children, so the next start is soon enough; the
                // time-out is only a net.
                Ok(None) | Err(_) => thread::park_timeout(Duration::from_secs(1)),
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, Option<i32>>> {
        self.awaited.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn code_of(status: WaitStatus) -> i32 {
    status.exit_status().unwrap_or_else(|| 128 + status.terminating_signal().unwrap_or(0))
}
