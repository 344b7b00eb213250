//! Everything that can happen to the agent: what the threads that listen send to the one that talks.

use flint_wire::ToGuest;
use flint_wire::frame::FrameError;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Everything that can happen to the agent.
pub(crate) enum Input {
    /// The host opened the conversation, perhaps again.
    Hello {
        /// To be echoed.
        nonce: String,
        /// Where to answer.
        link: Arc<OwnedFd>,
    },
    /// The host is gone. Another one may come.
    Away,
    /// The host seems gone, and may be there all the same.
    Doubt,
    /// The host said something else.
    Host(ToGuest),
    /// The host said something that is no message.
    Garbled(FrameError),
    /// The runner's output says that it listens.
    Listening,
    /// A hook told something.
    Hint(Hint),
    /// The work ended.
    Exited {
        /// Its code.
        code: i32,
    },
}

/// What a hook told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Hint {
    /// The job begins.
    Started,
    /// The job is over.
    Completed,
}
