//! What can go wrong with scale sets, and what the caller does about it.

use crate::forge;
use crate::forge::lack::Lack;
use crate::forge::proxy::{Proxy, through};
use crate::forge::transport;
use flint_core::event::RegisterFailure;
use flint_core::units::Timestamp;

/// Something that was asked of GitHub's scale sets and did not happen.
///
/// `call` is the method and the path, never a query, a body or a header: no secret can be in it. `said` is GitHub's own
/// message, cleaned and cut by [`crate::text::line`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The REST API gave no registration token.
    #[error("cannot reach GitHub's scale sets")]
    Rest {
        /// Why not.
        source: forge::Error,
    },
    /// GitHub named an address to which no token can be sent.
    #[error("cannot use GitHub's answer to {call} as an address: {problem}")]
    Address {
        /// What was asked.
        call: String,
        /// What is wrong with it; never a part of it.
        problem: &'static str,
    },
    /// 401, with tokens that were just made too.
    #[error("cannot {call}: GitHub answered 401, with a new token too: {said}")]
    Unauthorized {
        /// What was asked.
        call: String,
        /// GitHub's words.
        said: String,
    },
    /// 403 that is no limit.
    #[error("cannot {call}: GitHub answered 403: {said}")]
    Forbidden {
        /// What was asked.
        call: String,
        /// GitHub's words.
        said: String,
        /// What whoever calls lacks.
        permission: Lack,
        /// The page on which it is set.
        page: String,
    },
    /// The scale set is not there: somebody deleted it.
    #[error("cannot {call}: GitHub knows no scale set `{set}`: {said}")]
    SetGone {
        /// What was asked.
        call: String,
        /// Its name.
        set: String,
        /// GitHub's words.
        said: String,
    },
    /// 409: the scale set has a session, and it is not ours.
    #[error("cannot {call}: somebody else holds the session of scale set `{set}`: {said}")]
    Conflict {
        /// What was asked.
        call: String,
        /// The set's name.
        set: String,
        /// GitHub's words.
        said: String,
    },
    /// The session has ended.
    #[error("cannot {call}: the session of scale set `{set}` has ended: {said}")]
    SessionGone {
        /// What was asked.
        call: String,
        /// The set's name.
        set: String,
        /// GitHub's words.
        said: String,
    },
    /// A session without a usable message queue, as GitHub gave in some incidents.
    #[error("cannot {call}: GitHub gave scale set `{set}` no message queue: {problem}")]
    NoQueue {
        /// What was asked.
        call: String,
        /// The set's name.
        set: String,
        /// What is wrong with its address; never a part of it.
        problem: &'static str,
    },
    /// There is no runner group of that name.
    #[error("cannot find the runner group `{name}` at GitHub")]
    NoGroup {
        /// Which.
        name: String,
    },
    /// 409: a runner has the name already.
    #[error("cannot {call}: GitHub answered 409: {said}")]
    NameTaken {
        /// What was asked.
        call: String,
        /// GitHub's words.
        said: String,
    },
    /// 429, or 403 with the marks of a limit. Nothing is sent before `until`.
    #[error("cannot {call}: GitHub's rate limit is reached, next try in {wait_s} s")]
    Limited {
        /// What was asked.
        call: String,
        /// When calls may go out again.
        until: Timestamp,
        /// Seconds from the refusal to `until`.
        wait_s: u64,
    },
    /// 5xx.
    #[error("cannot {call}: GitHub answered {status}: {said}")]
    Server {
        /// What was asked.
        call: String,
        /// Which status.
        status: u16,
        /// GitHub's words.
        said: String,
    },
    /// A status that this call has no use for.
    #[error("cannot {call}: GitHub answered {status}, which Flint cannot act on: {said}")]
    Refused {
        /// What was asked.
        call: String,
        /// Which status.
        status: u16,
        /// GitHub's words.
        said: String,
    },
    /// A success whose body cannot be read.
    #[error("cannot {call}: GitHub's answer is not what it should be: {problem}")]
    Garbage {
        /// What was asked.
        call: String,
        /// What is wrong with it; never a part of it, it could hold a secret.
        problem: String,
    },
    /// No answer: connect error, timeout, broken connection. It may have been carried out.
    #[error("cannot {call}: no answer from GitHub{}", through(.proxy.as_ref()))]
    NoAnswer {
        /// What was asked.
        call: String,
        /// What stands between, if something does.
        proxy: Option<Proxy>,
        /// Why not.
        source: reqwest::Error,
    },
}

