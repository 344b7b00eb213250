//! Takes from this process all that serving does not need, before it has a secret or touches the network.

use super::server::Limits;
use crate::sys::{confine, seccomp};
use std::io;

/// Beside connections: the link, the listener, the log, and what a runtime opens.
const MORE_FILES: u64 = 64;

/// Far above what full buffers take (see design 012): beyond it the front ends, and comes back.
const MEMORY: u64 = 1024 * 1024 * 1024;

/// What could not be taken, in words.
pub(super) type Lost = Vec<String>;

/// All but the last step. While this process has one thread.
pub(super) fn before_the_runtime(uid: u32, closed: io::Result<()>) -> Lost {
    let files = Limits::WEBHOOK.connections as u64 + MORE_FILES;
    confine::before_the_runtime(uid, confine::Limits { files, memory: MEMORY }, closed)
}

/// The last step: no call but those of a server. After the runtime has opened what it needs.
pub(super) fn in_the_runtime() -> Lost {
    match seccomp::serve_only() {
        Ok(()) => Lost::new(),
        Err(error) => vec![format!("a filter of system calls ({error})")],
    }
}
