//! What can go wrong at GitHub, what it means for a registration, and what a person can do about it.

use super::proxy::{Proxy, through};
use super::transport::Unready;
use super::{scale_set, transport};
use flint_core::ask::AskFailure;
use flint_core::event::RegisterFailure;
use flint_core::units::Timestamp;

/// Something that was asked of GitHub, or prepared for it, and did not happen.
///
/// `call` is the method and the path, never a query, a body or a header: no secret can be in it.
/// `said` is GitHub's own message, cleaned and cut by [`crate::text::line`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is no RSA private key in PEM form.
    #[error("cannot use the App's private key: {problem}")]
    NotAKey {
        /// What is wrong with it; never a part of it.
        problem: String,
    },
    /// The base URL is no http(s) URL.
    #[error("cannot use `{url}` as GitHub's API: {problem}")]
    BadUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The HTTP client could not be made.
    #[error("cannot prepare the HTTP client for GitHub")]
    Client {
        /// Why not.
        source: Unready,
    },
    /// 401: GitHub does not accept who we say we are.
    #[error("cannot {call}: GitHub answered 401: {said}{}", wrong(*.skew))]
    Unauthorized {
        /// What was asked.
        call: String,
        /// GitHub's words.
        said: String,
        /// GitHub's clock minus ours, seconds, when its answer carried a `Date`.
        skew: Option<i64>,
    },
    /// 403 that is no rate limit.
    #[error("cannot {call}: GitHub answered 403: {said}")]
    Forbidden {
        /// What was asked.
        call: String,
        /// GitHub's words.
        said: String,
    },
    /// 404 where something was expected.
    #[error("cannot {call}: GitHub answered 404: {said}")]
    NotFound {
        /// What was asked.
        call: String,
        /// GitHub's words.
        said: String,
    },
    /// 409: the runner's name exists.
    #[error("cannot {call}: GitHub answered 409: {said}")]
    Conflict {
        /// What was asked.
        call: String,
        /// GitHub's words.
        said: String,
    },
    /// 422: a value that GitHub refuses; for a removal: the runner has a job.
    #[error("cannot {call}: GitHub answered 422: {said}")]
    Invalid {
        /// What was asked.
        call: String,
        /// GitHub's words.
        said: String,
    },
    /// 429, or 403 with the marks of a limit. Nothing is sent before `until`; of a pot, nothing that it counts.
    #[error("cannot {call}: GitHub's rate limit{} is reached, next try in {wait_s} s", of_pot(*.pot))]
    RateLimited {
        /// What was asked.
        call: String,
        /// When calls may go out again.
        until: Timestamp,
        /// Seconds from the refusal to `until`.
        wait_s: u64,
        /// What is empty; `None`: the budget of all calls.
        pot: Option<&'static str>,
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
    /// A status that has no meaning for this call.
    #[error("cannot {call}: GitHub answered {status}, which it should not: {said}")]
    Unexpected {
        /// What was asked.
        call: String,
        /// Which status.
        status: u16,
        /// GitHub's words.
        said: String,
    },
    /// A success whose body cannot be read.
    #[error("cannot {call}: GitHub's answer is not what its documentation says: {problem}")]
    Garbage {
        /// What was asked.
        call: String,
        /// What is wrong with it; never a part of it, it could hold a secret.
        problem: String,
    },
    /// A scale set's runner.
    #[error("cannot register a runner of a scale set")]
    ScaleSet {
        /// Why not.
        source: Box<scale_set::Error>,
    },
    /// Something of a scope that left the configuration, or of a repository that is in none.
    #[error("cannot ask GitHub about `{what}`: `[github]` does not name it")]
    NotServed {
        /// A scope, an installation or a repository.
        what: String,
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

impl Error {
    /// What it means for the next try of a registration.
    #[must_use]
    pub fn failure(&self) -> RegisterFailure {
        match self {
            Error::Conflict { .. } => RegisterFailure::NameTaken,
            Error::ScaleSet { source } => source.failure(),
            // The call may have been carried out, or will be: try again under another name.
            Error::Server { .. } | Error::Garbage { .. } | Error::NoAnswer { .. } => {
                RegisterFailure::Transient
            }
            // Everything else goes on: only registrations in this scope are held back, and tried now and then.
            Error::RateLimited { pot: Some(_), .. } => RegisterFailure::Forbidden,
            Error::RateLimited { until, .. } => RegisterFailure::Limited { until: *until },
            Error::Unauthorized { .. } | Error::Forbidden { .. } | Error::NotFound { .. } => {
                RegisterFailure::Forbidden
            }
            Error::NotAKey { .. }
            | Error::BadUrl { .. }
            | Error::Client { .. }
            | Error::Invalid { .. }
            | Error::NotServed { .. }
            | Error::Unexpected { .. } => RegisterFailure::Refused,
        }
    }

    /// What it means for the next try of a question.
    #[must_use]
    pub fn ask_failure(&self) -> AskFailure {
        match self.failure() {
            RegisterFailure::Transient | RegisterFailure::NameTaken => AskFailure::Transient,
            RegisterFailure::Limited { until } => AskFailure::Limited { until },
            RegisterFailure::Refused | RegisterFailure::Forbidden => AskFailure::Refused,
        }
    }

    /// A stable name, for logs, metrics and the manual.
    #[must_use]
    pub fn slug(&self) -> &'static str {
        match self {
            Error::NotAKey { .. } => "github-key-invalid",
            Error::BadUrl { .. } => "github-url-invalid",
            Error::Client { source: Unready::Proxy { .. } } => "github-proxy-invalid",
            Error::Client { .. } => "github-client",
            Error::Unauthorized { .. } => "github-unauthorized",
            Error::Forbidden { .. } => "github-forbidden",
            Error::NotFound { .. } => "github-not-found",
            Error::Conflict { .. } => "github-name-taken",
            Error::Invalid { .. } => "github-invalid",
            Error::RateLimited { .. } => "github-rate-limited",
            Error::Server { .. } => "github-unavailable",
            Error::Unexpected { .. } => "github-unexpected",
            Error::Garbage { .. } => "github-garbage",
            Error::NoAnswer { .. } => "github-no-answer",
            Error::NotServed { .. } => "github-not-served",
            Error::ScaleSet { source } => source.slug(),
        }
    }

    /// What a person can do, when a person can.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        let help = match self {
            Error::NotAKey { .. } => "use the .pem file that the App's settings page gave you, whole: \
                 from `-----BEGIN` to the end of the `-----END` line"
                .to_owned(),
            Error::BadUrl { .. } => {
                "github.com is `https://api.github.com`, a GitHub Enterprise Server is `https://HOST/api/v3`".to_owned()
            }
            Error::Unauthorized { skew, .. } if is_wrong(*skew) => {
                "set this host's clock, or turn NTP on".to_owned()
            }
            Error::Unauthorized { .. } => {
                "check that the App's id and the private key belong together, and that the key was not deleted; of a \
                 personal access token, that it has not expired"
                    .to_owned()
            }
            Error::Forbidden { .. } => "give the App the permission Organization → Self-hosted runners: write (for a \
                 repository: Administration: write) and Repository → Actions: read, accept them in the installation, and \
                 look for IP allow lists"
                .to_owned(),
            Error::NotFound { .. } => "check the organization's or repository's name, and that the App is installed there"
                .to_owned(),
            Error::Invalid { .. } => {
                "check the runner group's id and the profile's labels (1 to 100, each at most 256 characters)".to_owned()
            }
            Error::NotServed { .. } => "name it there again, or let what is left of it end by its time limits".to_owned(),
            Error::ScaleSet { source } => return source.help(),
            Error::Client { source } => return source.help(),
            Error::NoAnswer { proxy, source, .. } => transport::help(proxy.as_ref(), source).unwrap_or_else(|| {
                "check this host's name resolution, its proxy variables, and that port 443 is open".to_owned()
            }),
            Error::Unexpected { status: 407, .. } => {
                "a proxy wants a user and a password: HTTP_PROXY=http://USER:PASSWORD@HOST:PORT".to_owned()
            }
            Error::Unexpected { status: 300..=399, .. } => {
                "the organization or repository may have been renamed or moved: use its present name".to_owned()
            }
            Error::Conflict { .. }
            | Error::RateLimited { .. }
            | Error::Server { .. }
            | Error::Unexpected { .. }
            | Error::Garbage { .. } => return None,
        };
        Some(help)
    }
}

fn of_pot(pot: Option<&str>) -> String {
    pot.map(|pot| format!(" of `{pot}`")).unwrap_or_default()
}

/// Whether a clock is so wrong that GitHub may refuse what it dates.
fn is_wrong(skew: Option<i64>) -> bool {
    skew.is_some_and(|skew| skew.abs() > 30)
}

/// Words for it, where it may be the cause.
fn wrong(skew: Option<i64>) -> String {
    let wrong = skew.filter(|_| is_wrong(skew));
    wrong
        .map(|skew| format!(" (this host's clock differs from GitHub's by {skew} s)"))
        .unwrap_or_default()
}
