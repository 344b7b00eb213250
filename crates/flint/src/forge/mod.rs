//! GitHub as Flint sees it. It reports; it never decides, and never reads the world.
//!
//! [`GitHub`] registers and removes runners, and asks what happened, because webhooks get lost. Webhooks themselves
//! come in through room `front`, which reads them with [`payload`].

pub mod app_auth;
mod body;
pub mod caller;
pub mod clock;
pub mod download;
pub mod error;
mod etags;
mod github;
pub mod lack;
mod limits;
pub mod pages;
pub(crate) mod payload;
mod proxy;
mod rest;
pub mod rights;
mod runners;
pub mod scale_set;
pub mod setup;
mod token;
mod transport;

pub use error::Error;
pub use github::standing::{Hook, Installed, Known};
pub use github::{GitHub, GroupView, Proofs, runner_rule};
pub use proxy::Proxy;
pub use runners::Runners;
pub use transport::Unready;

use flint_core::ask::{Question, Quota};
use flint_core::event::ForgeEvent;
use flint_core::id::{InstallationId, ProfileId, RunnerId, RunnerName, ScopeId, VmId};
use flint_core::units::Timestamp;
use flint_wire::Secret;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// github.com's REST API.
pub const PUBLIC_API: &str = "https://api.github.com";

/// The seam to GitHub's runner registrations.
pub trait Forge: Send + Sync + 'static {
    /// Gets a one-job registration. Not idempotent at GitHub: never call it twice with one name.
    ///
    /// # Errors
    /// [`Error`]; its `failure()` says what it means for the next try.
    fn register(&self, request: Request) -> impl Future<Output = Result<Registered, Error>> + Send;

    /// Removes every registration in a scope under these names (none given: all names of this microVM).
    ///
    /// # Errors
    /// [`Error`] when nothing is known; try again.
    fn deregister(
        &self,
        vm: VmId,
        scope: ScopeId,
        names: Vec<RunnerName>,
    ) -> impl Future<Output = Result<Removal, Error>> + Send;

    /// Answers a question with facts, in the order in which they must be told; the last one closes the question.
    ///
    /// # Errors
    /// [`Error`] when nothing is known; its `ask_failure()` says what it means for the next try.
    fn ask(
        &self,
        question: Question,
        asked: Timestamp,
    ) -> impl Future<Output = Result<Answer, Error>> + Send;
}

/// What GitHub answers to a question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The facts.
    pub told: Vec<Told>,
    /// What is left of the budget that the question was asked on, and whose it is, if GitHub said so.
    pub quota: Option<(InstallationId, Quota)>,
}

/// A fact that an answer holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The GUID of the delivery that it was found in: it is a fact once, however it comes.
    pub delivery: Option<String>,
    /// The fact.
    pub event: ForgeEvent,
}

/// What the room must be told. The defaults stand in `config`.
#[derive(Clone)]
pub struct Options {
    /// Base of the REST API: [`PUBLIC_API`], or `https://HOST/api/v3` of a GitHub Enterprise Server.
    pub api_url: String,
    /// Authorities that are trusted beside the system's, PEM: by Flint, and by the runners.
    pub ca_certificates: Option<String>,
    /// Where runners are registered.
    pub scope: Scope,
    /// Who we are.
    pub credentials: Credentials,
    /// How deliveries prove where they come from.
    pub webhook: WebhookAuth,
    /// The runner group.
    pub runner_group: RunnerGroup,
}

/// Who we are at GitHub.
#[derive(Clone)]
pub enum Credentials {
    /// An App.
    App {
        /// Its client id (`Iv…`) or its numeric id.
        id: String,
        /// Its private key, PEM.
        private_key: Secret,
    },
    /// A person, by a personal access token. Nobody but the App itself may read the deliveries of its webhook.
    Token(Secret),
}

/// Where runners are registered in an organization: which repositories reach them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunnerGroup {
    /// By GitHub's number; 1 is its `Default`, and the only one of a repository.
    Number(u64),
    /// By its name, without regard to case.
    Name(String),
}

/// Where runners are registered, and whose jobs are listened to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// All repositories of an organization that its runner group admits.
    Organization(String),
    /// One repository.
    Repository {
        /// Its owner's login.
        owner: String,
        /// Its name.
        name: String,
    },
    /// All organizations of an enterprise that its runner group admits, by its slug. GitHub has no permission of Apps for it.
    Enterprise(String),
}

/// How a webhook delivery proves that GitHub sent it.
#[derive(Clone, Serialize, Deserialize)]
pub enum WebhookAuth {
    /// By an HMAC with this secret, or with the second one while secrets are being changed.
    Secrets {
        /// The secret in use.
        current: Secret,
        /// A second one that is accepted too.
        other: Option<Secret>,
    },
    /// Not at all: anyone who reaches the port can start microVMs. For development only.
    Insecure,
    /// There are no webhooks: all are refused.
    Refused,
}

/// What to register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The runner's name.
    pub name: RunnerName,
    /// For whom; logs only.
    pub vm: VmId,
    /// The profile; its scale set's runners are registered there.
    pub profile: ProfileId,
    /// Where.
    pub scope: ScopeId,
    /// Exactly these; GitHub adds nothing.
    pub labels: BTreeSet<String>,
}

/// A registration. The secret goes to the guest and nowhere else.
pub struct Registered {
    /// GitHub's number.
    pub runner: RunnerId,
    /// `encoded_jit_config`.
    pub jit_config: Secret,
    /// Whom the runner must trust beside its image's authorities, to reach its GitHub: PEM.
    pub ca_certificates: Option<String>,
}

/// What became of a removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// No registration is left.
    Gone,
    /// One of them has a job (422): leave it.
    Busy,
}

impl Scope {
    /// Whether a job of `repository` (`owner/name`) can reach runners of this scope. GitHub's names ignore case.
    #[must_use]
    pub fn covers(&self, repository: &str) -> bool {
        self.id().covers(repository)
    }

    /// Its name in the world.
    #[must_use]
    pub fn id(&self) -> ScopeId {
        match self {
            Scope::Organization(login) => ScopeId::organization(login),
            Scope::Repository { owner, name } => ScopeId::repository(owner, name),
            Scope::Enterprise(slug) => ScopeId::enterprise(slug),
        }
    }

    /// The account that it belongs to, by its login or its slug.
    #[must_use]
    pub fn owner(&self) -> &str {
        match self {
            Scope::Organization(login) => login,
            Scope::Repository { owner, .. } => owner,
            Scope::Enterprise(slug) => slug,
        }
    }

    /// The path below the API at which its runners and its installation are.
    pub(crate) fn home(&self) -> Vec<&str> {
        match self {
            Scope::Organization(login) => vec!["orgs", login],
            Scope::Repository { owner, name } => vec!["repos", owner, name],
            Scope::Enterprise(slug) => vec!["enterprises", slug],
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Scope::Organization(login) => f.write_str(login),
            Scope::Repository { owner, name } => write!(f, "{owner}/{name}"),
            Scope::Enterprise(slug) => write!(f, "enterprises/{slug}"),
        }
    }
}
