//! What the agent says to the host.

use serde::{Deserialize, Serialize};

/// One message from the agent with its number. Numbers start at 1 and grow by one; the agent keeps what is not
/// acknowledged (within its bound) and says it again after a new hello.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// Its number; 0 for a `hello`, which is never kept.
    pub seq: u64,
    /// What.
    #[serde(flatten)]
    pub message: FromGuest,
}

/// What the agent says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum FromGuest {
    /// Answers a hello.
    Hello {
        /// The agent's [`crate::PROTOCOL`]; both sides then speak the lower of the two.
        protocol: u32,
        /// The host's nonce.
        nonce: String,
        /// The agent's version.
        agent: String,
        /// `/proc/sys/kernel/random/boot_id`.
        boot_id: String,
        /// `uname -r`.
        kernel: String,
        /// Whether this guest has been configured before (the host reconnects).
        configured: bool,
        /// Whether the agent heeds what its work says of whose jobs are let in.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        admits: bool,
        /// Whether the agent heeds what its work says of repositories.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        repositories: bool,
        /// Whether the agent installs the certificates that its work brings.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        ca_certificates: bool,
    },
    /// Configured; waits for work.
    Ready {
        /// Milliseconds from the kernel's own start to the agent's first instruction.
        kernel_ms: u64,
        /// Milliseconds from there to this message.
        agent_ms: u64,
        /// The version of GitHub's runner, as its own list says; see [`crate::image`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        runner: Option<String>,
    },
    /// The runner waits for its job.
    Listening,
    /// The started hook ran: the runner has a job.
    JobStarted,
    /// The completed hook ran.
    JobDone,
    /// One line of the work's output.
    Log {
        /// Where it came from.
        stream: Stream,
        /// The text without its newline; invalid UTF-8 replaced, cut at [`crate::LOG_TEXT_MAX`].
        text: String,
        /// Whether it was cut.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        cut: bool,
    },
    /// Lines were dropped because the host did not take them.
    LogLost {
        /// How many.
        lines: u64,
    },
    /// The work's process ended.
    Exited {
        /// Its exit code; a signal is 128 + its number.
        code: i32,
    },
    /// The agent could not do what it must; it powers off after this.
    Failed {
        /// The step, for people: `mount /dev/vdb`.
        step: String,
        /// The cause.
        error: String,
    },
    /// The last word before the power goes off.
    Bye,
}

impl FromGuest {
    /// Whether a guest can only say this with its work in hand.
    #[must_use]
    pub fn shows_work(&self) -> bool {
        match self {
            FromGuest::Listening
            | FromGuest::JobStarted
            | FromGuest::JobDone
            | FromGuest::Exited { .. } => true,
            FromGuest::Log { stream, .. } => matches!(stream, Stream::Out | Stream::Err),
            FromGuest::Hello { .. }
            | FromGuest::Ready { .. }
            | FromGuest::LogLost { .. }
            | FromGuest::Failed { .. }
            | FromGuest::Bye => false,
        }
    }
}

/// Where a log line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// The work's standard output.
    Out,
    /// The work's standard error.
    Err,
    /// The agent itself.
    Agent,
}
