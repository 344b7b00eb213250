//! What the host says to the agent.

use crate::secret::Secret;
use serde::{Deserialize, Serialize};

/// One message to the agent.
#[derive(Serialize, Deserialize)]
#[serde(tag = "say", rename_all = "snake_case")]
pub enum ToGuest {
    /// Opens the conversation, or opens it again.
    Hello {
        /// The host's [`crate::PROTOCOL`].
        protocol: u32,
        /// 32 random bytes in hex; the guest echoes them.
        nonce: String,
    },
    /// Time, randomness, name and network; the agent answers `ready`. Said once, before anything else.
    Configure {
        /// The guest's host name: the microVM's printed id.
        hostname: String,
        /// The host's clock, nanoseconds since the UNIX epoch.
        time_unix_ns: u64,
        /// 32 random bytes in hex for the guest's pool.
        entropy: Secret,
        /// Its address; `None` leaves the network down.
        network: Option<Network>,
    },
    /// What this guest is for. Said once; carries the one-job secret.
    Work(Work),
    /// All messages up to this number have arrived; the agent may forget them.
    Ack {
        /// The last [`crate::Said::seq`] that was stored.
        seq: u64,
    },
    /// End the work and power off within this time.
    Stop {
        /// Seconds until the agent ends what is left by force.
        grace_s: u32,
    },
}

/// A guest's network. The same in every guest: the slot's namespace tells them apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// `192.168.241.2/29`.
    pub address: String,
    /// `192.168.241.1`.
    pub gateway: String,
    /// Resolvers, written into `/etc/resolv.conf`.
    pub dns: Vec<String>,
    /// Where guests have IPv6. An agent that does not know it goes without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Network6>,
}

/// A guest's IPv6.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network6 {
    /// `fd46:4c49:4e54::2/64`.
    pub address: String,
    /// `fd46:4c49:4e54::1`.
    pub gateway: String,
}

/// Whose jobs a runner may run beside those of private repositories themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admits {
    /// Those of public repositories.
    pub public: bool,
    /// Those of runs that come from forks.
    pub forks: bool,
}

/// Of which repositories a runner may run jobs, in lower case: `owner/name`, or `owner/*` for all of an owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repositories {
    /// Of these alone; none given: of all.
    pub only: Vec<String>,
    /// Not of these, whatever `only` says.
    pub except: Vec<String>,
}

/// What a guest is for.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Work {
    /// Start GitHub's runner for exactly one job.
    Runner {
        /// `encoded_jit_config`: in the runner's environment, nowhere else.
        jit_config: Secret,
        /// Whose jobs it may run; `None`: anybody's. An agent that heeds it says so in its hello.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        admits: Option<Admits>,
        /// Of which repositories; `None`: of all. An agent that heeds it says so in its hello.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repositories: Option<Repositories>,
        /// Certificates of the authorities of this job's GitHub, PEM, which the guest trusts beside its own. An agent
        /// that installs them says so in its hello.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ca_certificates: Option<String>,
    },
    /// Run one command as `runner` and report its end.
    Command {
        /// The program and its arguments; run as they are, no shell.
        argv: Vec<String>,
    },
    /// Give a login on the console, for `--interactive`.
    Login {
        /// Set for the user `runner` in this guest's overlay only.
        password: Secret,
    },
}
