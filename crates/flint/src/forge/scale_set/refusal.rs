//! What an answer that is no success means, by what was asked.

use super::Error;
use super::address::Home;
use super::service::Reply;

/// What a call was about: the same status means different things.
#[derive(Clone, Copy)]
pub(super) enum Subject<'a> {
    /// The service itself, or a list.
    Service,
    /// The scale set of this name.
    Set(&'a str),
    /// A new session of the scale set of this name.
    NewSession(&'a str),
    /// The session of the scale set of this name, or its messages.
    Session(&'a str),
    /// A new runner of the scale set of this name.
    Runner(&'a str),
}

/// The error. What GitHub calls it decides where a status alone could mean two things.
pub(super) fn refusal(home: &Home, reply: &Reply, subject: Subject<'_>) -> Error {
    let (kind, said) = reply.said();
    let (call, status) = (reply.call.clone(), reply.status);
    let named = |name: &str| kind.contains(name);
    match (status, subject) {
        (401, Subject::Session(set)) => Error::SessionGone { call, set: set.to_owned(), said },
        (401, _) => Error::Unauthorized { call, said },
        (403, _) => Error::Forbidden {
            call,
            said,
            permission: home.permission(),
            page: home.settings().into(),
        },
        (404 | 410, Subject::Session(set)) if !named("RunnerScaleSetNotFound") => {
            Error::SessionGone { call, set: set.to_owned(), said }
        }
        (
            404 | 410,
            Subject::Set(set)
            | Subject::NewSession(set)
            | Subject::Session(set)
            | Subject::Runner(set),
        ) => Error::SetGone { call, set: set.to_owned(), said },
        (409, Subject::NewSession(set) | Subject::Session(set)) => {
            Error::Conflict { call, set: set.to_owned(), said }
        }
        (409, Subject::Runner(_)) => Error::NameTaken { call, said },
        (500..=599, _) => Error::Server { call, status, said },
        _ => Error::Refused { call, status, said },
    }
}
