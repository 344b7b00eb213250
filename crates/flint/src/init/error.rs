//! What can keep a configuration from being made, and what a person can do about it.

use crate::error::Exit;
use crate::forge;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// No configuration, or one whose App is not installed yet.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody is there to be asked.
    #[error("cannot ask for what is missing: standard input is no terminal")]
    Missing {
        /// The flag to give.
        flag: &'static str,
    },
    /// A flag's value is of no use.
    #[error("cannot use `{given}` for {flag}")]
    Flag {
        /// Which.
        flag: &'static str,
        /// What was given.
        given: String,
        /// What it should be.
        wanted: String,
    },
    /// The file of an authority is of no use.
    #[error("cannot use `{path}` for --ca-certificate: {problem}")]
    CaCertificate {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What helps.
        help: &'static str,
    },
    /// The terminal went away in the middle of a question.
    #[error("cannot read the answer")]
    Answer {
        /// Why.
        source: io::Error,
    },
    /// There is one already.
    #[error("cannot write `{path}`: it is there already")]
    Exists {
        /// Which.
        path: PathBuf,
    },
    /// A file or directory cannot be made.
    #[error("cannot write `{path}`")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The page has no port.
    #[error("cannot listen on {address}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// GitHub has no such account.
    #[error("cannot find `{owner}` at {api}")]
    NoOwner {
        /// Who was meant.
        owner: String,
        /// Where.
        api: String,
    },
    /// The account is a person's, who has no runners for all repositories.
    #[error("cannot serve `{login}` as an organization: it is a personal account")]
    Personal {
        /// Whose.
        login: String,
    },
    /// GitHub would refuse every proof that is dated by this host.
    #[error("cannot go on with a clock that differs from GitHub's by {skew} s")]
    Clock {
        /// GitHub's clock minus ours, in seconds.
        skew: i64,
    },
    /// GitHub cannot be asked.
    #[error("cannot set up GitHub's side")]
    GitHub {
        /// Why.
        source: forge::Error,
    },
    /// The App was made in another account.
    #[error("cannot use the App `{app}`: it belongs to `{owner}`, not to `{wanted}`")]
    OtherOwner {
        /// The App's name.
        app: String,
        /// Whose it is.
        owner: String,
        /// Whose it should be.
        wanted: String,
        /// Its page.
        page: String,
    },
    /// The App is there, its files are not.
    #[error("cannot keep what GitHub gave for the App `{app}`")]
    Lost {
        /// The App's name.
        app: String,
        /// Its page.
        page: String,
        /// Why.
        source: Box<Error>,
    },
    /// Nobody came, or nobody installed the App, for as long as a code is good.
    #[error("cannot wait any longer: {unfinished}")]
    TooLate {
        /// What has not happened.
        unfinished: Unfinished,
    },
    /// Ctrl-C.
    #[error("stopped: {unfinished}")]
    Stopped {
        /// What has not happened.
        unfinished: Unfinished,
    },
}

/// How far it came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfinished {
    /// Nothing is made.
    #[error("no App was made")]
    NoApp,
    /// The App and all files are there.
    #[error("the App is made and stored, and not installed yet")]
    NotInstalled {
        /// Where it is installed.
        page: String,
    },
}

impl Error {
    /// How the program ends by it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Error::Missing { .. } | Error::Flag { .. } | Error::CaCertificate { .. } => Exit::Usage,
            Error::Exists { .. } | Error::NoOwner { .. } | Error::Personal { .. } => Exit::Refused,
            _ => Exit::Failed,
        }
    }

    /// What a person can do, when a person can.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        let help = match self {
            Error::Missing { flag } => format!("give {flag}"),
            Error::Flag { wanted, .. } => format!("it must be {wanted}"),
            Error::CaCertificate { help, .. } => (*help).to_owned(),
            Error::Exists { .. } => {
                "look at it, or name another with --config; --force writes a new one and keeps \
                 this one beside it, its name ending in `.bak`"
                    .to_owned()
            }
            Error::Write { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "try as root, or name a file elsewhere with --config".to_owned()
            }
            Error::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                "name another port: --listen 127.0.0.1:PORT; with port 0 any free one is taken"
                    .to_owned()
            }
            Error::NoOwner { .. } => {
                "check the spelling: it is the name in the address of its page; a GitHub of \
                 your own is named by --github-url"
                    .to_owned()
            }
            Error::Personal { login } => {
                format!("give one of its repositories: --repository {login}/NAME")
            }
            Error::Clock { .. } => "set this host's clock, or turn NTP on".to_owned(),
            Error::GitHub { source } => return source.help(),
            Error::OtherOwner { page, .. } => {
                format!("delete it ({page}, its settings, Advanced), and begin again")
            }
            Error::Lost { page, .. } => format!(
                "make a new private key on the App's page ({page}, its settings) and store it by hand, or delete the App \
                 and begin again"
            ),
            Error::TooLate { unfinished } | Error::Stopped { unfinished } => {
                return unfinished.help();
            }
            Error::Answer { .. } | Error::Write { .. } | Error::Listen { .. } => return None,
        };
        Some(help)
    }
}

impl Unfinished {
    fn help(&self) -> Option<String> {
        match self {
            Unfinished::NoApp => Some("begin again: `flint init`".to_owned()),
            Unfinished::NotInstalled { page } => {
                Some(format!("install it at {page}, then look: `flint doctor --github`"))
            }
        }
    }
}
