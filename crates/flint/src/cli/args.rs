//! What a person may type.

use super::update_runner::Asked;
use crate::config::Flags;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// The last words of `--help`.
const AFTER_HELP: &str = "\
Every flag of the configuration is also a variable (--state-dir: FLINT_STATE_DIR) and a key of the file
(/etc/flint/flint.toml). Flags win over variables, variables over the file.
A flag's value can be read by every user of the host: give secrets as files.

Exit codes: 0 done, 1 failed, 2 command line or configuration unusable, 3 refused or `doctor` found something bad.
`flint run` exits with the code of its command.";

/// Runs each GitHub Actions job in its own fresh microVM on your own host.
#[derive(Parser)]
#[command(name = "flint", version, after_help = AFTER_HELP, disable_help_subcommand = true)]
pub(super) struct Cli {
    /// The configuration file [default: /etc/flint/flint.toml if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// The daemon's API socket [default: flint.sock in the run directory]
    #[arg(long, global = true, value_name = "FILE", env = "FLINT_SOCKET")]
    pub(super) socket: Option<PathBuf>,
    /// Print JSON instead of tables
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// One microVM with its console on this terminal, no webhook server
    #[arg(long)]
    pub(super) interactive: bool,
    /// The configuration's flags; without a command they mean `serve`.
    #[command(flatten)]
    pub(super) flags: Flags,
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// What to do with the bridge.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Bridge {
    Up,
    Down,
    Show,
}

/// What to do with the network.
#[derive(Subcommand)]
pub(super) enum Network {
    /// Make the bridge, or what of it is missing; `serve` does it by itself when the first microVM starts
    Up {
        /// The configuration's flags.
        #[command(flatten)]
        flags: Flags,
    },
    /// Remove it, when no microVM is there
    Down {
        /// The configuration's flags.
        #[command(flatten)]
        flags: Flags,
    },
    /// What there is of it
    Show {
        /// The configuration's flags.
        #[command(flatten)]
        flags: Flags,
    },
}

impl Network {
    /// What to do, and with which flags.
    pub(super) fn parts(self) -> (Bridge, Flags) {
        match self {
            Network::Up { flags } => (Bridge::Up, flags),
            Network::Down { flags } => (Bridge::Down, flags),
            Network::Show { flags } => (Bridge::Show, flags),
        }
    }
}

/// What to do.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Take webhooks and run their jobs (the default with flags and no command)
    Serve {
        /// The configuration's flags.
        #[command(flatten)]
        flags: Flags,
    },
    /// Boot one microVM, run a command in it, exit with its code; needs no daemon
    Run {
        /// Whose shape, image and kernel [default: the only profile, or `default`]
        #[arg(long, value_name = "NAME")]
        profile: Option<String>,
        /// The configuration's flags.
        #[command(flatten)]
        flags: Flags,
        /// The program and its arguments; no shell reads them
        #[arg(last = true, required = true, value_name = "COMMAND")]
        argv: Vec<String>,
    },
    /// The microVMs that are there
    Ps,
    /// The jobs that wait or run
    Jobs {
        /// The completed ones too
        #[arg(long, short)]
        all: bool,
    },
    /// Why a job waits
    Why {
        /// GitHub's number of the job, as in its address
        job: u64,
    },
    /// What a microVM's guest printed
    Logs {
        /// Such as vm-42
        vm: flint_core::id::VmId,
        /// Go on until the microVM is gone
        #[arg(long, short)]
        follow: bool,
        /// Its console instead of its runner
        #[arg(long)]
        console: bool,
    },
    /// The daemon, its host and its profiles
    Status,
    /// Take no new microVMs; running jobs end by themselves
    Drain,
    /// The base images that profiles name
    Image {
        /// What of them.
        #[command(subcommand)]
        what: Images,
    },
    /// The kernels that profiles name
    Kernel {
        /// What of them.
        #[command(subcommand)]
        what: Files,
    },
    /// The bridge of classic mode, `host.bridge`; without one each microVM has a network of its own, and nothing is to be
    /// set up
    Network {
        /// What to do with it.
        #[command(subcommand)]
        what: Network,
    },
    /// Write the facts that the daemon took in to a file, for `flint replay`; names get stand-ins
    Export {
        /// At least so far back, such as 2h [default: all that is kept]
        #[arg(long, value_name = "TIME", value_parser = back)]
        since: Option<Duration>,
        /// Keep names of repositories, jobs, labels and profiles, and error texts
        #[arg(long)]
        raw: bool,
        /// Where to [default: standard output]
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// The configuration's flags.
        #[command(flatten)]
        flags: Flags,
    },
    /// Decide again what a daemon decided, from the facts that `flint export` wrote
    Replay {
        /// The file; - is standard input
        events: PathBuf,
        /// Show from this fact on
        #[arg(long, value_name = "SEQ")]
        from: Option<u64>,
        /// Show up to this fact
        #[arg(long, value_name = "SEQ")]
        to: Option<u64>,
        /// Show the whole world after this fact instead of the steps
        #[arg(long, value_name = "SEQ", conflicts_with_all = ["from", "to"])]
        at: Option<u64>,
    },
    /// Make a configuration, and a GitHub App for it by one click in a browser
    Init {
        /// What is known already; the rest is asked for.
        #[command(flatten)]
        given: crate::init::Given,
    },
    /// Look at this machine and the configuration
    Doctor {
        /// Also ask GitHub about the App: its permissions, its events, where it is installed; nothing is changed there
        #[arg(long)]
        github: bool,
        /// The configuration's flags.
        #[command(flatten)]
        flags: Flags,
    },
    /// The half of the daemon that faces the network; the daemon starts it by itself
    #[command(hide = true)]
    Front {
        /// As whom it goes on
        #[arg(long)]
        uid: u32,
    },
    /// The resolver for guests that may reach only certain names; the daemon starts it by itself
    #[command(hide = true)]
    Names {
        /// As whom it goes on
        #[arg(long)]
        uid: u32,
    },
    /// The version of this program and of its protocol with guests
    Version,
}

/// What of the images that profiles name.
#[derive(Clone, Subcommand)]
pub(super) enum Images {
    /// As of other files.
    #[command(flatten)]
    Files(Files),
    /// Put a newer version of GitHub's runner into them; microVMs that run keep theirs, new ones take it. --image names one
    /// alone
    UpdateRunner {
        /// Which runner.
        #[command(flatten)]
        asked: Asked,
        /// The configuration's flags.
        #[command(flatten)]
        flags: Flags,
    },
}

/// What of the files that profiles name.
#[derive(Clone, Subcommand)]
pub(super) enum Files {
    /// Which, and for which profiles
    List {
        /// The configuration's flags.
        #[command(flatten)]
        flags: Flags,
    },
    /// Whether each is what it should be; exits with 3 if not
    Check {
        /// The configuration's flags.
        #[command(flatten)]
        flags: Flags,
    },
}

/// A time to go back.
fn back(text: &str) -> Result<Duration, String> {
    let wanted = || format!("`{text}` is no time to go back, such as `2h`, `90m` or `3d`");
    // A week's clock change is nobody's question here: a day has 24 hours.
    let text = match text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok()) {
        Some(days) => format!("{}h", days.saturating_mul(24)),
        None => text.to_owned(),
    };
    let parsed: jiff::SignedDuration = text.parse().map_err(|_| wanted())?;
    Duration::try_from(parsed).map_err(|_| wanted())
}