/// What the caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The same call again, after a while that grows.
    Again,
    /// The same call, not before this.
    Wait {
        /// When.
        until: Timestamp,
    },
    /// The same call with another name of the runner.
    AnotherName,
    /// Open a session anew.
    NewSession,
    /// Open a session later, and again: the one that is there ends when its owner goes away, after minutes.
    Stolen,
    /// Find or create the set anew.
    NewSet,
    /// Nothing, until a person has changed something.
    Person,
}

impl Error {
    /// What the caller does next.
    #[must_use]
    pub fn next(&self) -> Next {
        match self {
            Error::Rest { source } => match source.failure() {
                RegisterFailure::Transient | RegisterFailure::NameTaken => Next::Again,
                RegisterFailure::Limited { until } => Next::Wait { until },
                RegisterFailure::Refused | RegisterFailure::Forbidden => Next::Person,
            },
            Error::Server { .. }
            | Error::Garbage { .. }
            | Error::NoAnswer { .. }
            | Error::Address { .. } => Next::Again,
            // Seen for some seconds after a registration token was made: the official client tries again.
            Error::Unauthorized { .. } => Next::Again,
            Error::Limited { until, .. } => Next::Wait { until: *until },
            Error::NameTaken { .. } => Next::AnotherName,
            Error::SessionGone { .. } | Error::NoQueue { .. } => Next::NewSession,
            Error::Conflict { .. } => Next::Stolen,
            Error::SetGone { .. } => Next::NewSet,
            Error::Forbidden { .. } | Error::NoGroup { .. } | Error::Refused { .. } => Next::Person,
        }
    }

    /// What it means for the next try of a registration.
    #[must_use]
    pub fn failure(&self) -> RegisterFailure {
        match self.next() {
            Next::Again => RegisterFailure::Transient,
            Next::Wait { until } => RegisterFailure::Limited { until },
            Next::AnotherName => RegisterFailure::NameTaken,
            // The set is being found or taken anew meanwhile.
            Next::NewSession | Next::Stolen | Next::NewSet => RegisterFailure::Transient,
            Next::Person if matches!(self, Error::Refused { .. }) => RegisterFailure::Refused,
            Next::Person => RegisterFailure::Forbidden,
        }
    }

    /// A stable name, for logs, metrics and the manual.
    #[must_use]
    pub fn slug(&self) -> &'static str {
        match self {
            Error::Rest { source } => source.slug(),
            Error::Address { .. } => "scale-set-address",
            Error::Unauthorized { .. } => "scale-set-unauthorized",
            Error::Forbidden { .. } => "scale-set-forbidden",
            Error::SetGone { .. } => "scale-set-gone",
            Error::Conflict { .. } => "scale-set-conflict",
            Error::SessionGone { .. } => "scale-set-session-gone",
            Error::NoQueue { .. } => "scale-set-no-queue",
            Error::NoGroup { .. } => "scale-set-no-group",
            Error::NameTaken { .. } => "scale-set-name-taken",
            Error::Limited { .. } => "scale-set-rate-limited",
            Error::Server { .. } => "scale-set-unavailable",
            Error::Refused { .. } => "scale-set-refused",
            Error::Garbage { .. } => "scale-set-garbage",
            Error::NoAnswer { .. } => "scale-set-no-answer",
        }
    }

    /// What a person can do, when a person can.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        let help = match self {
            Error::Rest { source } => return source.help(),
            Error::Forbidden { permission, page, .. } => permission.fix(page),
            Error::Conflict { set, .. } => format!(
                "if another Flint or Actions Runner Controller serves `{set}`, give one of them another name; what an \
                 ended one left behind lapses by itself after some minutes"
            ),
            Error::NoGroup { name } => format!(
                "make the runner group `{name}` in GitHub's settings of Actions, or use `Default`"
            ),
            Error::Address { .. } => {
                "look whether a proxy rewrites GitHub's answers; GitHub's own addresses are https"
                    .to_owned()
            }
            Error::Refused { status: 404, .. } => {
                "this GitHub has no scale sets: a GitHub Enterprise Server needs a newer version"
                    .to_owned()
            }
            Error::Refused { .. } => "check the scale set's name and labels".to_owned(),
            Error::NoAnswer { proxy, source, .. } => {
                transport::help(proxy.as_ref(), source).unwrap_or_else(|| {
                    "check this host's name resolution, its proxy variables, and that port 443 is open \
                     to *.actions.githubusercontent.com too"
                        .to_owned()
                })
            }
            Error::Unauthorized { .. }
            | Error::SetGone { .. }
            | Error::SessionGone { .. }
            | Error::NoQueue { .. }
            | Error::NameTaken { .. }
            | Error::Limited { .. }
            | Error::Server { .. }
            | Error::Garbage { .. } => return None,
        };
        Some(help)
    }
}
